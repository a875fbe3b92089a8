"""Exact rolling median and MAD.

Source: Hampel (1974), *The influence curve and its role in robust estimation*; the modified z-score and its
fall-back on the mean absolute deviation: Iglewicz & Hoaglin (1993), *How to detect and handle outliers*.
Cost: a sorted copy of the window per signal, kept by binary search and a shift; the MAD by binary search in its wings.
Fails: on trends and seasons longer than the window; a level shift is forgotten after half a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, VALUE_LIMIT, Floats, Ints, Scored, Table
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.holding import hold_column, holds_of, learns
from flows.detectors.ordered import (
    learn,
    median_of,
    ordered_column,
    rebase,
    sigma_of_rest,
    sort_rings,
)
from flows.detectors.window import WindowParams, grain_of, next_count, samples_needed, window_columns

MAD_TO_SIGMA = 1.4826022185056018
"""1 / Φ⁻¹(3/4): the MAD of a Gaussian, as a standard deviation."""


class MadParams(WindowParams):
    """Parameters of ``mad``."""


@dataclass(frozen=True, slots=True)
class Mad:
    """Distance from the rolling median in robust standard deviations."""

    params: MadParams

    def allocate(self, rows: int) -> Table:
        """Ring and sorted copy."""
        window = self.params.window
        return Table((*window_columns(window), ordered_column(window), hold_column(self.params)), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        mad_step(
            state["ring"], state["sorted"], state["coarse"], state["origin"], state["seen"],
            holds_of(state, self.params), rows, times_ms, values,
            self.params.needed, self.params.floor_ratio, self.params.hold_ms, self.params.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Sort the rings again."""
        sort_rings(state, rows)

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.needed)


@njit(cache=True, nogil=True)
def mad_step(
    ring: NDArray[Any], ordered: NDArray[Any], coarse: NDArray[Any], origin: Floats, seen: NDArray[Any],
    held_ms: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats, needed: int,
    floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; arrays as in ``Mad.allocate`` and ``Scored``."""
    window, holds = ring.shape[1], hold_ms > 0
    for i in range(rows.shape[0]):
        row, value = rows[i], values[i]
        count = min(seen[row], window)
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        if count == 0:
            origin[row] = value
        x = value - origin[row]
        line = ordered[row]
        if count >= needed:
            middle = median_of(line, count)
            centre = middle + origin[row]
            grain = grain_of(coarse[row], middle)
            scale = scale_of(line, count, middle, grain, floor_ratio * abs(centre))
            away = abs(x - middle)
            z = deviations(away if away > grain else 0.0, scale)
            score[i] = gaussian_surprise(z)
            expected[i] = centre
            lower[i] = centre - BAND_Z * scale
            upper[i] = centre + BAND_Z * scale
        if holds and not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        at = seen[row] % window
        learn(ring[row], line, at, count, np.float32(x))
        seen[row] = next_count(seen[row], window)
        if at == window - 1:
            rebase(ring[row], line, origin, coarse, row)


@njit(cache=True)
def scale_of(line: NDArray[Any], count: int, middle: float, grain: float, floor: float) -> float:
    """Robust standard deviation: MAD, else mean absolute deviation, else ``floor`` for a constant window."""
    mad = mad_of(line, count, middle)
    return MAD_TO_SIGMA * mad if mad > grain else sigma_of_rest(line, count, middle, grain, floor)


@njit(cache=True)
def mad_of(line: NDArray[Any], count: int, middle: float) -> float:
    """Median of the absolute deviations from ``middle``, exact.

    The deviations below and above the median are two ascending wings; the k smallest of their union are found by binary
    search for how many of them come from the left wing.
    """
    left = count >> 1  # line[:left] lie at or below the median, line[left:] at or above it
    right = count - left
    k = (count + 1) >> 1
    low, span = max(0, k - right), min(left, k) - max(0, k - right)
    while span > 0:  # halving without a branch that a processor could guess wrong
        half = (span + 1) >> 1
        take = low + half - 1
        more = middle - np.float64(line[left - 1 - take]) < np.float64(line[left + k - 1 - take]) - middle
        low = take + 1 if more else low
        span = span - half if more else half - 1
    last = 0.0
    if low > 0:
        last = middle - np.float64(line[left - low])
    if k > low:
        last = max(last, np.float64(line[left + k - low - 1]) - middle)
    if count & 1:
        return last
    after = math.inf  # an even count wants the next one too
    if low < left:
        after = middle - np.float64(line[left - low - 1])
    if k - low < right:
        after = min(after, np.float64(line[left + k - low]) - middle)
    return 0.5 * (last + after)
