"""Distance from the rolling median, in deviations that are learned for each side by a quantile of the window.

Source: the two-piece normal of Fechner (1897), see Wallis (2014), *The two-piece normal, binormal, or double Gaussian
distribution*, Statist. Sci. 29; its two deviations from sample quantiles.
Cost: as ``mad``. Fails: as ``mad``; a share of outliers above ``1 − high`` widens the band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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


class QuantileParams(WindowParams):
    """Parameters of ``quantile``."""

    low: Annotated[float, Field(ge=0.001, le=0.45, description="quantile that tells the spread below")] = 0.1
    high: Annotated[float, Field(ge=0.55, le=0.999, description="quantile that tells the spread above")] = 0.9


@dataclass(frozen=True, slots=True)
class Quantile:
    """Distance from the rolling median in the deviations of its two sides."""

    params: QuantileParams

    def allocate(self, rows: int) -> Table:
        """Ring and sorted copy."""
        window = self.params.window
        return Table((*window_columns(window), ordered_column(window), hold_column(self.params)), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        quantile_step(
            state["ring"], state["sorted"], state["coarse"], state["origin"], state["seen"],
            holds_of(state, self.params), rows, times_ms, values,
            p.needed, p.low, p.high, -NormalDist().inv_cdf(p.low), NormalDist().inv_cdf(p.high), p.floor_ratio,
            p.hold_ms, p.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Sort the rings again."""
        sort_rings(state, rows)

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.needed)


@njit(cache=True, nogil=True)
def quantile_step(
    ring: NDArray[Any], ordered: NDArray[Any], coarse: NDArray[Any], origin: Floats, seen: NDArray[Any],
    held_ms: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats, needed: int,
    low: float, high: float, z_low: float, z_high: float,
    floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; ``z_low`` and ``z_high`` are where a Gaussian has these quantiles."""
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
            below = (middle - quantile_of(line, count, low)) / z_low
            above = (quantile_of(line, count, high) - middle) / z_high
            if not (below > grain and above > grain):
                usual = sigma_of_rest(line, count, middle, grain, floor_ratio * abs(centre))
                below = below if below > grain else usual
                above = above if above > grain else usual
            scale = above if x > middle else below
            away = abs(x - middle)
            z = deviations(away if away > grain else 0.0, scale)
            score[i] = gaussian_surprise(z)
            expected[i] = centre
            lower[i] = centre - BAND_Z * below
            upper[i] = centre + BAND_Z * above
        if holds and not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        at = seen[row] % window
        learn(ring[row], line, at, count, np.float32(x))
        seen[row] = next_count(seen[row], window)
        if at == window - 1:
            rebase(ring[row], line, origin, coarse, row)
