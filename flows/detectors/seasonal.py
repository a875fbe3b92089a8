"""Distance from what is usual at this hour of the week, or this phase of a period.

Each hour of the week, hour of a working day or day off, and phase of a shorter period is a *cell* with a centre and a
spread. A cell learns once per visit, from samples cut about its centre, with a weight of 1 / visits.

Source: seasonal profiles with robust location and scale as in Hochenbaum, Vallis & Kejariwal (2017), *Automatic anomaly
detection in the cloud via statistical learning* (S-H-ESD); cut as Gelper, Fried & Croux (2010), J. Forecast. 29; few
samples weigh as Student's t, Wallace (1959), *Bounds on normal approximations*, Ann. Math. Stat. 30.
Cost: 264 cells a signal. Fails: on growth and on moving edges; it needs two visits of an hour before it knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.calendar import (
    DAY_MS,
    HOUR_MS,
    Calendar,
    calendar_of,
    check_country,
    check_dates,
    check_weekdays,
    check_zone,
    is_holiday,
    local_ms,
    weekday_of,
)  # fmt: skip
from flows.detectors.cells import MOST_VISITS, Cells, attend, believed, freedom_of, turn
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.holding import HoldParams, hold_column, holds_of, learns
from flows.detectors.period import Search, restart, search_columns, search_of, seek
from flows.detectors.robust import cut, deviation, next_variance
from flows.detectors.student import gaussian_of, student_of
from flows.detectors.window import COUNT_LIMIT, samples_needed

DAY_CELLS, WEEK_CELLS, PHASES = 48, 168, 48
WEEK_FROM, PHASE_FROM = DAY_CELLS, DAY_CELLS + WEEK_CELLS
CELLS = DAY_CELLS + WEEK_CELLS + PHASES
"""Hours of working days and of days off, hours of the week, phases of a period."""
DAY, WEEK, PHASE = 0, 1, 2
"""The clocks: each is in one cell at a time."""
LONGEST_MS = DAY_MS // 2
"""Longest period that is searched for; the calendar knows days and weeks."""
FAR = 30.0
"""Short-term deviations beyond which a sample is cut before any cell learns it."""
LEVEL_WEIGHT, MEAN_WEIGHT = 0.05, 0.0005
"""Of the newest sample in the level that is expected before a cell is known, and in the mean that phases are about."""


CALENDAR_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "time_zone": check_zone,
    "weekend": check_weekdays,
    "holidays": check_dates,
    "holidays_of": check_country,
}


class SeasonalParams(HoldParams):
    """Parameters of ``seasonal``."""

    time_zone: Annotated[str, Field(max_length=60, description="whose hours they are, as Europe/Berlin")] = "UTC"
    weekend: Annotated[tuple[str, ...], Field(max_length=7, description="weekdays that are off")] = ("sat", "sun")
    holidays: Annotated[
        tuple[str, ...], Field(max_length=1000, description="dates that are off too, such as 2026-12-24")
    ] = ()
    holidays_of: Annotated[
        str, Field(max_length=8, description="country, or country-part, whose public holidays are off")
    ] = ""
    period_s: Annotated[
        float | None,
        Field(ge=0, le=864_000, description="s of a period instead of day and week; 0 none; default found"),
    ] = None
    memory: Annotated[int, Field(ge=2, le=100, description="visits of a cell that are remembered")] = 6
    warmup: Annotated[int, Field(ge=5, le=100_000, description="samples before the first score")] = 60
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="standard deviation believed of a constant cell, as a share of its level"),
    ] = 1e-3

    @field_validator("time_zone", "weekend", "holidays", "holidays_of")
    @classmethod
    def _known(cls, given: Any, info: ValidationInfo) -> Any:
        CALENDAR_CHECKS[info.field_name or ""](given)
        return given

    def calendar(self) -> Calendar:
        """Offsets and days off."""
        return calendar_of(self.time_zone, self.weekend, self.holidays, self.holidays_of)


class Level(NamedTuple):
    """What is expected before any cell is known: a level that follows, its variance, and a slow mean.

    ``hours`` tells whether an hour was known already.
    """

    origin: Floats
    level: Floats
    variance: Floats
    mean: Floats
    seen: NDArray[Any]
    hours: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Seasonal:
    """A profile of hours and phases."""

    params: SeasonalParams

    def allocate(self, rows: int) -> Table:
        """Cells, the visits that go on, the level, and the search for a period if it is not given."""
        columns = [Column(name, np.float64) for name in ("origin", "level", "variance", "mean")]
        columns += [
            Column("seen", np.int32), Column("hours", np.bool_), hold_column(self.params),
            Column("centre", np.float32, CELLS), Column("spread", np.float32, CELLS), Column("visits", np.uint8, CELLS),
            Column("at", np.int64, 3), Column("cell", np.int16, 3), Column("visit_mean", np.float64, 3),
            Column("squares", np.float64, 3), Column("samples", np.int32, 3), Column("size", np.int32, 3),
            *search_columns(wanted=self.params.period_s is None),
        ]  # fmt: skip
        return Table(tuple(columns), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        cells = Cells(*(state["visit_mean" if name == "mean" else name] for name in Cells._fields))
        seasonal_step(
            Level(*(state[name] for name in Level._fields)), cells,
            search_of(state), p.calendar(), holds_of(state, self.params), rows, times_ms, values,
            -1 if p.period_s is None else round(p.period_s * 1000), p.memory, p.warmup, p.floor_ratio, p.hold_ms,
            p.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score, which is about the recent level until hours are known."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def seasonal_step(
    level: Level, cells: Cells, search: Search, calendar: Calendar, held_ms: NDArray[Any], rows: Ints, times_ms: Ints,
    values: Floats, given_ms: int, memory: int, warmup: int, floor_ratio: float, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; ``given_ms`` is the period, 0 for none and -1 for one to be found."""
    for i in range(rows.shape[0]):
        row, value, time_ms = rows[i], values[i], times_ms[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        if level.seen[row] < warmup:
            learn_level(level, row, value, warmup)
            continue
        x = np.float64(np.float32(value - level.origin[row]))  # as centres are kept, so that equal values stay equal
        period_ms = given_ms if given_ms >= 0 else max(search.period_ms[row], 0)
        enter(cells, calendar, row, time_ms, period_ms, given_ms > 0, memory)
        told_by = hour_clock(cells, row)
        hour = np.int64(cells.cell[row, told_by]) if told_by >= 0 else np.int64(-1)
        phase = np.int64(cells.cell[row, PHASE]) if believed(cells, row, PHASE) else np.int64(-1)
        base = 0.0 if given_ms > 0 else (level.mean[row] if hour < 0 else np.float64(cells.centre[row, hour]))
        wave = np.float64(cells.centre[row, phase]) if phase >= 0 else 0.0
        if hour < 0 and phase < 0:
            centre, spread = level.level[row], math.sqrt(level.variance[row])
        else:
            centre, spread = base + wave, np.float64(cells.spread[row, phase if phase >= 0 else hour])
        usual = centre + level.origin[row]
        scale = spread if spread > 0.0 else floor_ratio * abs(usual)
        away = abs(x - centre)
        t = deviations(away, scale)
        reach = reach_of(memory, period_ms, given_ms > 0) if phase >= 0 else memory
        freedom = freedom_of(cells, row, PHASE if phase >= 0 else told_by, reach)
        score[i] = gaussian_surprise(gaussian_of(t, freedom))
        expected[i] = usual
        lower[i] = usual - student_of(BAND_Z, freedom) * scale
        upper[i] = usual + student_of(BAND_Z, freedom) * scale
        if not learns(held_ms, row, score[i], time_ms, hold_ms, hold_from):
            continue
        if given_ms < 0 and (hour >= 0 or not level.hours[row]):
            if hour >= 0 and not level.hours[row] and search.period_ms[row] <= 0:
                restart(search, row)
            level.hours[row] = hour >= 0
            seek(search, row, time_ms, x - smooth_of(cells, calendar, row, told_by, time_ms), LONGEST_MS)
        near = near_of(level, row, x, floor_ratio)
        attend(cells, row, DAY, near - wave)
        attend(cells, row, WEEK, near - wave)
        attend(cells, row, PHASE, near - base)
        learn_level(level, row, value, warmup)


@njit(cache=True)
def learn_level(level: Level, row: int, value: float, warmup: int) -> None:
    """Follow level and mean: plainly while warming up, then robustly; at the end of it they become the origin."""
    seen = level.seen[row]
    if seen == 0:
        level.origin[row] = value
    x = value - level.origin[row]
    away = x - level.level[row]
    if seen < warmup:
        weight = 1.0 / (seen + 1.0)
        level.level[row] += weight * away
        level.variance[row] = (1.0 - weight) * (level.variance[row] + weight * away * away)
        if seen == warmup - 1:
            level.origin[row] += level.level[row]
            level.level[row] = 0.0
    else:
        scale = math.sqrt(level.variance[row])
        level.variance[row] = next_variance(level.variance[row], away, scale, LEVEL_WEIGHT)
        taught = cut(away, scale)
        level.level[row] += LEVEL_WEIGHT * taught
        weight = max(MEAN_WEIGHT, 1.0 / (seen + 1.0))
        level.mean[row] += weight * (level.level[row] - level.mean[row])
    level.seen[row] = min(seen + 1, COUNT_LIMIT)


@njit(cache=True, inline="always")
def hour_clock(cells: Cells, row: int) -> int:
    """Which clock tells what is usual at this hour: that of the week if its cell is believed, else that of days."""
    if believed(cells, row, WEEK):
        return WEEK
    return DAY if believed(cells, row, DAY) else -1


@njit(cache=True)
def reach_of(memory: int, period_ms: int, only_period: bool) -> int:
    """Visits of a phase that are remembered: as many days as of an hour, else phases would follow the hours."""
    return memory if only_period else min(memory * max(1, DAY_MS // period_ms), MOST_VISITS)


@njit(cache=True)
def smooth_of(cells: Cells, calendar: Calendar, row: int, clock: int, time_ms: int) -> float:
    """What is usual now without the steps from hour to hour, which have a period themselves; 0 while unknown."""
    if clock < 0:
        return 0.0
    cell = np.int64(cells.cell[row, clock])
    part = (local_ms(calendar, time_ms) % HOUR_MS) / HOUR_MS - 0.5
    first, cycle = (WEEK_FROM, WEEK_CELLS) if clock == WEEK else (cell // 24 * 24, 24)
    beside = first + (cell - first + (1 if part > 0.0 else -1)) % cycle
    here = np.float64(cells.centre[row, cell])
    if cells.visits[row, beside] == 0:
        return here
    return here + abs(part) * (np.float64(cells.centre[row, beside]) - here)


@njit(cache=True)
def near_of(level: Level, row: int, x: float, floor_ratio: float) -> float:
    """A sample, cut if it is absurdly far from the present level."""
    centre = level.level[row]
    bound = FAR * deviation(level.variance[row], floor_ratio * abs(centre + level.origin[row]))
    if not bound > 0.0:
        return x
    return min(max(x, centre - bound), centre + bound)


@njit(cache=True)
def enter(
    cells: Cells, calendar: Calendar, row: int, time_ms: int, period_ms: int, only_period: bool, memory: int
) -> None:
    """Let the three clocks reach this time; the visits that end are learned."""
    if only_period:
        turn(cells, row, DAY, 0, -1, memory)
        turn(cells, row, WEEK, 0, -1, memory)
    else:
        local = local_ms(calendar, time_ms)
        hours, day = local // HOUR_MS, local // DAY_MS
        hour, weekday = hours % 24, weekday_of(day)
        holiday = is_holiday(calendar, day)
        off = 1 if holiday or calendar.weekend[weekday] else 0
        turn(cells, row, DAY, hours, 24 * off + hour, memory)
        turn(cells, row, WEEK, hours, -1 if holiday else WEEK_FROM + 24 * weekday + hour, memory)
    if period_ms > 0:
        at = time_ms * PHASES // period_ms
        turn(cells, row, PHASE, at, PHASE_FROM + at % PHASES, reach_of(memory, period_ms, only_period))
    else:
        turn(cells, row, PHASE, 0, -1, memory)
