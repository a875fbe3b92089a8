"""Native histograms that the members of a group showed: those that wait for their step, and those that it may need."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.histogram import CUSTOM_BUCKETS
from connectors.codec.native import NativeHistogram, is_stale, read_histogram
from connectors.detector import Shape
from connectors.errors import Rejected
from flows.detectors.base import Ints
from flows.partial import GroupName
from flows.shape.native import add, change
from flows.shape.rate import CHANGES, MAX_GAP_MS

NO_SUM = NativeHistogram(CUSTOM_BUCKETS, math.nan, math.nan)
"""It has no quantile, and neither has its sum with any other, if there is one."""


class Seen(NamedTuple):
    """One of them; ``raw`` is what a snapshot keeps."""

    time_ms: int
    raw: bytes
    histogram: NativeHistogram


class Shown:
    """Native histograms by slot of their member; steps are ``step_ms`` long, changes reach over ``range_ms``."""

    def __init__(self, shape: Shape, step_ms: int, range_ms: int) -> None:
        self.waiting: list[tuple[int, int, bytes]] = []
        self.unreadable = 0
        """those that could not be read since the process started"""
        self._shape = shape
        self._step_ms = step_ms
        self._range_ms = range_ms if shape in CHANGES else MAX_GAP_MS
        self._seen: dict[int, list[Seen]] = {}

    def drop(self, slots: Collection[int]) -> None:
        """Members are gone."""
        self.waiting = [one for one in self.waiting if one[0] not in slots]
        for slot in slots:
            self._seen.pop(slot, None)

    def clear(self) -> None:
        """Forget all of them."""
        self.waiting, self._seen = [], {}

    def absorb(self, until_ms: int, latest_ms: int) -> int:
        """Take in what waits, as far as it is not later than ``until_ms``; gives the latest time, or ``latest_ms``."""
        for slot, time_ms, raw in self.waiting:
            if time_ms <= until_ms:
                latest_ms = max(latest_ms, time_ms)
                self._see(slot, time_ms, raw)
        self.waiting = [one for one in self.waiting if one[1] > until_ms]
        return latest_ms

    def _see(self, slot: int, time_ms: int, raw: bytes) -> None:
        seen = self._seen.setdefault(slot, [])
        try:
            shown = None if is_stale(raw) else read_histogram(raw)
        except Rejected:  # ingest refuses such; another writer may not
            self.unreadable += 1
            return
        if shown is not None:
            seen.append(Seen(time_ms, raw, shown))
        elif self._shape not in CHANGES:  # ranges go over stale markers, as in Prometheus
            seen.clear()

    def sums(
        self, step: int, order: Callable[[int], int], name_of: Callable[[int], GroupName]
    ) -> tuple[tuple[GroupName, ...], Ints, tuple[NativeHistogram, ...]]:
        """Groups that show one at the end of a step, how many of their members do, and the sum of these.

        ``NO_SUM`` where they do not add up, so that the group is a gap whatever other partitions say.
        Slots are added in the ``order`` of their series: the same after every restart.
        """
        totals: dict[GroupName, NativeHistogram | None] = {}
        counts: dict[GroupName, int] = {}
        for slot in sorted(self._seen, key=order):
            shown = self._at(slot, step)
            if shown is None:
                continue
            name = name_of(slot)
            before = totals.get(name)
            totals[name] = shown if name not in totals else None if before is None else add(before, shown)
            counts[name] = counts.get(name, 0) + 1
        known = tuple(sorted(totals))
        column = np.array([counts[name] for name in known], np.int64)
        return known, column, tuple(totals[name] or NO_SUM for name in known)

    def _at(self, slot: int, step: int) -> NativeHistogram | None:
        """What a member shows at the end of the step; forgets what no later step will need."""
        seen, until_ms = self._seen[slot], step * self._step_ms
        while seen and seen[0].time_ms <= until_ms - self._range_ms:
            seen.pop(0)
        if self._shape not in CHANGES:
            del seen[:-1]
            return seen[0].histogram if seen else None
        counter = self._shape is not Shape.DELTA and not any(one.histogram.gauge for one in seen)
        samples = [(one.time_ms, one.histogram) for one in seen]
        return change(samples, until_ms, self._range_ms, counter=counter, per_second=self._shape is Shape.RATE)

    def save(self, place: Ints) -> dict[str, NDArray[Any]]:
        """Columns for a snapshot, which names slots by their ``place``."""
        columns: dict[str, NDArray[Any]] = {}
        seen = [(slot, one.time_ms, one.raw) for slot, all_ in self._seen.items() for one in all_]
        for what, kept in (("seen", seen), ("unseen", self.waiting)):
            columns[f"{what}/slots"] = place[np.array([slot for slot, _, _ in kept], np.int64)]
            columns[f"{what}/times_ms"] = np.array([time_ms for _, time_ms, _ in kept], np.int64)
            columns[f"{what}/sizes"] = np.array([len(raw) for _, _, raw in kept], np.int64)
            columns[f"{what}/raw"] = np.frombuffer(b"".join(raw for _, _, raw in kept), np.uint8)
        return columns

    def load(self, slots: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """Put saved columns back; ``slots`` are those of the saved places, −1 for members that are no more.

        What the version that saved them could read, and this one cannot, is counted and left out.
        """
        for slot, time_ms, raw in _saved(slots, columns, "seen"):
            self._see(slot, time_ms, raw)
        self.waiting = list(_saved(slots, columns, "unseen"))

    @property
    def size_bytes(self) -> int:
        """Memory of all raw histograms; asked for by the probes' thread while they change."""
        seen = sum(len(one.raw) for all_ in list(self._seen.values()) for one in all_)
        return seen + sum(len(raw) for _, _, raw in self.waiting)


def _saved(slots: Ints, columns: Mapping[str, NDArray[Any]], what: str) -> Iterator[tuple[int, int, bytes]]:
    raw, at = columns[f"{what}/raw"].tobytes(), 0
    sizes = columns[f"{what}/sizes"].tolist()
    for place, time_ms, size in zip(
        columns[f"{what}/slots"].tolist(), columns[f"{what}/times_ms"].tolist(), sizes, strict=True
    ):
        if slots[place] >= 0:
            yield int(slots[place]), time_ms, raw[at : at + size]
        at += size
