"""Distance from a Holt-Winters forecast: level, trend, and an additive season whose period is given or found.

Source: Holt (1957) and Winters (1960), *Forecasting sales by exponentially weighted moving averages*, Manage. Sci. 6;
made robust by Gelper, Fried & Croux (2010), J. Forecast. 29. While a season is known the trend learns cycle by cycle.
Cost: 48 phases a signal, and a ring while the period is searched. Fails: on jumps, for as long as the level takes to
follow; on seasons that are multiplied by the level or have several periods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.holding import HoldParams, hold_column, holds_of, learns
from flows.detectors.period import Search, search_columns, search_of, seek
from flows.detectors.robust import cut, deviation, next_variance
from flows.detectors.window import COUNT_LIMIT, samples_needed

PHASES = 48
"""Phases of a period, half an hour each of a day."""
LONGEST_MS = 8 * 86_400_000
"""Longest period that is searched for: a week, and some more for the peak to be one."""
FIRST_CYCLES = 2
"""Cycles whose mean is the first season."""
LEARNING, KNOWN = 1, 2
MOST_VISITS = 60_000
FAR = 30.0
"""Deviations beyond which a sample of the first cycles is no part of the season."""
FARTHEST = 2.0 * VALUE_LIMIT
"""No two values are farther apart; a float32 holds it."""


class Season(NamedTuple):
    """Columns of the season: offsets per phase, how far it is known, and what was seen of the present phase."""

    season: NDArray[Any]
    visits: NDArray[Any]
    stage: NDArray[Any]
    begun_ms: Ints
    phase: NDArray[Any]
    phase_sum: Floats
    phase_count: NDArray[Any]
    cycle_sum: Floats
    cycle_count: NDArray[Any]


class ForecastParams(HoldParams):
    """Parameters of ``forecast``."""

    period_s: Annotated[
        float | None,
        Field(ge=0, le=864_000, description="s after which it repeats; 0 never; default found"),
    ] = None
    alpha: Annotated[float, Field(gt=0, le=1, description="weight of the newest sample in the level")] = 0.1
    beta: Annotated[float, Field(ge=0, le=1, description="weight of the newest sample in the trend")] = 0.01
    gamma: Annotated[float, Field(ge=0, le=1, description="weight of the newest cycle in the season")] = 0.2
    delta: Annotated[float, Field(gt=0, le=0.5, description="weight of the newest sample in the variance")] = 0.02
    warmup: Annotated[int, Field(ge=5, le=100_000, description="samples before the first score")] = 60
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="standard deviation believed of a constant signal, as a share of its level"),
    ] = 1e-3


@dataclass(frozen=True, slots=True)
class Forecast:
    """Holt-Winters, robust, one step ahead."""

    params: ForecastParams

    def allocate(self, rows: int) -> Table:
        """Level and trend, season with its progress, variance, and the search for the period if it is not given."""
        seasonal = self.params.period_s != 0.0
        columns = [Column(name, np.float64) for name in ("origin", "level", "trend", "variance")]
        columns += [
            Column("seen", np.int32), hold_column(self.params),
            Column("season", np.float32, PHASES if seasonal else 1, derived=not seasonal),
            Column("visits", np.uint16, PHASES if seasonal else 1, derived=not seasonal),
            Column("stage", np.int8), Column("begun_ms", np.int64), Column("phase", np.int16),
            Column("phase_sum", np.float64), Column("phase_count", np.int32),
            Column("cycle_sum", np.float64), Column("cycle_count", np.int32),
            *search_columns(wanted=self.params.period_s is None),
        ]  # fmt: skip
        return Table(tuple(columns), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        season = Season(*(state[name] for name in Season._fields))
        forecast_step(
            state["origin"], state["level"], state["trend"], state["variance"], state["seen"],
            holds_of(state, self.params),
            season, search_of(state), rows, times_ms, values,
            -1 if p.period_s is None else round(p.period_s * 1000), p.alpha, p.beta, p.gamma, p.delta, p.warmup,
            p.floor_ratio, p.hold_ms, p.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score, which may be before the season is known."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def forecast_step(
    origin: Floats, level: Floats, trend: Floats, variance: Floats, seen: NDArray[Any], held_ms: NDArray[Any],
    season: Season, search: Search, rows: Ints, times_ms: Ints, values: Floats,
    given_ms: int, alpha: float, beta: float, gamma: float, delta: float, warmup: int,
    floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; ``given_ms`` is the period, 0 for none and -1 for one to be found."""
    for i in range(rows.shape[0]):
        row, value, time_ms = rows[i], values[i], times_ms[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        if seen[row] == 0:
            origin[row] = value
        x = value - origin[row]
        period_ms = given_ms if given_ms >= 0 else max(search.period_ms[row], 0)
        if period_ms > 0:
            enter(season, level, row, time_ms, period_ms, gamma)
            if season.stage[row] == KNOWN and time_ms - season.begun_ms[row] >= period_ms:
                trend[row] = within(trend[row] + incline(season, row, time_ms, alpha, beta))
        ahead = level[row] + trend[row]
        if season.stage[row] == KNOWN:
            ahead += np.float64(season.season[row, season.phase[row]])
        ahead = within(ahead)
        centre = ahead + origin[row]
        scale = deviation(variance[row], floor_ratio * abs(centre))
        away = x - ahead
        if seen[row] >= warmup:
            z = deviations(abs(away), scale)
            score[i] = gaussian_surprise(z)
            expected[i] = centre
            lower[i] = centre - BAND_Z * scale
            upper[i] = centre + BAND_Z * scale
        if not learns(held_ms, row, score[i], time_ms, hold_ms, hold_from):
            continue
        if given_ms < 0:
            seek(search, row, time_ms, value, LONGEST_MS)
        taught = away
        if seen[row] >= warmup:
            taught = cut(away, scale)
            variance[row] = next_variance(variance[row], away, scale, delta)
        else:
            weight = max(delta, 1.0 / (seen[row] + 1.0))
            variance[row] = (1.0 - weight) * variance[row] + weight * away * away
        teach(season, row, x, ahead, away, taught, scale)
        level[row] = within(level[row] + trend[row] + max(alpha, 1.0 / (seen[row] + 1.0)) * taught)
        if season.stage[row] == KNOWN:
            season.cycle_sum[row] += taught
            season.cycle_count[row] += 1
        else:
            trend[row] = within(trend[row] + alpha * beta * taught)
        seen[row] = min(seen[row] + 1, COUNT_LIMIT)


@njit(cache=True, inline="always")
def within(x: float) -> float:
    """``x``, but no farther from the origin than a value can be: weights near 1 may drive a forecast away for ever."""
    return min(max(x, -FARTHEST), FARTHEST)


@njit(cache=True)
def enter(season: Season, level: Floats, row: int, time_ms: int, period_ms: int, gamma: float) -> None:
    """Go to the phase of this time: learn what was seen of the phase before it, begin or end the first season."""
    phase = (time_ms % period_ms) * season.season.shape[1] // period_ms
    if season.stage[row] == 0:
        season.stage[row] = LEARNING
        season.begun_ms[row] = time_ms
    elif season.stage[row] == LEARNING and time_ms - season.begun_ms[row] >= FIRST_CYCLES * period_ms:
        level[row] += begin(season.season[row], season.visits[row], phase)
        season.stage[row] = KNOWN
        season.begun_ms[row] = time_ms
        season.phase_sum[row] = season.cycle_sum[row] = 0.0
        season.phase_count[row] = season.cycle_count[row] = 0
    elif season.stage[row] == KNOWN and phase != season.phase[row] and season.phase_count[row] > 0:
        mean = season.phase_sum[row] / season.phase_count[row]
        before = np.float64(season.season[row, season.phase[row]])
        season.season[row, season.phase[row]] = np.float32(within(before + gamma * mean))
        season.phase_sum[row] = 0.0
        season.phase_count[row] = 0
    season.phase[row] = phase


@njit(cache=True)
def incline(season: Season, row: int, time_ms: int, alpha: float, beta: float) -> float:
    """What a whole cycle teaches the trend: all at once what its samples would have done one by one.

    One by one they would have taught it the season, too. A wrong season, which the level makes up for, then bends the
    trend, the trend errs in phase with the season, and the season learns of that error to be more wrong: at the default
    weights it grew e-fold in a hundred days. Over a whole cycle a season has no trend.
    """
    count = season.cycle_count[row]
    learned = alpha * (1.0 - (1.0 - beta) ** count) * season.cycle_sum[row] / count if count > 0 else 0.0
    season.begun_ms[row] = time_ms
    season.cycle_sum[row] = 0.0
    season.cycle_count[row] = 0
    return learned


@njit(cache=True)
def begin(season: NDArray[Any], visits: NDArray[Any], phase: int) -> float:
    """Turn the means of the phases into a season about 0; gives by how much the level moves, which followed it."""
    known = total = 0.0
    for j in range(season.shape[0]):
        if visits[j] > 0:
            known += 1.0
            total += np.float64(season[j])
    for j in range(season.shape[0]):
        season[j] = np.float32(within(np.float64(season[j]) - total / known)) if visits[j] > 0 else np.float32(0.0)
    return -np.float64(season[phase])


@njit(cache=True)
def teach(season: Season, row: int, x: float, ahead: float, away: float, taught: float, scale: float) -> None:
    """Remember a sample for its phase: a mean during the first season, afterwards what the forecast lacked."""
    if season.stage[row] == LEARNING:
        phase = season.phase[row]
        season.visits[row, phase] = min(season.visits[row, phase] + 1, MOST_VISITS)
        near = ahead + min(max(away, -FAR * scale), FAR * scale) if scale > 0.0 else x
        before = np.float64(season.season[row, phase])
        season.season[row, phase] = np.float32(before + (near - before) / season.visits[row, phase])
    elif season.stage[row] == KNOWN:
        season.phase_sum[row] += taught
        season.phase_count[row] += 1
