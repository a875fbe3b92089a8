"""Samples that wait for the end of their step, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Floats, Ints


@dataclass(frozen=True, slots=True)
class Waiting:
    """Samples not absorbed yet: ``n`` slots, times, values and created timestamps (0: none)."""

    slots: Ints
    times_ms: Ints
    values: Floats
    starts_ms: Ints

    def __len__(self) -> int:
        return len(self.slots)

    @classmethod
    def joined(cls, parts: Sequence[Waiting]) -> Waiting:
        """All of them, in order."""
        return cls(
            np.concatenate([part.slots for part in parts]),
            np.concatenate([part.times_ms for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.starts_ms for part in parts]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> Waiting:
        """Some of them."""
        return Waiting(self.slots[chosen], self.times_ms[chosen], self.values[chosen], self.starts_ms[chosen])

    @property
    def size_bytes(self) -> int:
        """Memory of all columns."""
        return self.slots.nbytes + self.times_ms.nbytes + self.values.nbytes + self.starts_ms.nbytes


COLUMNS = ("slots", "times_ms", "values", "starts_ms")
NOTHING = Waiting(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
