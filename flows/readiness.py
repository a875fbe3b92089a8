"""What detectors still need before they judge: counted once a minute of log time, from what their kinds say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from flows.config import CompiledDetector
from flows.detectors.base import Ints
from flows.program import Program
from flows.routes import NONE
from flows.watch import Watch

NONE_YET: Ints = np.zeros(0, np.int64)
MAX_NAMED = 1000
"""Signals of a block that are named, those that need most."""


class Readiness(NamedTuple):
    """Of one detector: its signals, those that warm up, and the most samples that any of these still needs."""

    signals: int
    warming: int
    needs: int


class Needing(NamedTuple):
    """A signal that is not judged yet: its detector, label bytes, and how many more samples it needs."""

    detector: str
    labels: bytes
    needs: int

    @property
    def says(self) -> str:
        """For people."""
        return f"needs {self.needs} more sample{'s' * (self.needs != 1)}"


class Most(NamedTuple):
    """Signals that need most, as columns, (n,) each: numbers of their detectors, what they need, and label bytes."""

    numbers: Ints
    needs: Ints
    labels: Sequence[bytes]


NOBODY_NEEDS = Most(NONE_YET, NONE_YET, ())


class Counted:
    """What was counted of all detectors, as columns: to name each takes long, and is done only if somebody asks."""

    def __init__(
        self,
        detectors: Sequence[CompiledDetector | None] = (),
        numbers: Ints = NONE_YET,
        needs: Ints = NONE_YET,
        needing: Most = NOBODY_NEEDS,
    ) -> None:
        """``numbers`` (n,) of the detector of each lane that is judged here, ``needs`` (n,) of its series."""
        self._detectors = detectors
        self._needing = needing
        signals = np.bincount(numbers)
        self._there = np.flatnonzero(signals)
        warming, most = np.bincount(numbers, needs > 0).astype(np.int64), np.zeros(len(signals), np.int64)
        np.maximum.at(most, numbers, needs)
        self._columns = [column[self._there] for column in (signals, warming, most)]

    @property
    def needing(self) -> list[Needing]:
        """Signals that are not judged yet, at most ``MAX_NAMED``."""
        columns = (column.tolist() for column in (self._needing.numbers, self._needing.needs))
        named = zip(*columns, self._needing.labels, strict=True)
        detectors = self._detectors
        return [Needing(one.source.id, labels, needs) for at, needs, labels in named if (one := detectors[at])]

    def items(self) -> Iterator[tuple[str, Readiness]]:
        """By detector id; detectors without signals, and those whose groups are judged elsewhere, are left out."""
        for number, *counts in zip(self._there.tolist(), *map(np.ndarray.tolist, self._columns), strict=True):
            detector = self._detectors[number]
            if detector is not None:
                yield detector.source.id, Readiness(*counts)


def readiness_of(watch: Watch) -> Counted:
    """What the detectors of a block need now."""
    lanes = watch.routes.lanes
    detectors = lanes["detector"][: lanes.used]
    used = np.flatnonzero(detectors != NONE)
    needs = _needs(watch)[lanes["entry"][used]]
    known = needs >= 0
    used, needs = used[known], needs[known]
    numbers = detectors[used].astype(np.int64)
    return Counted(list(watch.detectors), numbers, needs, _most(watch, used, needs))


def _most(watch: Watch, lanes: Ints, needs: Ints) -> Most:
    """The lanes that need most, of these."""
    most = np.flatnonzero(needs > 0)
    if len(most) > MAX_NAMED:
        most = most[np.argpartition(-needs[most], MAX_NAMED)[:MAX_NAMED]]
    rows = watch.routes.entries["row"][watch.routes.lanes["entry"][lanes[most]]]
    labels = watch.series.labels
    named = [labels[row] or b"" for row in rows.tolist()]
    return Most(watch.routes.lanes["detector"][lanes[most]].astype(np.int64), needs[most], named)


def _needs(watch: Watch) -> Ints:
    """Per entry, −1 where nothing is judged."""
    entries = watch.routes.entries
    needs = np.full(entries.used, -1)
    used = np.flatnonzero(entries["lane"][: entries.used] != NONE)
    if not len(used):
        return needs
    order = used[np.argsort(entries["program"][used], kind="stable")]
    numbers, starts = np.unique(entries["program"][order], return_index=True)
    for number, mine in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        program = watch.programs[number]
        if isinstance(program, Program):
            needs[mine] = program.needs(entries["slot"][mine].astype(np.int64))
    return needs
