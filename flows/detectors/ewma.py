"""Distance from an exponentially weighted mean in exponentially weighted standard deviations.

Source: Roberts (1959), *Control chart tests based on geometric moving averages*; the variance update is that of
Finch (2009), *Incremental calculation of weighted mean and variance*, eq. 143.
Cost: 24 bytes a signal, the cheapest here. Fails: as ``zscore``; slow to forget when ``alpha`` is small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.holding import HoldParams, hold_column, holds_of, learns
from flows.detectors.window import COUNT_LIMIT, samples_needed


class EwmaParams(HoldParams):
    """Parameters of ``ewma``."""

    alpha: Annotated[float, Field(gt=0, le=0.5, description="weight of the newest sample")] = 0.02
    warmup: Annotated[int, Field(ge=3, le=100_000, description="samples before the first score")] = 30
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="standard deviation believed of a constant signal, as a share of its level"),
    ] = 1e-3


@dataclass(frozen=True, slots=True)
class Ewma:
    """Exponentially weighted mean and variance."""

    params: EwmaParams

    def allocate(self, rows: int) -> Table:
        """Mean and what of it a double cannot hold, variance and count."""
        columns = (
            Column("mean", np.float64), Column("rest", np.float32), Column("variance", np.float64),
            Column("seen", np.int32),
        )  # fmt: skip
        return Table((*columns, hold_column(self.params)), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        ewma_step(
            state["mean"], state["rest"], state["variance"], state["seen"], holds_of(state, self.params),
            rows, times_ms, values,
            p.alpha, p.warmup, p.floor_ratio, p.hold_ms, p.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True)
def add(a: float, b: float) -> tuple[float, float]:
    """Knuth's sum of two doubles, and what of it was rounded away."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@njit(cache=True, nogil=True)
def ewma_step(
    mean: Floats, rest: NDArray[Any], variance: Floats, seen: NDArray[Any], held_ms: NDArray[Any],
    rows: Ints, times_ms: Ints, values: Floats, alpha: float, warmup: int, floor_ratio: float,
    hold_ms: int, hold_from: float, score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; the weight is 1/n until ``alpha`` exceeds it: a plain mean at first.

    Without the rest, steps of a mean of 1e12 would be rounded to 1.2e-4, and small ones be lost.
    """
    holds = hold_ms > 0
    for i in range(rows.shape[0]):
        row, value = rows[i], values[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        away = value - mean[row] - rest[row] if seen[row] else 0.0
        if seen[row] >= warmup:
            centre = mean[row]
            scale = math.sqrt(variance[row]) if variance[row] > 0.0 else floor_ratio * abs(centre)
            z = deviations(abs(away), scale)
            score[i] = gaussian_surprise(z)
            expected[i] = centre
            lower[i] = centre - BAND_Z * scale
            upper[i] = centre + BAND_Z * scale
        if holds and not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        weight = max(alpha, 1.0 / (seen[row] + 1.0))
        if seen[row] == 0:
            mean[row] = value
        step = weight * away
        mean[row], rest[row] = add(mean[row], rest[row] + step)
        variance[row] = (1.0 - weight) * (variance[row] + away * step)
        seen[row] = min(seen[row] + 1, COUNT_LIMIT)
