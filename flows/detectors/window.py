"""The memory of window detectors: the last ``window`` values of each signal, as float32 offsets from a float64 origin.

Raw float32 would be 128 apart at 1.7e9; offsets from an origin that follows the signal keep the digits that matter.
The ring's write position is ``seen % window``. Of a signal that stands still, offsets from before and after a move of
the origin differ by their rounding: what is no farther from the middle than a *grain* is no deviation.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Ints, Table
from flows.detectors.holding import HoldParams

COUNT_LIMIT = 2_000_000_000
ROUNDING = 2.0**-23
"""Between two roundings of one number to float32, as a share of it."""


class WindowParams(HoldParams):
    """Parameters of a detector that judges against the last ``window`` samples."""

    window: Annotated[int, Field(ge=5, le=4096, description="samples remembered")] = 60
    warmup: Annotated[
        int | None,
        Field(ge=3, le=4096, description="samples before the first score, at most window; default a full window"),
    ] = None
    floor_ratio: float = Field(
        default=1e-3,
        ge=0,
        le=1,
        description="standard deviation believed of a constant window, as a share of its level",
    )

    @field_validator("warmup")
    @classmethod
    def _no_more_than_are_remembered(cls, warmup: int | None, others: ValidationInfo) -> int | None:
        window = others.data.get("window")
        if warmup is not None and window is not None and warmup > window:
            message = f"must be at most window = {window}: no more samples are remembered"
            raise ValueError(message)
        return warmup

    @property
    def needed(self) -> int:
        """Samples before the first score."""
        return self.warmup or self.window


def window_columns(window: int) -> tuple[Column, ...]:
    """Ring, origin, count of samples seen, and how coarse offsets were before the origin was moved at last."""
    return (
        Column("ring", np.float32, window),
        Column("origin", np.float64),
        Column("seen", np.int32),
        Column("coarse", np.float32),
    )


def samples_needed(state: Table, rows: Ints, needed: int) -> Ints:
    """How many more samples each row needs, (n,) int64."""
    return np.maximum(0, needed - state["seen"][rows].astype(np.int64))


@njit(cache=True, inline="always")
def next_count(seen: int, window: int) -> int:
    """``seen + 1``, folded before int32 overflows, at the same position of the ring."""
    if seen + 1 < COUNT_LIMIT:
        return seen + 1
    return window + (seen + 1) % window


@njit(cache=True, inline="always")
def grain_of(coarse: np.float32, middle: float) -> float:
    """What lies no farther from the middle than this may be the same value, rounded in another way."""
    return max(np.float64(coarse), ROUNDING * abs(middle))


@njit(cache=True)
def coarseness(ring: NDArray[Any], at: int, shift: float) -> np.float32:
    """How coarse the offsets are that matter after a move by ``shift``, to the middle.

    Those near the middle, and those of a value that stands still since before ``at``, where the latest is.
    """
    standing = abs(np.float64(ring[at])) if ring[at] == ring[at - 1] else 0.0
    return np.float32(ROUNDING * max(abs(shift), standing))
