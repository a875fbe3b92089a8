"""The log of detector revisions: append a record, wait until it has come back, and tell what it did.

``tocsin.detectors`` is the only truth. A write is accepted or refused by the reducer that every reader runs
(``flows.revisions.DetectorTable``), at the place of the log where the record landed; so all replicas agree on one
winner per revision. Each record bears a random token in a header by which its writer knows it again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from api.kept_revisions import KeptRevisions
from api.meters import ApiMeters
from api.settings import ApiSettings
from api.upkeep import Upkeep
from api.within import within
from api.writer import Writer
from connectors.detector import Detector, DetectorConfig, DetectorRevision
from connectors.errors import Overloaded, Rejected
from connectors.logs import REQUEST_ID
from connectors.messages import REQUEST_HEADER, OutRecord
from connectors.received import Received
from flows.config import compile_config
from flows.revisions import DetectorTable, Outcome
from flows.validator import ConfigError

log = logging.getLogger(__name__)

WRITE_HEADER = "tocsin-write"
"""Kafka header with the writer's token; of no meaning to anybody else."""
TOKEN_BYTES = 16
AUTHOR = "api"


class Written(NamedTuple):
    """What a revision did."""

    outcome: Outcome
    detector: Detector | None
    """what it made; None unless it was applied and was no deletion"""
    refusal: ConfigError | None = None
    """what is wrong with its config when it is invalid"""


class RevisionLog:
    """The detectors as they stand, and the way to change them. All of it runs on the event loop."""

    def __init__(self, settings: ApiSettings, meters: ApiMeters, now_ms: Callable[[], int], upkeep: Upkeep) -> None:
        self._settings = settings
        self._meters = meters
        self._now_ms = now_ms
        self._upkeep = upkeep
        self._table = DetectorTable()
        self._order: list[Detector] | None = None
        self.version = 0
        """Counts changes of the detectors."""
        self.kept = KeptRevisions(meters.detectors.revisions_dropped.inc)
        self._waiting: dict[bytes, asyncio.Future[Written]] = {}
        self._writer = Writer(settings, "tocsin-api")
        meters.detectors.existing.set_function(lambda: len(self._table.compiled))
        meters.detectors.writes.set_function(lambda: len(self._waiting))
        meters.detectors.revisions_kept.set_function(lambda: len(self.kept))

    def get(self, detector_id: str) -> Detector | None:
        """A detector as it stands."""
        compiled = self._table.compiled.get(detector_id)
        return compiled.source if compiled is not None else None

    def after(self, detector_id: str) -> Iterator[Detector]:
        """The detectors whose ids come after one, ordered by id."""
        if self._order is None:
            self._order = [self._table.compiled[one].source for one in sorted(self._table.compiled)]
        return islice(self._order, bisect_right(self._order, detector_id, key=attrgetter("id")), None)

    def twin_of(self, detector_id: str, config: DetectorConfig) -> Detector | None:
        """Another detector that computes the same as ``config`` would; raises ``ConfigError`` for a bad one."""
        candidate = Detector(id=detector_id, revision=1, config=config, author=AUTHOR, updated_ms=0)
        return self._table.twin_of(compile_config(candidate))

    def handle(self, records: Sequence[Received]) -> None:
        """Apply one batch of the log and wake the writers whose records are in it."""
        self.version += 1
        for record in records:
            written = self._apply(record)
            waiter = self._waiting.get(_token(record.headers))
            if written is not None and waiter is not None and not waiter.done():
                waiter.set_result(written)

    def _apply(self, record: Received) -> Written | None:
        try:
            revision = DetectorRevision.decode(record.value or b"")
        except Rejected as error:
            self._meters.detectors.revisions.labels("unreadable").inc()
            log.warning("%s@%d: %s", record.topic, record.offset, error)
            return None
        outcome = self._table.apply(revision)
        self._meters.detectors.revisions.labels(outcome).inc()
        if outcome is Outcome.APPLIED:
            return self._applied(revision.detector_id)
        refusal = _refusal(revision.detector) if outcome is Outcome.INVALID else None
        if refusal is not None:
            log.warning("%s@%d: detector %s: %s", record.topic, record.offset, revision.detector_id, refusal)
        return Written(outcome, None, refusal)

    def _applied(self, detector_id: str) -> Written:
        self._order = None
        detector = self.get(detector_id)
        if detector is None:
            self.kept.remove(detector_id)
        else:
            self.kept.add(detector)
        return Written(Outcome.APPLIED, detector)

    async def write(self, detector_id: str, base_revision: int, config: DetectorConfig | None) -> Written:
        """Append a revision (``config`` None deletes) and wait until this process has read and judged it.

        Raises ``Overloaded`` with too many writes at a time; ``Unavailable`` when it would not be kept, and nothing is
        written, or when Kafka does not confirm, or the record does not come back: then it may have been applied
        nevertheless.
        """
        if len(self._waiting) >= self._settings.api_max_writes:
            message = f"{len(self._waiting)} detector writes wait for Kafka (TOCSIN_API_MAX_WRITES)"
            raise Overloaded(message)
        revision = DetectorRevision(
            detector_id=detector_id,
            base_revision=base_revision,
            config=config,
            author=AUTHOR,
            time_ms=self._now_ms(),
        )
        token = secrets.token_bytes(TOKEN_BYTES)
        waiter = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            await self._append(revision, token)
            return await self._read_back(detector_id, waiter)
        finally:
            del self._waiting[token]

    async def _append(self, revision: DetectorRevision, token: bytes) -> None:
        """Ask whether it would be kept, connect if need be, send and confirm: all within one delivery time-out."""
        record = OutRecord(
            topic=self._settings.topics.detectors,
            key=revision.detector_id.encode(),
            value=revision.encode(),
            headers=[(WRITE_HEADER, token), (REQUEST_HEADER, REQUEST_ID.get().encode())],
        )
        async with self._writer.deadline():
            await self._upkeep.require()
            await self._writer.write(record)

    async def _read_back(self, detector_id: str, waiter: asyncio.Future[Written]) -> Written:
        late = f"detector {detector_id}: written to Kafka but not read back in time; read it to see what holds"
        async with within(self._settings.api_read_back_timeout_s, late):
            return await waiter

    async def stop(self) -> None:
        """End the writing; what is not confirmed in a moment fails."""
        await asyncio.to_thread(self._writer.stop)


def _token(headers: Iterable[tuple[str, bytes]]) -> bytes:
    return next((value for key, value in headers if key == WRITE_HEADER), b"")


def _refusal(detector: Detector | None) -> ConfigError | None:
    """Why the table did not take it; it says only that."""
    try:
        if detector is not None:
            compile_config(detector)
    except ConfigError as error:
        return error
    return None
