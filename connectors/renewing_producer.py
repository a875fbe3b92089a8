"""A line to Kafka that is replaced when it is past help, and that knows whether Kafka still confirms anything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from connectors.answers import SILENT_S
from connectors.errors import Misplaced, TocsinError, Unavailable
from connectors.kafka_clients import make_producer
from connectors.line import Line, Told
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

CONNECT_TRY_S = 2.0
CLOSE_TIMEOUT_S = 5.0
BATCH_BYTES = 1_000_000
"""Room for a whole record, so that the records of all partitions linger together and travel in one request."""
RENEW_AFTER_S = 3.0
"""A producer that only fails for so long, or is silent for so long beyond its delivery time-out, is replaced."""
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
        self._line: Line | None = None
        self._stopping = threading.Event()

    @property
    def connected(self) -> bool:
        """Whether records can be sent."""
        return self._line is not None

    @property
    def idling(self) -> bool:
        """Whether Kafka has confirmed all that was sent."""
        line = self._line
        return line is None or line.idling

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    @property
    def failing_reason(self) -> str:
        """Empty unless the last record was not confirmed, or no record is for a while."""
        line = self._line
        if line is None or not line.failing(SILENT_S):
            return ""
        return f"Kafka at {self._settings.kafka} confirms nothing (TOCSIN_KAFKA)"

    def connect(self) -> None:
        """Connect, however long Kafka takes; in vain only when told to stop. Raises ``Misplaced``."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_TRY_S})
        while self._line is None and not self.stopping:
            try:
                make_producer(patient, "tocsin-ingest-probe").close()
                self._line = self._made()
            except Unavailable as error:
                _log.warning("waiting for Kafka: %s", error)
                self._waiting(error)

    def send(self, record: OutRecord, told: Told) -> None:
        """Send a record; ``told`` hears the outcome exactly once, here or in a thread of the producer."""
        assert self._line is not None  # noqa: S101 - who is not connected does not send
        try:
            self._line.send(record, told)
        except TocsinError as error:
            told(error)

    def renew_if_broken(self) -> None:
        """Replace the producer if it may be past help: it only fails, or is silent beyond its own time-out."""
        if self._line is None or not self._line.past_help(RENEW_AFTER_S):
            return
        _log.warning("Kafka has confirmed nothing for a while: connecting anew")
        self.close(0.0)
        self.connect()

    def stop(self) -> None:
        """Try no more to connect."""
        self._stopping.set()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close the producer; whatever it has not delivered within the time-out fails."""
        line, self._line = self._line, None
        if line is not None:
            line.close(timeout_s)

    def _made(self) -> Line:
        """One that finds the topics as they should be."""
        producer = make_producer(self._settings, "tocsin-ingest", batch_size=BATCH_BYTES)
        try:
            for topic in (self._settings.topics.metrics, self._settings.topics.logs):
                self._check_partitions(producer, topic)
        except TocsinError:
            producer.close(timeout=0)
            raise
        return Line(producer, self._settings.delivery_timeout_s, self._idle)

    def _check_partitions(self, producer: KafkaProducer, topic: str) -> None:
        try:
            found = len(producer.partitions_for(topic))
        except KafkaError as error:
            message = f"topic {topic}: {error!r}: create the topics with python -m connectors.topics"
            raise Unavailable(message) from error
        if found != self._settings.partitions:
            message = f"topic {topic}: has {found} partitions, TOCSIN_PARTITIONS says {self._settings.partitions}"
            raise Misplaced(message)
