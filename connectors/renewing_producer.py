"""A Kafka producer that is replaced when it is past help, and that knows whether Kafka still confirms anything.

kafka-python's never recovers from a fatal error (a broker that forgot its producers), and does not expire batches while
it waits for a producer id from a broker that is gone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from connectors.answers import SILENT_S
from connectors.errors import Misplaced, TocsinError, Unavailable
from connectors.kafka_clients import close_producer, error_of, make_producer, send
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

CONNECT_TRY_S = 2.0
CLOSE_TIMEOUT_S = 5.0
BATCH_BYTES = 1_000_000
"""Room for a whole record, so that the records of all partitions linger together and travel in one request."""
RENEW_AFTER_S = 3.0
"""A producer that only fails for so long, or is silent for so long beyond its delivery time-out, is replaced."""
Settled = Callable[[TocsinError | None], None]
"""Called when Kafka has confirmed a record, or with why not."""
_log = logging.getLogger(__name__)


class RenewingProducer:
    """One thread connects, sends, renews and closes; whoever likes looks at it and tells it to stop.

    ``waiting`` is called for each attempt to connect that failed, ``idle`` whenever Kafka has confirmed all that was
    sent, in a thread of the producer.
    """

    def __init__(
        self, settings: KafkaSettings, waiting: Callable[[Unavailable], None], idle: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._waiting = waiting
        self._idle = idle
        self._producer: KafkaProducer | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._outstanding = 0
        self._failing_since_s: float | None = None
        self._heard_s = 0.0

    @property
    def connected(self) -> bool:
        """Whether records can be sent."""
        return self._producer is not None

    @property
    def idling(self) -> bool:
        """Whether Kafka has confirmed all that was sent."""
        return self._outstanding == 0

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    @property
    def failing_reason(self) -> str:
        """Empty unless the last record was not confirmed, or no record is for a while."""
        silent = self._outstanding > 0 and time.monotonic() - self._heard_s > SILENT_S
        if self._failing_since_s is None and not silent:
            return ""
        return f"Kafka at {self._settings.kafka} confirms nothing (TOCSIN_KAFKA)"

    def connect(self) -> None:
        """Connect, however long Kafka takes; in vain only when told to stop. Raises ``Misplaced``."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_TRY_S})
        while self._producer is None and not self.stopping:
            try:
                make_producer(patient, "tocsin-ingest-probe").close()
                self._producer = self._made()
            except Unavailable as error:
                _log.warning("waiting for Kafka: %s", error)
                self._waiting(error)

    def send(self, record: OutRecord, settled: Settled) -> None:
        """Send a record; ``settled`` is called exactly once, here or in a thread of the producer."""
        try:
            future = send(self._producer, record)
        except TocsinError as error:
            return self._failed(error, settled)
        except ValueError as error:  # a partition that the topic does not have
            return self._failed(Unavailable(f"Kafka: {error}"), settled)
        with self._lock:
            self._heard_s = self._heard_s if self._outstanding else time.monotonic()
            self._outstanding += 1
        future.add_both(lambda _: self._resolved(future, settled))

    def renew_if_broken(self) -> None:
        """Replace the producer if it may be past help: it only fails, or is silent beyond its own time-out."""
        if not self._broken():
            return
        _log.warning("Kafka has confirmed nothing for a while: connecting anew")
        self.close(0.0)
        self._failing_since_s = None
        self.connect()

    def stop(self) -> None:
        """Try no more to connect."""
        self._stopping.set()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close the producer; whatever it has not delivered within the time-out fails."""
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, timeout_s)

    def _made(self) -> KafkaProducer:
        """One that finds the topic as it should be."""
        producer = make_producer(self._settings, "tocsin-ingest", batch_size=BATCH_BYTES)
        try:
            self._check_partitions(producer)
        except TocsinError:
            producer.close(timeout=0)
            raise
        return producer

    def _check_partitions(self, producer: KafkaProducer) -> None:
        topic = self._settings.topics.metrics
        try:
            found = len(producer.partitions_for(topic))
        except KafkaError as error:
            message = f"topic {topic}: {error!r}: create the topics with python -m connectors.topics"
            raise Unavailable(message) from error
        if found != self._settings.partitions:
            message = f"topic {topic}: has {found} partitions, TOCSIN_PARTITIONS says {self._settings.partitions}"
            raise Misplaced(message)

    def _broken(self) -> bool:
        now_s, failing_since_s = time.monotonic(), self._failing_since_s
        if self._outstanding > 0:
            return now_s - self._heard_s > self._settings.delivery_timeout_s + RENEW_AFTER_S
        return failing_since_s is not None and now_s - failing_since_s >= RENEW_AFTER_S

    def _resolved(self, future: Any, settled: Settled) -> None:
        self._heard_s = time.monotonic()
        if future.failed():
            self._failed(error_of(future.exception), settled)
        else:
            self._failing_since_s = None
            settled(None)
        with self._lock:
            self._outstanding -= 1
            idle = self._outstanding == 0
        if idle:
            self._idle()

    def _failed(self, error: TocsinError, settled: Settled) -> None:
        """A record is not in Kafka; one that Kafka refuses does not mean that Kafka is gone."""
        if isinstance(error, Unavailable):
            self._failing_since_s = self._failing_since_s or time.monotonic()
        settled(error)
