"""A sorted copy of a window's ring, kept by rank and shift: what order statistics are read from.

A row's line holds its last ``count`` values ascending, as float32 offsets from the row's origin (``window``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Floats, Ints, Table
from flows.detectors.window import coarseness

MEAN_AD_TO_SIGMA = 1.2533141373155001
"""√(π/2): the mean absolute deviation of a Gaussian, as a standard deviation."""


def ordered_column(window: int) -> Column:
    """The sorted lines; derived from the rings."""
    return Column("sorted", np.float32, window, derived=True)


def sort_rings(state: Table, rows: Ints) -> None:
    """Sort the rings of these rows again, after a snapshot was read."""
    window = state["ring"].shape[1]
    ring, filled = state["ring"][rows], np.minimum(state["seen"][rows], window)
    beyond = np.arange(window) >= filled[:, None]
    state["sorted"][rows] = np.sort(np.where(beyond, np.float32(np.inf), ring), axis=1)


@njit(cache=True, inline="always")
def median_of(line: NDArray[Any], count: int) -> float:
    """Median of the first ``count`` values of a sorted line."""
    half = count >> 1
    if count & 1:
        return np.float64(line[half])
    return 0.5 * (np.float64(line[half - 1]) + np.float64(line[half]))


@njit(cache=True, inline="always")
def quantile_of(line: NDArray[Any], count: int, share: float) -> float:
    """Quantile of the first ``count`` values of a sorted line, interpolated linearly (Hyndman & Fan's type 7)."""
    place = share * (count - 1)
    at = int(place)
    low = np.float64(line[at])
    if at + 1 >= count:
        return low
    return low + (place - at) * (np.float64(line[at + 1]) - low)


@njit(cache=True)
def sigma_of_rest(line: NDArray[Any], count: int, middle: float, grain: float, floor: float) -> float:
    """Standard deviation by the mean absolute deviation from ``middle``, where most values are alike.

    ``floor`` where all are, up to ``grain``.
    """
    total = 0.0
    if line[0] != line[count - 1]:
        for j in range(count):
            total += abs(np.float64(line[j]) - middle)
    mean = total / count
    return MEAN_AD_TO_SIGMA * mean if mean > grain else floor


@njit(cache=True)
def learn(ring: NDArray[Any], line: NDArray[Any], at: int, count: int, x: np.float32) -> None:
    """Put ``x`` into the ring at ``at`` and into the sorted line, over the oldest value once the window is full."""
    hole, to = ranks_of(line, count, ring[at], x)
    if count < ring.shape[0]:
        hole = count  # nothing leaves
    ring[at] = x
    if to > hole:
        to -= 1  # the value that leaves lay below
        for j in range(hole, to):
            line[j] = line[j + 1]
    else:
        for j in range(hole, to, -1):
            line[j] = line[j - 1]
    line[to] = x


@njit(cache=True, inline="always")
def ranks_of(line: NDArray[Any], count: int, x: np.float32, y: np.float32) -> tuple[int, int]:
    """How many of the first ``count`` values of a sorted line are below ``x``, and how many below ``y``.

    Counted, not searched: a processor compares eight at a time and guesses nothing, which at 60 values takes a third.
    """
    below_x = below_y = np.int32(0)
    for j in range(count):
        below_x += np.int32(line[j] < x)
        below_y += np.int32(line[j] < y)
    return int(below_x), int(below_y)


@njit(cache=True)
def rebase(ring: NDArray[Any], line: NDArray[Any], origin: Floats, coarse: NDArray[Any], row: int) -> None:
    """Move the origin to the median, so that offsets stay small however far the signal wanders.

    Called when the last place of the ring was filled.
    """
    window = ring.shape[0]
    shift = median_of(line, window)
    coarse[row] = coarseness(ring, window - 1, shift)
    if shift == 0.0:
        return
    origin[row] += shift
    for j in range(window):
        ring[j] = np.float32(np.float64(ring[j]) - shift)
        line[j] = np.float32(np.float64(line[j]) - shift)
