"""A producer, what is under way on it, and whether it may be past help."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from connectors.errors import TocsinError, Unavailable
from connectors.kafka_clients import close_producer, confirm, make_producer, send
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

Told = Callable[[TocsinError | None], None]
"""Hears what became of a record, in the producer's own thread."""


class Line:
    """One producer's life. One thread sends and closes."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        """Connect; raises ``Unavailable``."""
        self._silence_s = settings.delivery_timeout_s
        self._lock = threading.Lock()
        self._under_way = 0
        self._failed = False
        self._heard_s = 0.0
        self._producer = make_producer(settings, client_id)

    def send(self, record: OutRecord, told: Told) -> None:
        """Send; ``told`` hears the outcome unless this raises, as ``kafka_clients.send`` does."""
        try:
            future = send(self._producer, record)
        except Unavailable:
            self._failed = True
            raise
        self._count(+1)
        future.add_both(lambda _: self._resolved(future, told))

    @property
    def past_help(self) -> bool:
        """Whether it may never deliver again: its last record failed, or it is silent beyond its time-out.

        kafka-python's producer does not recover from a fatal error (a broker that forgot its producers), and does not
        expire what waits for the producer id of a broker that is gone.
        """
        with self._lock:
            if self._under_way == 0:
                return self._failed
            return time.monotonic() - self._heard_s > self._silence_s

    def close(self, timeout_s: float) -> None:
        """What is not confirmed within the time-out fails."""
        close_producer(self._producer, timeout_s)

    def _resolved(self, future: Any, told: Told) -> None:
        error: TocsinError | None = None
        try:
            confirm([future], 0.0)
        except TocsinError as refusal:
            error = refusal
        self._failed = isinstance(error, Unavailable)
        self._count(-1)
        told(error)

    def _count(self, change: int) -> None:
        """One more record is under way, or one less."""
        with self._lock:
            if change < 0 or self._under_way == 0:
                self._heard_s = time.monotonic()
            self._under_way += change
