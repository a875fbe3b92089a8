"""Trainings as ``tocsin.status`` tells of them: what the api that sends says, and what each partition says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import NamedTuple

from api.meters import ApiMeters
from api.training import Training
from connectors.errors import Rejected
from connectors.received import Received
from connectors.training import ENDED, STATUS_KEY, PartState, TrainingHead, TrainingPart, TrainingState

log = logging.getLogger(__name__)

MAX_KEPT = 1000
"""Trainings that are remembered, the latest ones."""
KEPT_MS = 7 * 24 * 3_600_000
"""A training of which nothing has been said for so long is over: as long as anomalies are kept."""
MAX_FORGOTTEN = 10_000
"""Trainings that are no more remembered, and are yet to be taken out of the topic."""
_PREFIX = f"{STATUS_KEY}/".encode()


class Old(NamedTuple):
    """A training that is to be taken out of the topic, where so many partitions spoke of it."""

    training_id: str
    partitions: int


class Entry:
    """What is known of one training."""

    def __init__(self) -> None:
        self.head: TrainingHead | None = None
        self.parts: dict[int, TrainingPart] = {}
        self.changed = asyncio.Event()
        """set at any news; who waits clears it"""

    @property
    def state(self) -> TrainingState | None:
        """As a whole; None while its head is not known."""
        head = self.head
        if head is None or head.state in ENDED:
            return head.state if head is not None else None
        found = [part.state for part in self.parts.values()]
        if PartState.FAILED in found:
            return TrainingState.FAILED
        if PartState.CANCELLED in found:
            return TrainingState.CANCELLED
        return TrainingState.DONE if found.count(PartState.DONE) >= head.partitions else head.state

    @property
    def reason(self) -> str:
        """Why it failed or was cancelled; else empty."""
        if self.head is not None and self.head.reason:
            return self.head.reason
        for state in (PartState.FAILED, PartState.CANCELLED):
            for number, part in sorted(self.parts.items()):
                if part.state is state:
                    return f"partition {number}: {part.reason}" if part.reason else ""
        return ""

    @property
    def came(self) -> int:
        """Samples that came to the flow."""
        return sum(part.samples for part in self.parts.values())

    @property
    def records(self) -> int:
        """Records in which they came."""
        return sum(part.records for part in self.parts.values())

    def old(self, training_id: str) -> Old:
        """What there is to be taken out of the topic."""
        spoke = max(self.parts, default=-1) + 1
        return Old(training_id, max(spoke, self.head.places[-1] + 1 if self.head is not None else 0))

    def told(self, started: TrainingHead) -> Training:
        """All of it, for people."""
        parts = self.parts.values()
        state = self.state
        assert state is not None  # noqa: S101 - it has a head
        ahead = sum(part.ahead for part in parts)
        return Training(
            id=started.training_id, detector=started.detector_id, revision=started.revision, state=state,
            reason=self.reason, started_ms=started.started_ms, updated_ms=started.updated_ms,
            seconds=max(0.0, (started.updated_ms - started.started_ms) / 1000),
            series_matched=started.series_matched, series_unmatched=started.series_unmatched,
            duplicates=started.duplicates, samples=started.samples, sent=max(started.sent, self.came),
            learned=self.came - ahead, ahead=ahead, rows_replaced=sum(part.replaced for part in parts),
            partitions=started.partitions,
            partitions_done=sum(part.state is PartState.DONE for part in parts),
        )  # fmt: skip


class TrainingBoard:
    """The latest trainings by id. All of it runs on the event loop; ``tell`` is told of every change."""

    def __init__(self, meters: ApiMeters, tell: Callable[[Training], None]) -> None:
        self._entries: dict[str, Entry] = {}
        self._forgotten: dict[str, Old] = {}
        self._tell = tell
        self._meters = meters
        meters.trainings.kept.set_function(lambda: len(self._entries))

    def handle(self, records: Sequence[Received]) -> None:
        """Take in what concerns trainings of a batch of ``tocsin.status``."""
        for record in records:
            if record.key is None or not record.key.startswith(_PREFIX):
                continue
            if record.value is None:
                self.take_out(record.key.decode(errors="replace").split("/")[1])
            else:
                try:
                    self._take(record.value, of_partition=record.key.count(b"/") > 1)
                except Rejected as error:
                    self._meters.trainings.records.labels("unreadable").inc()
                    log.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, error)

    def _take(self, value: bytes, *, of_partition: bool) -> None:
        if of_partition:
            part = TrainingPart.decode(value)
            entry = self.entry(part.training_id)
            before = entry.parts.get(part.partition)
            if before is None or before.state is PartState.LEARNING:  # what has ended says nothing more
                entry.parts[part.partition] = part
            self._news(entry)
        else:
            self.put(TrainingHead.decode(value))
        self._meters.trainings.records.labels("taken").inc()

    def put(self, head: TrainingHead) -> None:
        """Take in what the sending api says; what has ended does not begin anew."""
        entry = self.entry(head.training_id)
        if entry.head is None or entry.head.state not in ENDED:
            entry.head = head
        self._news(entry)

    def entry(self, training_id: str) -> Entry:
        """What is known of a training; a new one if it was not heard of."""
        entry = self._entries.get(training_id)
        if entry is None:
            if len(self._entries) >= MAX_KEPT:
                ended = (key for key, one in self._entries.items() if one.state in ENDED)
                self._forget(next(ended, next(iter(self._entries))))
            entry = self._entries[training_id] = Entry()
        return entry

    def _forget(self, training_id: str) -> None:
        if len(self._forgotten) >= MAX_FORGOTTEN:  # it will be met again when the topic is read again
            del self._forgotten[next(iter(self._forgotten))]
        self._forgotten[training_id] = self._entries.pop(training_id).old(training_id)
        self._meters.trainings.forgotten.inc()

    def old(self, now_ms: int, most: int) -> list[Old]:
        """Trainings that are remembered no more, or of which nothing has been said for ``KEPT_MS``; some of them."""
        silent = (
            entry.old(training_id)
            for training_id, entry in self._entries.items()
            if entry.head is not None and now_ms - entry.head.updated_ms > KEPT_MS
        )
        return list(islice(chain(self._forgotten.values(), silent), most))

    def take_out(self, training_id: str) -> None:
        """It is no more in the topic."""
        self._entries.pop(training_id, None)
        self._forgotten.pop(training_id, None)

    def _news(self, entry: Entry) -> None:
        entry.changed.set()
        if entry.head is not None:
            self._tell(entry.told(entry.head))

    def get(self, training_id: str) -> Training | None:
        """How far a training has come; None if it is not known."""
        entry = self._entries.get(training_id)
        return entry.told(entry.head) if entry is not None and entry.head is not None else None

    def head_of(self, training_id: str) -> TrainingHead | None:
        """What the sending api said last."""
        entry = self._entries.get(training_id)
        return entry.head if entry is not None else None

    def page(self, limit: int, wanted: Callable[[Training], bool]) -> list[Training]:
        """The latest ones that are wanted, newest first."""
        known = [entry.told(entry.head) for entry in self._entries.values() if entry.head is not None]
        known.sort(key=lambda one: (one.started_ms, one.id), reverse=True)
        return list(islice(filter(wanted, known), limit))
