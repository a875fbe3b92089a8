"""The members of a detector's groups on one partition, in one role and shape, and what they amount to at a step's end.

Samples wait in the order of their arrival until ``flows.gathering`` has them absorbed. What comes for a step that was
told is late: counted, not gathered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.codec.encode import encode_labels
from flows import contributions
from flows.config import GatherKey
from flows.detectors.base import Floats, Ints, Table
from flows.group import LE, SUM, GroupPlan
from flows.numbering import Numbering
from flows.partial import NO_BOUND, GroupName, Leader, Portion, aggregate_members
from flows.shape.range import absorb, member_columns, values_at
from flows.shown import Shown
from flows.waiting import COLUMNS, NOTHING, Waiting


class Whole(Protocol):
    """What one gather shares with the others of its detector: see ``flows.gathering``."""

    overflowed: bool
    waiting: int
    late: int
    gathers: dict[GatherKey, Gather]

    @property
    def told_ms(self) -> int:
        """End of the last step that was told."""

    def note_waiting(self, samples: int) -> None:
        """So many more wait."""


class Gather:
    """Members of one detector in one role and shape; rows of ``members`` are slots."""

    def __init__(self, key: GatherKey, plan: GroupPlan, gathering: Whole, labels_of: Callable[[int], bytes]) -> None:
        self.key, self.plan, self.gathering = key, plan, gathering
        self._labels_of = labels_of
        self._tells = key.role == SUM and contributions.tells(plan.group)
        own = contributions.COLUMNS if self._tells else ()
        self.members = Table((*member_columns(key.shape, plan.range_steps), *own))
        self.leaders: list[Leader] = []
        """members that stood out at the step that was told last"""
        self.used = 0
        self.waiting: list[Waiting] = []
        self.histograms = Shown(key.shape, plan.step_ms, plan.range_steps * plan.step_ms)
        self.latest_ms = -(1 << 62)
        self._free: list[int] = []
        self._groups: Numbering[GroupName] = Numbering()
        self._series: dict[int, int] = {}

    def __len__(self) -> int:
        return self.used - len(self._free)

    @property
    def groups(self) -> int:
        """Groups that have members."""
        return len(self._groups)

    def take_slot(self, labels: Mapping[str, str], series: int) -> int:
        """A slot for a new member, empty."""
        slot = self._free.pop() if self._free else self.used
        if slot == self.used:
            self.used += 1
            self.members.reserve(self.used)
        name = GroupName(encode_labels(self.plan.labels_of(labels)), self._bound(labels))
        self.members["group"][slot] = self._groups.join(name)
        self._series[slot] = series
        return slot

    def free_slots(self, slots: Ints) -> None:
        """Members are gone, with all that waits of them."""
        waited = self.waiting_samples
        for slot in slots.tolist():
            self._groups.leave(int(self.members["group"][slot]))
            del self._series[slot]
        self.members.clear(slots)
        self.waiting = [kept for part in self.waiting if len(kept := part.where(~np.isin(part.slots, slots)))]
        self.histograms.drop(set(slots.tolist()))
        self._free += slots.tolist()
        self.gathering.waiting -= waited - self.waiting_samples

    @property
    def waiting_samples(self) -> int:
        """Samples and histograms that wait for their step."""
        return sum(map(len, self.waiting)) + len(self.histograms.waiting)

    def forget(self) -> None:
        """Drop all samples, those that wait and those that ranges may need of histograms."""
        self.waiting = []
        self.histograms.clear()

    def _bound(self, labels: Mapping[str, str]) -> float:
        """Upper bound of the bucket that a series counts; NaN would be no bucket, which native histograms are."""
        if self.plan.group.histogram_quantile is None:
            return NO_BOUND
        try:
            bound = float(labels.get(LE, ""))
        except ValueError:
            return -math.inf
        return -math.inf if math.isnan(bound) else bound

    # samples

    def collect(self, slots: Ints, times_ms: Ints, values: Floats, starts_ms: Ints | None) -> int:
        """Let ``n`` samples wait for their steps; gives how many were late."""
        if self.gathering.overflowed:
            return 0
        starts = np.zeros(len(slots), np.int64) if starts_ms is None else starts_ms
        samples = Waiting(slots, times_ms, values, starts)
        ahead = times_ms > self.gathering.told_ms
        late = len(slots) - int(np.count_nonzero(ahead))
        self.gathering.late += late
        self._wait(samples.where(ahead) if late else samples)
        return late

    def collect_histogram(self, slot: int, time_ms: int, raw: bytes) -> int:
        """The same for a native histogram, where they are asked for."""
        if self.gathering.overflowed or self.plan.group.histogram_quantile is None:
            return 0
        if time_ms <= self.gathering.told_ms:
            self.gathering.late += 1
            return 1
        self.histograms.waiting.append((slot, time_ms, raw))
        self.gathering.note_waiting(1)
        return 0

    def _wait(self, samples: Waiting) -> None:
        if len(samples):
            self.waiting.append(samples)
            self.gathering.note_waiting(len(samples))

    # steps

    def next_ms(self) -> int | None:
        """Time of the earliest sample that waits; None if none does."""
        times = [int(part.times_ms.min()) for part in self.waiting]
        times += [time_ms for _, time_ms, _ in self.histograms.waiting]
        return min(times, default=None)

    def absorb(self, until_ms: int) -> None:
        """Take in what waits, as far as it is not later than ``until_ms``."""
        if self.waiting:
            waiting = Waiting.joined(self.waiting)
            due = waiting.times_ms <= until_ms
            later = waiting.where(~due)
            self.waiting = [later] if len(later) else []
            waiting = waiting.where(due)
            absorb(self.members, waiting.slots, waiting.times_ms, waiting.values, waiting.starts_ms, self.plan.step_ms)
            self.latest_ms = max(self.latest_ms, int(waiting.times_ms.max(initial=self.latest_ms)))
        self.latest_ms = self.histograms.absorb(until_ms, self.latest_ms)

    def portions(self, step: int) -> Iterator[Portion]:
        """What the members amount to at the end of a step whose samples were absorbed."""
        slots = np.flatnonzero(np.isin(np.arange(self.used), self._free, invert=True))
        values = values_at(self.members, slots, self.key.shape, step, self.plan.step_ms)
        if self.plan.group.histogram_quantile is not None:
            values[self._bounds()[self.members["group"][slots]] == -math.inf] = math.nan
        numbers = self.members["group"][slots]
        if self._tells:
            self.leaders = self._stand_out(slots, values)
        names, counts, told = aggregate_members(self.plan.group, self._groups.names, numbers, values)
        if names:
            yield Portion(self.key.role, self.key.shape, names, counts, told)
        names, counts, sums = self.histograms.sums(step, self._series.__getitem__, self._name_of)
        if names:
            yield Portion(self.key.role, self.key.shape, names, counts, np.zeros(len(names)), sums)

    def _stand_out(self, slots: Ints, values: Floats) -> list[Leader]:
        places, usual = contributions.stand_out(self.members, slots, values, self._series.__getitem__)
        told = zip(slots[places].tolist(), values[places].tolist(), usual.tolist(), strict=True)
        return [
            Leader(self._name_of(slot).labels, self._labels_of(self._series[slot]), value, was)
            for slot, value, was in told
        ]

    def _name_of(self, slot: int) -> GroupName:
        return self._groups.names[int(self.members["group"][slot])]

    def _bounds(self) -> Floats:
        return np.array([name.bound for name in self._groups.names])

    # memory

    def save(self, slots: Ints) -> dict[str, NDArray[Any]]:
        """Columns of these slots and of what waits, for a snapshot; the slot is named by its place in ``slots``."""
        place = np.zeros(self.used, np.int64)
        place[slots] = np.arange(len(slots))
        columns = {f"member/{c.name}": self.members[c.name][slots] for c in self.members.columns if c.name != "group"}
        waiting = Waiting.joined([NOTHING, *self.waiting])
        columns |= {f"waiting/{name}": getattr(waiting, name) for name in COLUMNS}
        columns["waiting/slots"] = place[waiting.slots]
        columns |= self.histograms.save(place)
        columns["latest_ms"] = np.array([self.latest_ms])
        return columns

    def load(self, slots: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """Put saved columns back; ``slots`` are those of the saved places, −1 for members that are no more."""
        still = slots >= 0
        for name in (c.name for c in self.members.columns if c.name != "group"):
            self.members[name][slots[still]] = columns[f"member/{name}"][still]
        _, *kept = (columns[f"waiting/{name}"] for name in COLUMNS)
        waiting = Waiting(slots[columns["waiting/slots"]], *kept)
        waiting = waiting.where(waiting.slots >= 0)
        self.waiting = [waiting] if len(waiting) else []
        self.latest_ms = int(columns["latest_ms"][0])
        self.histograms.load(slots, columns)
        self.gathering.waiting += self.waiting_samples

    @property
    def size_bytes(self) -> int:
        """Memory of members and of what waits."""
        waiting = sum(part.size_bytes for part in self.waiting)
        return self.members.size_bytes + waiting + self.histograms.size_bytes
