"""Tukey's fences on a rolling window: distance beyond the nearer quartile in interquartile ranges.

Source: Tukey (1977), *Exploratory data analysis*, chapter 2; quartiles are Hyndman & Fan's type 7 (1996).
Cost: as ``mad``. Fails: as ``mad``, but only a quarter of the window may be outliers on one side.
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
    quantile_of,
    rebase,
    sigma_of_rest,
    sort_rings,
)
from flows.detectors.window import WindowParams, grain_of, next_count, samples_needed, window_columns

QUARTILE_Z = 0.6744897501960817
"""Φ⁻¹(3/4): where a Gaussian has its upper quartile."""


class IqrParams(WindowParams):
    """Parameters of ``iqr``."""


@dataclass(frozen=True, slots=True)
class Iqr:
    """Distance beyond the quartiles in interquartile ranges."""

    params: IqrParams

    def allocate(self, rows: int) -> Table:
        """Ring and sorted copy."""
        window = self.params.window
        return Table((*window_columns(window), ordered_column(window), hold_column(self.params)), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        iqr_step(
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
def iqr_step(
    ring: NDArray[Any], ordered: NDArray[Any], coarse: NDArray[Any], origin: Floats, seen: NDArray[Any],
    held_ms: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats, needed: int,
    floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples."""
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
            first, third = quantile_of(line, count, 0.25), quantile_of(line, count, 0.75)
            grain = grain_of(coarse[row], middle)
            scale = (third - first) / (2.0 * QUARTILE_Z)
            if not scale > grain:
                first = third = middle
                scale = sigma_of_rest(line, count, middle, grain, floor_ratio * abs(middle + origin[row]))
            z = z_of(x, first, middle, third, scale) if abs(x - middle) > grain else 0.0
            score[i] = gaussian_surprise(z)
            beyond = (BAND_Z - QUARTILE_Z if first < third else BAND_Z) * scale
            expected[i] = middle + origin[row]
            lower[i] = first + origin[row] - beyond
            upper[i] = third + origin[row] + beyond
        if holds and not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        at = seen[row] % window
        learn(ring[row], line, at, count, np.float32(x))
        seen[row] = next_count(seen[row], window)
        if at == window - 1:
            rebase(ring[row], line, origin, coarse, row)


@njit(cache=True)
def z_of(x: float, first: float, middle: float, third: float, scale: float) -> float:
    """Standard deviations from the median of a Gaussian with this box: linear within it, and beyond the quartiles."""
    if first == third:
        return deviations(abs(x - middle), scale)
    if x > third:
        return QUARTILE_Z + (x - third) / scale
    if x < first:
        return QUARTILE_Z + (first - x) / scale
    side = third - middle if x > middle else middle - first
    return QUARTILE_Z * abs(x - middle) / side if side > 0.0 else 0.0
