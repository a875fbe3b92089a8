"""How many series each detector of a block watches, and a bound for each.

A series that finds no room is not watched by that detector until it comes anew or the detector changes, so who is
watched depends on the partition alone. Members of groups and Python-object models have bounds of their own
(``flows.gather``, ``flows.models``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from connectors.messages import Detector
from flows.detectors.base import Ints
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
        self.shared: dict[int, int] = {}
        """how many series each watched when ``changed`` was last asked"""
        self._used: Counter[int] = Counter()
        self._changed: set[int] = set()

    def add(self, number: int, n: int) -> None:
        """A detector watches ``n`` more series."""
        self._used[number] += n
        self._changed.add(number)

    def drop(self, numbers: Ints) -> None:
        """These detectors, which may stand there several times, watch one series less each."""
        for number, n in zip(*map(np.ndarray.tolist, np.unique(numbers, return_counts=True)), strict=True):
            self._used[number] -= n
            self._changed.add(number)

    def forget(self, number: int) -> None:
        """A detector is gone."""
        del self._used[number]
        self.shared.pop(number, None)
        self._changed.discard(number)
        self.full.discard(number)

    def changed(self) -> list[int]:
        """Detectors that watch more or fewer series than when this was last asked."""
        changed = [number for number in self._changed if self._used[number] != self.shared.get(number)]
        self.shared |= {number: self._used[number] for number in changed}
        self._changed.clear()
        return changed

    def admits_all(self, number: int, n: int) -> bool:
        """Whether a detector has room for ``n`` more series."""
        return self.kept is None and self._used[number] + n <= self.limit

    def admitted(self, number: int, detector: Detector, rows: Ints, order: Callable[[int], int]) -> NDArray[np.bool_]:
        """Which of these series find room, those that come first by ``order``; (n,) bool."""
        if self.kept is not None:
            kept = self.kept.get(detector.id)
            return np.ones(len(rows), np.bool_) if kept is None else np.isin(rows, kept)
        room = max(0, self.limit - self._used[number])
        first = np.argsort([order(row) for row in rows.tolist()])[:room]
        admitted = np.zeros(len(rows), np.bool_)
        admitted[first] = True
        self._refuse(number, detector, len(rows) - len(first))
        return admitted

    def _refuse(self, number: int, detector: Detector, n: int) -> None:
        self.refused += n
        self.full.add(number)
        self.notices.add(
            f"{detector.id} ({detector.config.name!r})",
            f"it watches {self.limit} series of a partition, TOCSIN_FLOW_MAX_KEYS; further series are not judged. "
            "Narrow its selector, split it, or raise the bound: each series costs memory (docs/detectors.md)",
        )
