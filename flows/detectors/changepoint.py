"""Small lasting changes of level: two-sided CUSUM, or Page-Hinkley.

Source: Page (1954), *Continuous inspection schemes*, Biometrika 41; Hinkley (1971), *Inference about the change-point
from cumulative sum tests*, Biometrika 58. Winsorised against single outliers: Hawkins (1993), *Robustification of
cumulative sum charts by winsorization*, J. Qual. Technol. 25. Surprise: by the stationary tail of a reflected Gaussian
random walk, Siegmund (1985), *Sequential analysis*, chapter X, until it is known how high the sums of this signal do
wander (``rungs``).
Cost: a few sums per signal. Fails: on autocorrelated noise, trends and seasons: what wanders by itself must change by
far more before it surprises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_SURPRISE, SURPRISE_MAX, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.holding import HoldParams, hold_column, holds_of, learns
from flows.detectors.rungs import (
    RUNG_COLUMNS,
    Widths,
    adopt_rungs,
    begin_rungs,
    bound_rungs,
    height_of,
    learn_rungs,
    value_at,
)
from flows.detectors.window import COUNT_LIMIT, samples_needed

OVERSHOOT = 0.5826
"""Siegmund's ρ = −ζ(1/2)/√(2π): by how much a Gaussian walk oversteps a boundary, in standard deviations."""
CLIP_SUM = 6.0
"""Deviations that one sample may add to what is remembered; of white noise an outlier stays below 3."""
CLIP_LEVEL = 3.0
"""Deviations of one sample from which mean and variance learn; bounds what an outlier does to them."""


class ChangepointParams(HoldParams):
    """Parameters of ``changepoint``."""

    method: Annotated[
        Literal["cusum", "page_hinkley"],
        Field(description="cusum: the mean follows by alpha; page_hinkley: it is that of all since the last change"),
    ] = "cusum"
    slack: Annotated[
        float, Field(ge=0.1, le=3, description="half of the smallest change to be found, in standard deviations")
    ] = 0.5
    alpha: Annotated[float, Field(gt=0, le=0.1, description="weight of the newest sample in mean and variance")] = 0.005
    settle: Annotated[
        int, Field(ge=2, le=10_000, description="samples of a new level before it is accepted as usual")
    ] = 10
    warmup: Annotated[int, Field(ge=5, le=100_000, description="samples before the first score")] = 60
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="standard deviation believed of a constant signal, as a share of its level"),
    ] = 1e-3


@dataclass(frozen=True, slots=True)
class Changepoint:
    """Sums of deviations above and below the slack."""

    params: ChangepointParams

    def allocate(self, rows: int) -> Table:
        """Mean and variance; for both directions the sum, and mean and count of the samples since it left 0.

        ``level_count`` counts the samples in the mean, those since the last accepted change. Means are offsets from
        the first value.
        """
        floats = ("origin", "mean", "variance", "up", "down", "up_mean", "down_mean")
        counts = ("seen", "level_count", "up_count", "down_count")
        columns = [Column(name, np.float64) for name in floats] + [Column(name, np.int32) for name in counts]
        return Table((*columns, *RUNG_COLUMNS, hold_column(self.params)), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        changepoint_step(
            state["origin"], state["mean"], state["variance"], state["seen"], state["level_count"],
            state["up"], state["up_mean"], state["up_count"], state["down"], state["down_mean"], state["down_count"],
            state["rungs"], state["learned"], holds_of(state, self.params), rows, times_ms, values,
            p.slack, p.alpha if p.method == "cusum" else 0.0, p.settle, p.warmup, p.floor_ratio, p.hold_ms, p.hold_from,
            *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def changepoint_step(
    origin: Floats, mean: Floats, variance: Floats, seen: NDArray[Any], level_count: NDArray[Any],
    up: Floats, up_mean: Floats, up_count: NDArray[Any], down: Floats, down_mean: Floats, down_count: NDArray[Any],
    rungs: Widths, learned: Floats, held_ms: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats,
    slack: float, alpha: float, settle: int, warmup: int, floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples."""
    first, other = first_rung(slack), decade(slack)
    for i in range(rows.shape[0]):
        row, value = rows[i], values[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        if seen[row] == 0:
            origin[row] = value
            begin_rungs(rungs[row], learned[row], first, other)
        x = value - origin[row]
        centre = mean[row] + origin[row]
        scale = math.sqrt(variance[row]) if variance[row] > 0.0 else floor_ratio * abs(centre)
        away = x - mean[row]
        if seen[row] < warmup:
            learn_level(mean, variance, seen, level_count, row, away, 0.0)
            continue
        z = away / scale if scale > 0.0 else (math.copysign(math.inf, away) if away != 0.0 else 0.0)
        part = min(max(z, -CLIP_SUM), CLIP_SUM)
        total, remembered = max(up[row] + z, down[row] - z), max(up[row] + part, down[row] - part)
        score[i] = min(height_of(rungs[row], total), SURPRISE_MAX)
        band, most = value_at(rungs[row], BAND_SURPRISE), value_at(rungs[row], hold_from)
        expected[i] = centre
        upper[i] = centre + scale * max(0.0, band - up[row])
        lower[i] = centre - scale * max(0.0, band - down[row])
        rising = up[row] >= down[row]
        follow_sum(up, up_mean, up_count, row, x, part - slack, most - slack + CLIP_SUM)
        follow_sum(down, down_mean, down_count, row, x, -part - slack, most - slack + CLIP_SUM)
        if not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            continue
        learn_rungs(rungs[row], learned[row], total, seen[row] - warmup, first, other)
        if score[i] < 1.0 or rising != (up[row] >= down[row]):  # a run has ended
            adopt_rungs(rungs[row], learned[row])
        elif score[i] >= hold_from:
            bound_rungs(rungs[row], learned[row])
        if score[i] < hold_from:
            bound = CLIP_LEVEL * scale if scale > 0.0 else abs(away)
            learn_level(mean, variance, seen, level_count, row, min(max(away, -bound), bound), alpha)
            continue
        if remembered < most:
            continue  # an outlier, and no change
        level, count = (up_mean, up_count) if up[row] >= down[row] else (down_mean, down_count)
        if count[row] >= settle:
            accept(mean, level_count, up, down, up_count, down_count, row, level[row], count[row])
            adopt_rungs(rungs[row], learned[row])


@njit(cache=True)
def decade(slack: float) -> float:
    """How much higher a sum is that is ten times rarer while nothing changes: its tail is 2·exp(−2·slack·(S + ρ))."""
    return math.log(10.0) / (2.0 * slack)


@njit(cache=True)
def first_rung(slack: float) -> float:
    """What either sum and the next deviation make together in one of ten samples, before the slack is taken off."""
    return slack + decade(slack) + math.log(2.0) / (2.0 * slack) - OVERSHOOT


@njit(cache=True)
def follow_sum(total: Floats, mean: Floats, count: NDArray[Any], row: int, x: float, part: float, most: float) -> None:
    """Add a part to a sum that never falls below 0, and follow the mean of the samples since it was 0."""
    total[row] = min(total[row] + part, most)
    if total[row] <= 0.0:
        total[row] = 0.0
        count[row] = 0
        return
    count[row] = min(count[row] + 1, COUNT_LIMIT)
    if count[row] == 1:
        mean[row] = x
    else:
        mean[row] += (x - mean[row]) / count[row]


@njit(cache=True)
def learn_level(
    mean: Floats, variance: Floats, seen: NDArray[Any], level_count: NDArray[Any], row: int, away: float, alpha: float
) -> None:
    """Follow mean and variance with weights 1/n until ``alpha`` exceeds them."""
    mean[row] += max(alpha, 1.0 / (level_count[row] + 1.0)) * away
    weight = max(alpha, 1.0 / (seen[row] + 1.0))
    variance[row] = (1.0 - weight) * (variance[row] + weight * away * away)
    seen[row] = min(seen[row] + 1, COUNT_LIMIT)
    level_count[row] = min(level_count[row] + 1, COUNT_LIMIT)


@njit(cache=True)
def accept(
    mean: Floats, level_count: NDArray[Any], up: Floats, down: Floats, up_count: NDArray[Any], down_count: NDArray[Any],
    row: int, level: float, count: int,
) -> None:  # fmt: skip
    """Take a new level as usual: the mean of the samples since its sum was 0, which is where the change began."""
    mean[row] = level
    level_count[row] = count
    up[row] = down[row] = 0.0
    up_count[row] = down_count[row] = 0
