from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from pydantic import ValidationError

from flows.detectors.base import Floats, Ints, Scored
from flows.detectors.calendar import WEEKDAYS
from flows.detectors.seasonal import PHASE_FROM, Seasonal, SeasonalParams
from tests import naive
from tests.checks import feed, times
from tests.naive_seasonal import seasonal
from tests.series import FAMILIES
from tests.unit.flows.detectors.twins import agree

STEP_MS = 600_000
A_DAY = 86_400_000 // STEP_MS
MONDAY_MS = round(datetime(2026, 3, 16, tzinfo=UTC).timestamp() * 1000)
"""Two weeks before summer time begins in Berlin."""


def twin(values: Floats, times_ms: Ints, p: SeasonalParams) -> list[naive.Verdict]:
    return seasonal(
        values, times_ms.tolist(), ZoneInfo(p.time_zone), [WEEKDAYS.index(day) for day in p.weekend],
        {date.fromisoformat(day) for day in p.holidays}, round(1000 * (p.period_s or 0)), p.memory, p.warmup,
        p.floor_ratio, naive.Hold(p.hold_ms, p.hold_from),
    )  # fmt: skip


def judged(values: Floats, times_ms: Ints, **params: Any) -> Scored:
    detector = Seasonal(SeasonalParams(**params))
    return feed(detector, detector.allocate(1), values, times_ms=times_ms)


def office(
    days: int, level: float = 100.0, spread: float = 1.0, zone: str = "UTC", seed: int = 0
) -> tuple[Ints, Floats]:
    """A sample each ten minutes: 40 deviations more from 8 to 17 on the wall clock of working days."""
    times_ms = MONDAY_MS + STEP_MS * np.arange(days * A_DAY)
    there = [datetime.fromtimestamp(at / 1000, ZoneInfo(zone)) for at in times_ms.tolist()]
    open_ = np.array([8 <= at.hour < 17 and at.weekday() < 5 for at in there])
    return times_ms, level + spread * (40.0 * open_ + np.random.default_rng(0).normal(0.0, 1.0, len(times_ms)))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("period_s", [0, 96])
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], period_s: float) -> None:
    """A sample a second for the period; one each ten minutes, for three days, for the calendar."""
    values = family(np.random.default_rng(7), 480)
    at = times(480) if period_s else MONDAY_MS + STEP_MS * np.arange(480)
    params = SeasonalParams(period_s=period_s, warmup=20)
    agree(judged(values, at, period_s=period_s, warmup=20), twin(values, at, params))


@pytest.mark.long
@pytest.mark.parametrize(("level", "spread"), [(1e12, 1.0), (1e-9, 1e-9), (100.0, 1.0)])
@pytest.mark.parametrize("hold_s", [0, 7200])
def test_it_agrees_with_its_twin_for_weeks_at_any_level(level: float, spread: float, hold_s: float) -> None:
    times_ms, values = office(24, level, spread, "Europe/Berlin")
    values[2000:2030] += 200.0 * spread
    values[1000:1010] = np.nan
    params: dict[str, Any] = {
        "time_zone": "Europe/Berlin", "holidays": ("2026-03-25",), "period_s": 0, "hold_s": hold_s, "memory": 3,
    }  # fmt: skip
    agree(judged(values, times_ms, **params), twin(values, times_ms, SeasonalParams(**params)), 2e-3)


@pytest.mark.long
def test_office_hours_are_no_surprise_once_known_and_night_work_is() -> None:
    times_ms, values = office(21)
    night = 16 * A_DAY + 3 * 6  # Wednesday, 3 o'clock
    values[night : night + 3] = 140.0
    scored = judged(values, times_ms)
    assert (scored.score[night : night + 3] >= 8).all()
    quiet = np.delete(scored.score[10 * A_DAY :], np.arange(night, night + 3) - 10 * A_DAY)
    assert np.nanmax(quiet) < 8
    assert scored.expected[-A_DAY:] == pytest.approx(np.where(values[-A_DAY:] > 120, 140, 100), abs=3)


@pytest.mark.long
def test_summer_time_moves_nothing() -> None:
    """Clocks go forward on day 13; in UTC the office then opens an hour earlier."""
    times_ms, values = office(21, zone="Europe/Berlin")
    there = judged(values, times_ms, time_zone="Europe/Berlin").score[10 * A_DAY :]
    utc = judged(values, times_ms, time_zone="UTC").score[10 * A_DAY :]
    assert np.nanmax(there) < 8
    assert np.count_nonzero(utc >= 8) >= 6


@pytest.mark.long
def test_a_holiday_is_a_day_off() -> None:
    times_ms, values = office(21)
    monday = slice(14 * A_DAY, 15 * A_DAY)
    values[monday] = np.random.default_rng(1).normal(100.0, 1.0, A_DAY)
    known = judged(values, times_ms, holidays=("2026-03-30",)).score
    assert np.nanmax(known[10 * A_DAY :]) < 8
    assert np.nanmax(judged(values, times_ms).score[monday]) >= 8
    by_country = judged(values, times_ms, holidays_of="AU-WA", holidays=("2026-03-30",)).score
    assert np.nanmax(by_country[monday]) < 8


def test_a_shorter_period_is_found_within_the_day() -> None:
    """A backup each two hours, on top of office hours: each sample of it is expected."""
    times_ms, values = office(21)
    values = values + 15.0 * (np.arange(len(values)) % 12 < 3)
    missed = 18 * A_DAY + 12 * 3
    values[missed : missed + 3] -= 15.0
    detector = Seasonal(SeasonalParams())
    state = detector.allocate(1)
    scored = feed(detector, state, values, times_ms=times_ms)
    assert state["search_period_ms"][0] == 7_200_000
    assert (state["visits"][0, PHASE_FROM:] > 0).sum() == 12
    assert (scored.score[missed : missed + 3] > 2.5).all()
    assert np.nanmax(scored.score[16 * A_DAY : missed]) < 8


@pytest.mark.long
def test_a_given_period_takes_the_place_of_days() -> None:
    at = MONDAY_MS + 15_000 * np.arange(240 * 30)
    values = 10.0 * np.sin(2 * np.pi * np.arange(len(at)) / 240) + np.random.default_rng(0).normal(0.0, 1.0, len(at))
    values[240 * 28 + 180] += 12.0
    scored = judged(values, at, period_s=3600)
    assert scored.score[240 * 28 + 180] > 8
    assert np.nanmax(np.delete(scored.score, 240 * 28 + 180)) < 8


@pytest.mark.long
def test_an_incident_of_one_day_hardly_moves_what_is_known() -> None:
    times_ms, values = office(28)
    clean = judged(values, times_ms).expected[-A_DAY:]
    values[20 * A_DAY : 21 * A_DAY] += 500.0
    assert np.abs(judged(values, times_ms).expected[-A_DAY:] - clean).max() < 6


@pytest.mark.parametrize(("params", "words"), [
    ({"time_zone": "Mars"}, "'Mars' is no time zone"),
    ({"time_zone": "localtime"}, "on each machine"), ({"time_zone": "posixrules"}, "on each machine"),
    ({"weekend": ("Sunday",)}, "'Sunday' is no weekday"),
    ({"holidays": ("24.12.2026",)}, "is no date"), ({"holidays_of": "XX"}, "'XX' is no country"),
])  # fmt: skip
def test_unknown_names_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SeasonalParams(**params)
