"""What a block tells of its detectors and of itself: the records of ``tocsin.status``, at control records.

A detector is told of when something of it has changed, but not twice within a minute of log time (15 s while it is
new; some minutes if it has thousands of series), and of some detectors at each control record, those that waited
longest: so thousands hold up nothing. Of each a bounded number of signals is named. What is told follows from the
partition and from where in it the process began: drops and verdicts are those since the start, which tells anew. Only
how often depends on the process: a flow that catches up, for which an hour passes in seconds, tells at its own pace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import orjson

from connectors.catalogue import Topics
from connectors.messages import OutRecord
from connectors.status import detector_key, partition_key
from flows.config import CompiledDetector
from flows.detectors.base import Column, Ints, Table
from flows.episodes import EpisodeTable
from flows.look import Look, look_at
from flows.naming import Naming
from flows.pace import Pace
from flows.program import Judged
from flows.series import NEVER_MS
from flows.watch import Watch

EVERY_MS, EVERY_NEW_MS, NEW_MS = 60_000, 15_000, 300_000
"""A detector is new for five minutes after it began to compute what it does."""
LANES_PER_TURN, MAX_TURNS = 500, 10
"""One of thousands of lanes is looked at more rarely: that takes as long as judging a quarter of their samples."""
PER_CONTROL = 64
"""Detectors told of at the control records of one second, on all partitions together, and in a second of the process's
own clock: at 0.2 ms each, and 1 ms with all signals named, some per cent of a core. With 10,000 detectors on 8
partitions, of which all change, each is told of every 20 minutes; new ones at once."""
MAX_LANES = 200_000
"""Lanes looked at for one control record, but for a detector that has more by itself: some 10 ms."""
PARTITION_EVERY_MS = 30_000
MAX_CADENCES = 1000
"""Series of which the median cadence is told."""
RATE_MS, YOUNG_MS, DAY_MS = 86_400_000.0, 3_600_000, 86_400_000.0
"""Anomalies fade over a day; in its first hour a detector has no rate."""
NOT_THERE = (1 << 63) - 1
COLUMNS = (
    Column("order", np.int64),  # when it is to be told of, s, then by its id
    Column("looked_ms", np.int64),  # when it was told of, or nothing had changed
    Column("since_ms", np.int64),
    Column("opened", np.int64),
    Column("recent", np.float64),  # anomalies, fading
    Column("recent_ms", np.int64),
    Column("digest", np.int64),  # of what was told
)
SAVED = ("since_ms", "opened", "recent", "recent_ms")


class Telling(NamedTuple):
    """One record before its partition is known; ``body`` is a JSON object, None where a detector is gone."""

    detector: str
    """empty: of the partition itself"""
    log_ms: int
    body: bytes | None

    def record(self, topics: Topics, partition: int | None) -> OutRecord:
        """As it is written; ``partition`` None: of groups."""
        key = detector_key(self.detector, partition) if self.detector else partition_key(partition or 0)
        if self.body is None:
            return OutRecord(topics.status, key, None, [])
        what = b"detector" if self.detector else b"partition"
        number = b"null" if partition is None else b"%d" % partition
        head = b'{"version":1,"type":"%s","partition":%s,"log_ms":%d,' % (what, number, self.log_ms)
        return OutRecord(topics.status, key, head + self.body[1:], [])


class Teller:
    """What is told of the block of a partition, or of that of groups, whose ``gaps`` are counted beside it.

    ``pace`` says of how many may be told now; None: of all whose turn it is.
    """

    def __init__(self, gaps: Mapping[str, int] | None = None, pace: Pace | None = None) -> None:
        self.naming = Naming()
        self.of_partition = gaps is None
        self._gaps = {} if gaps is None else gaps
        self._pace = pace
        self._table = Table(COLUMNS)
        self._ids: list[str | None] = []
        self._told: list[Telling] = []
        self._partition_ms = 0
        self._next = 0
        """the least of ``order``, or less"""
        self.told_total = 0

    def take(self) -> list[Telling]:
        """What is to be told since the last call."""
        told, self._told = self._told, []
        self.told_total += len(told)
        return told

    # what happens meanwhile

    def hear(self, watch: Watch, entries: Ints, times_ms: Ints, judged: Judged) -> None:
        """Verdicts on ``n`` signals."""
        self.naming.heard.hear(entries, times_ms, judged, watch.routes.entries.used)

    def opened(self, number: int, log_ms: int) -> None:
        """A detector has opened an episode."""
        if number < len(self._ids):
            table = self._table
            table["opened"][number] += 1
            table["recent"][number] = self._recent(number, log_ms) + 1.0
            table["recent_ms"][number] = log_ms

    def _recent(self, number: int, log_ms: int) -> float:
        passed_ms = log_ms - int(self._table["recent_ms"][number])
        return float(self._table["recent"][number]) * math.exp(-passed_ms / RATE_MS)

    # detectors come and go

    def renew(self, watch: Watch, log_ms: int) -> None:
        """Take note of detectors that came, went or changed."""
        if not watch.revised:
            return
        self._reserve(len(watch.detectors))
        for number in sorted(watch.revised):
            before, detector = self._ids[number], watch.detectors[number]
            if watch.revised[number]:
                self._forget(number)
            if before is not None and before not in watch.numbers:
                self._told.append(Telling(before, log_ms, None))
            self._ids[number] = None if detector is None else detector.source.id
            if detector is not None and watch.revised[number]:
                self._table["since_ms"][number] = self._table["recent_ms"][number] = log_ms
            self._table["order"][number] = NOT_THERE if detector is None else _order(0, detector.source.id)
        watch.revised.clear()
        self._next = 0

    def _forget(self, number: int) -> None:
        self.naming.forget(number)
        self._table.clear(np.array([number]))

    def _reserve(self, detectors: int) -> None:
        missing = detectors - len(self._ids)
        if missing > 0:
            self._table.reserve(detectors)
            self._table["order"][len(self._ids) :] = NOT_THERE
            self._ids += [None] * missing

    # telling

    def tell(self, watch: Watch, episodes: EpisodeTable, log_ms: int, partitions: int) -> None:
        """Tell of the detectors whose turn it is."""
        self.renew(watch, log_ms)
        if self._next >= _order(log_ms + 1000, ""):  # as at most control records of a flow that catches up
            return
        most = max(1, PER_CONTROL // partitions)
        left = most if self._pace is None else self._pace.left()
        if not left:
            return
        numbers = self._due(watch, log_ms, most if self._pace is None else min(most, self._pace.per_s))
        if len(numbers) > left:  # later, together: that costs less than one by one
            return
        if len(numbers):
            self._tell_of(numbers, watch, episodes, log_ms)
        if self._pace is not None:
            self._pace.spend(len(numbers))
        self._next = int(self._table["order"][: len(self._ids)].min(initial=NOT_THERE))

    def _tell_of(self, numbers: Ints, watch: Watch, episodes: EpisodeTable, log_ms: int) -> None:
        for number, look in zip(numbers.tolist(), look_at(watch, episodes, numbers, log_ms), strict=True):
            detector = watch.detector(number)
            body = orjson.dumps(self._body(watch, number, detector, look, log_ms))
            digest = int.from_bytes(blake2b(body, digest_size=8).digest(), "big", signed=True)
            if digest != self._table["digest"][number]:
                self._told.append(Telling(detector.source.id, log_ms, body))
            self._table["digest"][number] = digest
            self._table["looked_ms"][number] = log_ms
            self._table["order"][number] = _order(
                log_ms + self._pause_ms(number, len(look), log_ms), detector.source.id
            )

    def _pause_ms(self, number: int, lanes: int, log_ms: int) -> int:
        """How long nothing is told of a detector."""
        if log_ms - int(self._table["since_ms"][number]) < NEW_MS:
            return EVERY_NEW_MS
        return EVERY_MS * min(MAX_TURNS, 1 + lanes // LANES_PER_TURN)

    def _due(self, watch: Watch, log_ms: int, most: int) -> Ints:
        order = self._table["order"][: len(self._ids)]
        due = np.flatnonzero(order < _order(log_ms + 1000, ""))
        if len(due) > most:
            due = due[np.argpartition(order[due], most)[:most]]
        due = due[np.argsort(order[due])]
        lanes = np.cumsum(watch.keys.used[due])
        return due[: max(1, int(np.searchsorted(lanes, MAX_LANES, "right")))]

    def tell_partition(self, log_ms: int, fields: Callable[[], Mapping[str, Any]]) -> None:
        """Tell that the partition is alive, with these fields, now and then."""
        if log_ms - self._partition_ms >= PARTITION_EVERY_MS:
            self._partition_ms = log_ms
            known = self._table["order"][: len(self._ids)] != NOT_THERE
            looked_ms = int(self._table["looked_ms"][: len(self._ids)][known].min(initial=log_ms)) or None
            self._told.append(Telling("", log_ms, orjson.dumps({"looked_ms": looked_ms, **fields()})))

    def _body(self, watch: Watch, number: int, detector: CompiledDetector, look: Look, log_ms: int) -> dict[str, Any]:
        judged, threshold = look.needs >= 0, float(watch.policies["threshold"][number])
        silent, warming = judged & look.silent, judged & ~look.silent & (look.needs > 0)
        known = look.step_s[:MAX_CADENCES]
        known = known[known > 0]
        last_ms = int(look.last_ms.max(initial=NEVER_MS))
        return {
            "detector": detector.source.id,
            "revision": detector.source.revision,
            "enabled": detector.source.config.enabled,
            "matched": len(look),
            "members": len(look) - int(judged.sum()),
            "warming": int(warming.sum()),
            "running": int((judged & ~silent & ~warming).sum()),
            "silent": int(silent.sum()),
            "open": int(look.open.sum()),
            "needs": int(look.needs.max(initial=0)),
            "step_s": round(float(np.median(known)), 3) if len(known) else None,
            "last_ms": None if last_ms == NEVER_MS else last_ms,
            "samples": int(look.samples.sum()),
            "anomalies": int(self._table["opened"][number]),
            "since_ms": int(self._table["since_ms"][number]),
            "anomalies_per_day": self._rate(number, log_ms),
            "threshold": threshold if math.isfinite(threshold) else None,
            "drops": self._drops_of(watch, number),
            "state_bytes": round(float(look.state_bytes.sum())),
            "signals": self.naming.signals(watch, number, look),
        }

    def _rate(self, number: int, log_ms: int) -> float | None:
        """Anomalies a day, rounded: by the hour, so that it alone is no news."""
        age_ms = log_ms - int(self._table["since_ms"][number])
        if age_ms < YOUNG_MS:
            return None
        memory_days = RATE_MS / DAY_MS * -math.expm1(-age_ms / RATE_MS)
        return round(self._recent(number, log_ms) / memory_days, 1)

    def _drops_of(self, watch: Watch, number: int) -> dict[str, int]:
        found = {"series_refused": watch.keys.refused_of(number), **watch.models.refused_of(number)}
        found |= {reason: n for reason, n in self._gaps.items() if reason.startswith("gaps_")}
        gathering = watch.gatherings.get(number)
        if gathering is not None:
            found |= {"late": gathering.late, "overflowed": int(gathering.overflowed)}
        return {reason: n for reason, n in found.items() if n}

    # memory

    def save(self, watch: Watch) -> tuple[list[str], dict[str, Any]]:
        """Ids of the detectors and columns of what was counted of them, for a snapshot."""
        ids = sorted(watch.numbers)
        rows = np.array([watch.numbers[one] for one in ids], np.int64)
        self._reserve(len(watch.detectors))
        return ids, {f"told/{name}": self._table[name][rows] for name in SAVED}

    def load(self, watch: Watch, log_ms: int, ids: list[str], columns: Mapping[str, Any]) -> None:
        """Put back what ``save`` gave, for detectors that there still are; of others tell that they are gone."""
        self.renew(watch, log_ms)
        for at, detector_id in enumerate(ids):
            number = watch.numbers.get(detector_id)
            if number is None:
                self._told.append(Telling(detector_id, log_ms, None))
            else:
                for name in SAVED:
                    self._table[name][number] = columns[f"told/{name}"][at]


def _order(log_ms: int, detector_id: str) -> int:
    """When it was told of, in s; at the same time by its id."""
    return (log_ms // 1000) << 31 | crc32(detector_id.encode()) >> 1
