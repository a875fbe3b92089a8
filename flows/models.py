"""How many Python-object models a block may have: a bound for each detector, and one for the whole block.

A series that finds no room is not judged by that detector until it comes anew or the detector changes, so what is
judged depends on the partition alone and not on when something else went away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flows.notices import Notices

MAX_MODELS = 500
"""Of one block, unless the settings say otherwise."""


class Models:
    """Room for the models of a block."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: Mapping[Any, Collection[int]] | None = None
        """While a snapshot is read: rows that have a model, by program. Others had been refused."""
        self.refused = 0
        """series that found no room since the process started"""
        self.notices = Notices()

    def admits(self, key: Any, row: int, counts: tuple[int, int], of_detector: int, name: str) -> bool:
        """Whether a series gets a model; ``counts`` are those of the program and of the block."""
        if self.kept is not None:
            return row in self.kept.get(key, ())
        mine, all_ = counts
        if mine < of_detector and all_ < self.limit:
            return True
        self.refused += 1
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
