"""Distance from a sliding mean in standard deviations.

Source: Shewhart's control chart on a sliding window; mean and sum of squares follow Welford (1962), replaced value by
replaced value, and are summed anew once per window so that rounding does not pile up.
Fails: one outlier inflates the deviation and hides the next (masking) – ``mad`` does not; trends and seasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.holding import hold_column, holds_of, learns
from flows.detectors.window import WindowParams, coarseness, grain_of, next_count, samples_needed, window_columns

COLLAPSE = 1e-3
"""When one step takes so much from the sum of squares, an outlier has left, and rounding is what remains: sum anew."""
FAR = 16.0
"""So many deviations from the origin a mean has lost 4 of the 24 bits of its offsets: time to move the origin."""


class ZscoreParams(WindowParams):
    """Parameters of ``zscore``."""


@dataclass(frozen=True, slots=True)
class Zscore:
    """Sliding mean and standard deviation."""

    params: ZscoreParams

    def allocate(self, rows: int) -> Table:
        """Ring, mean offset and sum of squared deviations."""
        columns = (Column("mean", np.float64), Column("squares", np.float64), hold_column(self.params))
        return Table((*window_columns(self.params.window), *columns), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        zscore_step(
            state["ring"], state["mean"], state["squares"], state["origin"], state["coarse"], state["seen"],
            holds_of(state, self.params), rows, times_ms, values, self.params.needed, self.params.floor_ratio,
            self.params.hold_ms, self.params.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived: the running sums are kept, so that a resumed flow goes on bit for bit."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.needed)


@njit(cache=True, nogil=True)
def zscore_step(
    ring: NDArray[Any], mean: Floats, squares: Floats, origin: Floats, coarse: NDArray[Any], seen: NDArray[Any],
    held_ms: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats, needed: int, floor_ratio: float,
    hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; arrays as in ``Zscore.allocate`` and ``Scored``."""
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
        if count >= needed:
            centre = mean[row] + origin[row]
            variance = squares[row] / (count - 1)
            grain = grain_of(coarse[row], mean[row])
            scale = math.sqrt(variance) if variance > grain * grain else floor_ratio * abs(centre)
            away = abs(x - mean[row])
            z = deviations(away if away > grain else 0.0, scale)
            score[i] = gaussian_surprise(z)
            expected[i] = centre
            lower[i] = centre - BAND_Z * scale
            upper[i] = centre + BAND_Z * scale
        if holds and not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        before, at = squares[row], seen[row] % window
        slide(ring[row], mean, squares, row, at, count, np.float32(x))
        seen[row] = next_count(seen[row], window)
        if seen[row] % window == 0 or squares[row] < COLLAPSE * before:
            sum_anew(ring[row], mean, squares, origin, coarse, row, at)


@njit(cache=True)
def slide(ring: NDArray[Any], mean: Floats, squares: Floats, row: int, at: int, count: int, x: np.float32) -> None:
    """Put ``x`` into the ring and follow mean and squares, replacing the oldest value once the window is full."""
    new, old, before = np.float64(x), np.float64(ring[at]), mean[row]
    ring[at] = x
    if count < ring.shape[0]:
        mean[row] += (new - before) / (count + 1)
        squares[row] += (new - before) * (new - mean[row])
    else:
        mean[row] += (new - old) / count
        squares[row] = max(0.0, squares[row] + (new - old) * (new - mean[row] + old - before))


@njit(cache=True)
def sum_anew(
    ring: NDArray[Any], mean: Floats, squares: Floats, origin: Floats, coarse: NDArray[Any], row: int, at: int
) -> None:  # fmt: skip
    """Sums over the full window, with the origin moved to the mean if that is far from it.

    Not while an outlier is in the window: its share in the mean would cost all the others their digits.
    """
    window = ring.shape[0]
    mean[row], squares[row] = two_pass(ring)
    if at == window - 1:
        coarse[row] = 0.0  # all was rounded alike since the origin was moved at last
    if mean[row] * mean[row] * window > FAR * FAR * squares[row]:
        shift = mean[row]
        coarse[row] = max(coarse[row], coarseness(ring, at, shift))
        origin[row] += shift
        for j in range(window):
            ring[j] = np.float32(np.float64(ring[j]) - shift)
        mean[row], squares[row] = two_pass(ring)


@njit(cache=True)
def two_pass(ring: NDArray[Any]) -> tuple[float, float]:
    """Mean, and sum of squared deviations from it."""
    total = rest = 0.0
    for j in range(ring.shape[0]):
        total += np.float64(ring[j])
    mean = total / ring.shape[0]
    for j in range(ring.shape[0]):
        away = np.float64(ring[j]) - mean
        rest += away * away
    return mean, rest
