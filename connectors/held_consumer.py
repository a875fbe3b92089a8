"""A consumer that one thread reads with and another may close, which ends the poll that it is at."""

from __future__ import annotations

import threading

from kafka import KafkaConsumer


class HeldConsumer:
    """Holds it until it is closed, once, by whoever comes first; holds none at the beginning."""

    def __init__(self) -> None:
        self._consumer: KafkaConsumer | None = None
        self._closing = threading.Lock()

    def hold(self, consumer: KafkaConsumer) -> KafkaConsumer:
        """The same consumer, which can be closed from now on."""
        self._consumer = consumer
        return consumer

    def close(self) -> None:
        """Close it, if it is held."""
        with self._closing:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
