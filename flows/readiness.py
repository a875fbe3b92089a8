"""What detectors still need before they judge: counted once a minute of log time, from what their kinds say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flows.detectors.base import Ints
from flows.program import Program
from flows.routes import NONE
from flows.watch import Watch


class Readiness(NamedTuple):
    """Of one detector: its signals, those that warm up, and the most samples that any of these still needs."""

    signals: int
    warming: int
    needs: int


def readiness_of(watch: Watch) -> dict[str, Readiness]:
    """By detector id; detectors without signals, and those whose groups are judged elsewhere, are left out."""
    needs = _needs(watch)
    lanes = watch.routes.lanes
    detectors = lanes["detector"][: lanes.used]
    used = np.flatnonzero(detectors != NONE)
    found: dict[str, Readiness] = {}
    if not len(used):
        return found
    order = used[np.argsort(detectors[used], kind="stable")]
    numbers, starts = np.unique(detectors[order], return_index=True)
    for number, mine in zip(numbers.tolist(), np.split(needs[lanes["entry"][order]], starts[1:]), strict=True):
        known = mine[mine >= 0]
        if len(known):
            key = watch.detector(number).source.id
            found[key] = Readiness(len(known), int(np.count_nonzero(known)), int(known.max()))
    return found


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
