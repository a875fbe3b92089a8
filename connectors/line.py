"""A producer, what is under way on it, and whether it may be past help.

kafka-python's producer never recovers from a fatal error (a broker that forgot its producers), and does not expire what
waits for the producer id of a broker that is gone. Whoever has a line that is past help closes it and makes another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer

from connectors.errors import KafkaUnavailable, TocsinError, Unavailable
from connectors.kafka_clients import close_producer, error_of, send
from connectors.messages import OutRecord

Told = Callable[[TocsinError | None], None]
"""Hears that Kafka has confirmed a record, or why not, in the producer's own thread."""


class Line:
    """One producer's life. One thread sends and closes; whoever likes looks at it."""

    def __init__(
        self, producer: KafkaProducer, delivery_timeout_s: float, idle: Callable[[], None] | None = None
    ) -> None:
        """``idle`` is called whenever Kafka has confirmed all that was sent, in the producer's own thread."""
        self._producer = producer
        self._delivery_timeout_s = delivery_timeout_s
        self._idle = idle
        self._lock = threading.Lock()
        self._under_way = 0
        self._failing_since_s: float | None = None
        self._heard_s = 0.0

    @property
    def idling(self) -> bool:
        """Whether nothing is under way."""
        return self._under_way == 0

    def send(self, record: OutRecord, told: Told) -> None:
        """Send; ``told`` hears the outcome once, unless this raises as ``kafka_clients.send`` does.

        What the topic has no partition for is ``Unavailable`` too.
        """
        try:
            future = send(self._producer, record)
        except TocsinError as error:
            self._note(error)
            raise
        except ValueError as error:  # a partition that the topic does not have
            unavailable = KafkaUnavailable(f"Kafka: {error}")
            self._note(unavailable)
            raise unavailable from error
        with self._lock:
            self._heard_s = self._heard_s if self._under_way else time.monotonic()
            self._under_way += 1
        future.add_both(lambda _: self._resolved(future, told))

    def failing(self, silent_s: float) -> bool:
        """Whether the last record was not confirmed, or none of those under way for so long."""
        return self._failing_since_s is not None or self._silent(silent_s)

    def past_help(self, patience_s: float = 0.0) -> bool:
        """Whether it may never deliver again: it fails for so long, or is silent for so long beyond its time-out."""
        with self._lock:
            if self._under_way:
                return self._silent(self._delivery_timeout_s + patience_s)
            since_s = self._failing_since_s
            return since_s is not None and time.monotonic() - since_s >= patience_s

    def close(self, timeout_s: float) -> None:
        """What is not confirmed within the time-out fails."""
        close_producer(self._producer, timeout_s)

    def _silent(self, for_s: float) -> bool:
        return self._under_way > 0 and time.monotonic() - self._heard_s > for_s

    def _resolved(self, future: Any, told: Told) -> None:
        self._heard_s = time.monotonic()
        error = error_of(future.exception) if future.failed() else None
        self._note(error)
        with self._lock:
            self._under_way -= 1
            idle = self._under_way == 0
        told(error)  # who hears it may look at the line at once, on which this one is not under way any more
        if idle and self._idle is not None:
            self._idle()

    def _note(self, error: TocsinError | None) -> None:
        """A record is in Kafka, or not; one that Kafka refuses does not mean that Kafka is gone."""
        if error is None:
            self._failing_since_s = None
        elif isinstance(error, Unavailable):
            self._failing_since_s = self._failing_since_s or time.monotonic()
