"""How many Python-object models a block may have: a bound for each detector, and one for the whole block.

A series that finds no room is not judged by that detector until it comes anew or the detector changes, so what is
judged depends on the partition alone and not on when something else went away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from flows.notices import Notices

MAX_MODELS = 500
"""Of one block, unless the settings say otherwise."""
OF_DETECTOR, OF_PARTITION = "models_refused", "partition_models_refused"
"""Whose bound a series met: its detector's or the block's."""


class Models:
    """Room for the models of a block."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: Mapping[Any, Collection[int]] | None = None
        """While a snapshot is read: rows that have a model, by program. Others had been refused."""
        self.refused = 0
        """series that found no room since the process started"""
        self.notices = Notices()
        self._refused_of: dict[int, Counter[str]] = {}

    def refused_of(self, number: int) -> Mapping[str, int]:
        """Series that found no room with a detector since the process started, by whose bound it was."""
        return self._refused_of.get(number, {})

    def forget(self, number: int) -> None:
        """A detector is gone."""
        self._refused_of.pop(number, None)

    def admits(self, key: Any, row: int, counts: tuple[int, int], of_detector: int, number: int, name: str) -> bool:
        """Whether a series gets a model; ``counts`` are those of the program and of the block."""
        mine, all_ = counts
        if self.kept is not None:
            kept = self.kept.get(key, ())
            if row not in kept:  # it finds none again
                self._refuse(number, OF_DETECTOR if len(kept) >= of_detector else OF_PARTITION)
            return row in kept
        if mine < of_detector and all_ < self.limit:
            return True
        self._refuse(number, OF_DETECTOR if mine >= of_detector else OF_PARTITION)
        if mine >= of_detector:
            why = f"it has {mine} models, its params.max_keys"
        else:
            why = f"the partition has {all_} models, its TOCSIN_FLOW_MAX_MODELS"
        self.notices.add(
            name,
            f"{why}; further series are not judged. Narrow its selector, or raise the bound: "
            "each model costs memory, and time at every sample and snapshot (docs/detectors.md)",
        )
        return False

    def _refuse(self, number: int, whose: str) -> None:
        self.refused += 1
        self._refused_of.setdefault(number, Counter())[whose] += 1
