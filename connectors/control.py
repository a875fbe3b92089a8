"""The second hand: once a second a control record into every partition of ``tocsin.metrics`` and ``tocsin.logs``.

It tells the flow the log time and how far the logs of detectors and feedback apply. An offset is announced only when
a reader of this process has read up to it: so every reader of the same log can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from connectors.answers import SILENT_S
from connectors.clock import wall_clock_ms
from connectors.courier import Courier
from connectors.errors import TocsinError, Unavailable
from connectors.follower import Follower
from connectors.ingest_meters import IngestMeters
from connectors.job import Batch
from connectors.messages import CONTROL_HEADER, ControlRecord, OutRecord
from connectors.settings import KafkaSettings
from connectors.topic_use import is_used

PERIOD_S = 1.0
FIRST_LOOK_S = 0.1
"""How often to look whether the logs have been read, before the first tick."""
CONFIRM_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class ReadLogs(Protocol):
    """The logs of detectors and feedback, and how far they were read: a ``Follower``."""

    def position(self, partition: int, topic: str) -> int:
        """Next offset."""
        ...

    def caught_up(self) -> bool:
        """Whether both were read to their ends as known now."""
        ...

    def check(self) -> None:
        """Raise what ended the reading."""
        ...


class SecondHand:
    """Makes the control records of one moment; time is an argument."""

    def __init__(self, settings: KafkaSettings, logs: ReadLogs) -> None:
        self.started = False
        self.logs_come = False
        """whether the topic of logs gets them too"""
        self._settings = settings
        self._logs = logs
        self._last_ms = 0

    def tick(self, now_ms: int) -> list[OutRecord]:
        """One record for each partition of the topics in use; none before the logs have been read to their end once.

        Log time never runs backwards. Raises what ended the reading of a log.
        """
        self._logs.check()
        self.started = self.started or self._logs.caught_up()
        if not self.started:
            return []
        self._last_ms = max(self._last_ms, now_ms)
        topics, headers = self._settings.topics, [(CONTROL_HEADER, b"1")]
        value = ControlRecord(
            time_ms=self._last_ms,
            detectors_offset=self._logs.position(0, topics.detectors),
            feedback_offset=self._logs.position(0, topics.feedback),
            partitions=self._settings.partitions,
        ).encode()
        return [
            OutRecord(topic, None, value, headers, partition)
            for topic in ((topics.metrics, topics.logs) if self.logs_come else (topics.metrics,))
            for partition in range(self._settings.partitions)
        ]


class Control:
    """Follows both logs and ticks each second while ``run`` runs."""

    def __init__(
        self,
        settings: KafkaSettings,
        courier: Courier,
        meters: IngestMeters,
        clock_s: Callable[[], float] = time.monotonic,
        is_used: Callable[[KafkaSettings, str], bool] = is_used,
    ) -> None:
        self.error: Exception | None = None
        self._clock_s = clock_s
        self._confirmed_s: float | None = None
        self._settings, self._is_used = settings, is_used
        self._courier = courier
        self._meters = meters
        self._logs = Follower(settings, (settings.topics.detectors, settings.topics.feedback), _ignore)
        self._hand = SecondHand(settings, self._logs)

    @property
    def unready_reason(self) -> str:
        """Empty while control records are confirmed."""
        if self.error is not None:
            return f"control records have stopped: {self.error}"
        if self._confirmed_s is None:
            return "reading the logs of detectors and feedback"
        silent_s = self._clock_s() - self._confirmed_s
        if silent_s <= SILENT_S:
            return ""
        return f"Kafka at {self._settings.kafka} (TOCSIN_KAFKA) has confirmed no control record for {silent_s:.0f} s"

    async def run(self) -> None:
        """Tick until cancelled, or until a log can no longer be read; then ``error`` says why."""
        try:
            await self._look_for_logs()
            while True:
                due_s = time.monotonic() + (PERIOD_S if self._hand.started else FIRST_LOOK_S)
                await self._send(self._hand.tick(wall_clock_ms()))
                await asyncio.sleep(due_s - time.monotonic())
        except Exception as error:  # noqa: BLE001 - the owner sees it through ``error`` and ends the process
            _log.error("control records have stopped: %r", error, exc_info=not isinstance(error, TocsinError))
            self.error = error

    def logs_come(self) -> None:
        """From now on the topic of logs is told the time too."""
        self._hand.logs_come = True

    async def _look_for_logs(self) -> None:
        """Who pushed before this process began wants to be told the time; where nobody ever did, it is left out.

        It would be half of what an idle broker keeps.
        """
        try:
            came = await asyncio.to_thread(self._is_used, self._settings, self._settings.topics.logs)
        except Unavailable as error:
            _log.warning("whether there are logs cannot be seen, so they are told the time: %s", error)
            came = True
        if came:
            self.logs_come()

    def stop(self) -> None:
        """Stop following; blocks for a moment."""
        self._logs.stop()

    async def _send(self, records: list[OutRecord]) -> None:
        """Send and wait: while Kafka is silent, ticks are left out instead of piling up."""
        if not records:
            return
        try:
            await self._courier.deliver(lambda: Batch([], records, None), lambda _: None, CONFIRM_TIMEOUT_S)
        except Unavailable as error:
            self._meters.control_failures.inc()
            _log.warning("control records: %s", error)
            return
        self._meters.control_records.inc(len(records))
        self._confirmed_s = self._clock_s()


def _ignore(_: object) -> None:
    """Positions are all that is wanted of these logs."""
