"""The log of feedback: append what somebody says, wait until it has come back, and know what was said lately.

``tocsin.feedback`` is the truth; the store has all of it by anomaly, and this process the latest of it in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from api.feedback_rows import Line, write_lines
from api.meters import ApiMeters
from api.settings import ApiSettings
from api.store import Store
from api.stored_topic import Copied, StoredTopic
from api.within import within
from api.writer import Writer
from connectors.errors import Overloaded, Rejected
from connectors.feedback import NOTHING, Feedback, Said
from connectors.logs import REQUEST_ID
from connectors.messages import REQUEST_HEADER, OutRecord
from connectors.received import Received
from flows.rules import Rules

log = logging.getLogger(__name__)

KEPT = 10_000
"""Anomalies of which what was said is in memory, the ones last spoken of: some 10 MB."""
WAITING_MOST = 64


class FeedbackLog(StoredTopic[Line]):
    """The topic of feedback in the store, and in memory what was said lately; all of it on the event loop."""

    def __init__(self, settings: ApiSettings, store: Store, meters: ApiMeters) -> None:
        topic = settings.topics.feedback
        super().__init__(store, Copied(topic, _line, write_lines, lambda _: None))
        self._kafka = settings
        self._meters = meters
        self._said: dict[str, Said] = {}
        self._waiting: dict[str, asyncio.Future[Said]] = {}
        self._writer = Writer(settings, "tocsin-feedback")
        self.seen: dict[int, int] = {}
        """Next offset by partition: all before it count for who asks."""
        self.rules = Rules()
        meters.history.rules.set_function(lambda: len(self.rules))
        meters.history.feedback_kept.set_function(lambda: len(self._said))

    def get(self, anomaly_id: str) -> Said:
        """What was said of it lately; nothing also if that is too long ago."""
        return self._said.get(anomaly_id, NOTHING)

    def handle(self, records: Sequence[Received]) -> None:
        """Apply one batch of the log and wake the writers whose records are in it."""
        for record in records:
            self.seen[record.partition] = record.offset + 1
            try:
                said = Feedback.decode(record.value or b"")
            except Rejected as error:
                self._meters.history.feedback.labels("unreadable").inc()
                log.warning("%s@%d: %s", record.topic, record.offset, error)
                continue
            self._meters.history.feedback.labels(said.kind).inc()
            self.rules.apply(said)
            self._apply(said)

    def _apply(self, record: Feedback) -> None:
        now = self._said.pop(record.anomaly_id, NOTHING).after(record)
        self._said[record.anomaly_id] = now
        if len(self._said) > KEPT:
            self._said.pop(next(iter(self._said)))
        waiter = self._waiting.get(record.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(now)

    async def write(self, record: Feedback) -> Said:
        """Append a record and wait until this process has read it; what was said lately, with it.

        Raises ``Overloaded`` with too many at a time, ``Unavailable`` when Kafka does not confirm, or the record does
        not come back: then it may stand in the log nevertheless.
        """
        if len(self._waiting) >= WAITING_MOST:
            message = f"{len(self._waiting)} records of feedback wait for Kafka"
            raise Overloaded(message)
        waiter = self._waiting.setdefault(record.id, asyncio.get_running_loop().create_future())
        try:
            async with self._writer.deadline():
                await self._writer.write(self._record(record))
            late = f"anomaly {record.anomaly_id}: written to Kafka but not read back in time; read it to see what holds"
            async with within(self._kafka.api_read_back_timeout_s, late):
                return await asyncio.shield(waiter)
        finally:
            self._waiting.pop(record.id, None)

    def _record(self, record: Feedback) -> OutRecord:
        headers = [(REQUEST_HEADER, REQUEST_ID.get().encode())]
        return OutRecord(self._kafka.topics.feedback, record.anomaly_id.encode(), record.encode(), headers)

    async def stop(self) -> None:
        """End; what is not confirmed in a moment fails."""
        await asyncio.to_thread(self._writer.stop)
        await super().stop()


def _line(record: Received) -> Line | None:
    try:
        return Line(record.partition, record.offset, Feedback.decode(record.value or b""))
    except Rejected:  # ``handle`` has said so
        return None
