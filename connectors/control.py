"""The second hand: once a second a control record into every partition of ``tocsin.metrics``.

It tells the flow the log time and how far the logs of detectors and feedback apply. An offset is announced only when
a reader of this process has read up to it: so every reader of the same log can.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from kafka import KafkaProducer

from connectors.errors import TocsinError, Unavailable
from connectors.follower import Follower
from connectors.ingest_meters import IngestMeters
from connectors.kafka_clients import send
from connectors.messages import CONTROL_HEADER, ControlRecord, OutRecord
from connectors.settings import KafkaSettings

PERIOD_S = 1.0
CONTROL_HEADERS = [(CONTROL_HEADER, b"1")]
_log = logging.getLogger(__name__)


class Position(Protocol):
    """How far a log was read: a ``Follower`` of it."""

    def position(self, partition: int) -> int:
        """Next offset."""
        ...

    def caught_up(self) -> bool:
        """Whether the log was read to its end once asked."""
        ...

    def check(self) -> None:
        """Raise what ended the reading."""
        ...


def control_records(
    settings: KafkaSettings, time_ms: int, detectors_offset: int, feedback_offset: int
) -> list[OutRecord]:
    """One control record for each partition."""
    record = ControlRecord(time_ms=time_ms, detectors_offset=detectors_offset, feedback_offset=feedback_offset)
    value, topic = record.encode(), settings.topics.metrics
    return [OutRecord(topic, None, value, CONTROL_HEADERS, partition) for partition in range(settings.partitions)]


class SecondHand:
    """Sends the control records of one moment. Not thread-safe; ``tick`` does not wait for Kafka."""

    def __init__(
        self, settings: KafkaSettings, producer: KafkaProducer, detectors: Position, feedback: Position,
        meters: IngestMeters,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._producer = producer
        self._detectors = detectors
        self._feedback = feedback
        self._meters = meters
        self._sent: list[Any] = []
        self._last_ms = 0
        self.started = False

    def tick(self, now_ms: int) -> int:
        """Send the records of ``now_ms``; returns how many.

        None while the logs have not been read to their end for the first time, and none while Kafka has not resolved
        those of the tick before. Log time never runs backwards. Raises what ended the reading of a log.
        """
        self._detectors.check()
        self._feedback.check()
        reason = self._reason_to_skip()
        if reason:
            self._meters.control_skipped.labels(reason).inc()
            return 0
        self.started = True
        self._last_ms = max(self._last_ms, now_ms)
        records = control_records(
            self._settings, self._last_ms, self._detectors.position(0), self._feedback.position(0)
        )
        self._sent = [send(self._producer, record) for record in records]
        self._meters.control_records.inc(len(records))
        return len(records)

    def _reason_to_skip(self) -> str:
        if not self.started and not (self._detectors.caught_up() and self._feedback.caught_up()):
            return "not_caught_up"
        return "unconfirmed" if any(not future.is_done for future in self._sent) else ""


def now_ms() -> int:
    """Wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Control:
    """A thread that follows both logs and ticks each second until stopped."""

    def __init__(self, settings: KafkaSettings, producer: KafkaProducer, meters: IngestMeters) -> None:
        self.error: BaseException | None = None
        self._stopping = threading.Event()
        self._detectors = Follower(settings, settings.topics.detectors, _ignore)
        self._feedback = Follower(settings, settings.topics.feedback, _ignore)
        self._hand = SecondHand(settings, producer, self._detectors, self._feedback, meters)
        self._thread = threading.Thread(target=self._run, args=(now_ms,), name="control", daemon=True)
        self._thread.start()

    @property
    def unready_reason(self) -> str:
        """Empty once control records are sent."""
        if self.error is not None:
            return f"control records have stopped: {self.error}"
        return "" if self._hand.started else "reading the logs of detectors and feedback"

    def stop(self) -> None:
        """Stop ticking and following."""
        self._stopping.set()
        self._thread.join()
        self._detectors.stop()
        self._feedback.stop()

    def _run(self, clock: Callable[[], int]) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                self._hand.tick(clock())
            except Unavailable as error:
                _log.warning("control records: %s", error)
            except TocsinError as error:
                _log.error("control records have stopped: %s", error)
                self.error = error
                return
            waiting = PERIOD_S if self._hand.started else PERIOD_S / 10
            due = max(due + waiting, time.monotonic())


def _ignore(_: object) -> None:
    """Positions are all that is wanted of these logs."""
