"""How many series each detector of a block watches, and a bound for each.

A series that finds no room is not watched by that detector until it comes anew or the detector changes, so who is
watched depends on the partition alone. Members of groups and Python-object models have bounds of their own
(``flows.gathering``, ``flows.models``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from connectors.detector import Detector
from flows.detectors.base import Column, Ints, Table
from flows.notices import Notices

MAX_KEYS = 200_000
"""Of one detector in one block, unless the settings say otherwise: 0.3 GB with ``auto``."""


class Keys:
    """Room for the series of detectors, by their numbers."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: Mapping[str, Ints] | None = None
        """While a snapshot is read: what is watched by detectors that had refused something, by their ids."""
        self.full: set[int] = set()
        """detectors that have refused something"""
        self.refused = 0
        """series that found no room since the process started"""
        self.notices = Notices()
        self._table = Table(
            (
                Column("used", np.int64),
                Column("told", np.int64),
                Column("touched", np.bool_),
                Column("refused", np.int64),
            )
        )
        """``told``: one more than what ``changed`` said at last, 0 if it has not said anything"""

    def reserve(self, detectors: int) -> None:
        """Make room for so many detectors."""
        self._table.reserve(detectors)

    @property
    def shared(self) -> Ints:
        """How many series each detector watched when ``changed`` last told of it, −1 before; (detectors or more,)."""
        found: Ints = self._table["told"] - 1
        return found

    @property
    def used(self) -> Ints:
        """How many series each detector watches; (detectors or more,)."""
        found: Ints = self._table["used"]
        return found

    def refused_of(self, number: int) -> int:
        """Series that found no room with a detector since the process started."""
        return int(self._table["refused"][number])

    def restore(self, number: int, shared: int) -> None:
        """Put back what ``shared`` said of a detector."""
        self._table["told"][number] = shared + 1

    def add(self, numbers: Ints, n: Ints) -> None:
        """Different detectors watch so many more series each; (k,) both."""
        self._table["used"][numbers] += n
        self._table["touched"][numbers] = True

    def drop(self, numbers: Ints) -> None:
        """These detectors, which may stand there several times, watch one series less each."""
        np.subtract.at(self._table["used"], numbers, 1)
        self._table["touched"][numbers] = True

    def forget(self, number: int) -> None:
        """A detector is gone."""
        self._table.clear(np.array([number]))
        self.full.discard(number)

    @property
    def touched(self) -> Ints:
        """Detectors of which series came or went since ``changed`` was last asked."""
        return np.flatnonzero(self._table["touched"])

    def changed(self) -> Ints:
        """Detectors that watch more or fewer series than when this was last asked."""
        told, now = self._table["told"], self._table["used"] + 1
        changed = np.flatnonzero(self._table["touched"] & (now != told))
        told[changed] = now[changed]
        self._table["touched"][:] = False
        return changed

    def without_room(self, numbers: Ints, n: Ints) -> NDArray[np.bool_]:
        """Which of these detectors have no room for so many more series, or may have none; (k,) all."""
        if self.kept is not None:
            return np.ones(len(numbers), np.bool_)
        found: NDArray[np.bool_] = self._table["used"][numbers] + n > self.limit
        return found

    def admitted(self, number: int, detector: Detector, rows: Ints, order: Callable[[int], int]) -> NDArray[np.bool_]:
        """Which of these series find room, those that come first by ``order``; (n,) bool."""
        if self.kept is not None:
            kept = self.kept.get(detector.id)
            again = np.ones(len(rows), np.bool_) if kept is None else np.isin(rows, kept)
            self._count(number, int(np.count_nonzero(~again)))  # they find none again
            return again
        room = max(0, self.limit - int(self._table["used"][number]))
        first = np.argsort([order(row) for row in rows.tolist()])[:room]
        admitted = np.zeros(len(rows), np.bool_)
        admitted[first] = True
        self._refuse(number, detector, len(rows) - len(first))
        return admitted

    def _refuse(self, number: int, detector: Detector, n: int) -> None:
        self._count(number, n)
        self.full.add(number)
        self.notices.add(
            f"{detector.id} ({detector.config.name!r})",
            f"it watches {self.limit} series of a partition, TOCSIN_FLOW_MAX_KEYS; further series are not judged. "
            "Narrow its selector, split it, or raise the bound: each series costs memory (docs/detectors.md)",
        )

    def _count(self, number: int, n: int) -> None:
        self.refused += n
        self._table["refused"][number] += n
