from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.base import Scored
from flows.detectors.forecast import Forecast, ForecastParams
from tests import naive
from tests.checks import feed, run, times
from tests.naive_forecast import forecast
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree

START_MS = 1_700_000_000_000


def twin(values: Floats, p: ForecastParams, times_ms: Floats | None = None) -> list[naive.Verdict]:
    at = times(len(values)) if times_ms is None else times_ms
    return forecast(
        values, at.tolist(), round(1000 * (p.period_s or 0)), p.alpha, p.beta, p.gamma, p.delta, p.warmup,
        p.floor_ratio, naive.Hold(p.hold_ms, p.hold_from),
    )  # fmt: skip


@pytest.mark.parametrize("period_s", [0, 70])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], period_s: float) -> None:
    values = family(np.random.default_rng(7), 400)
    params = ForecastParams(period_s=period_s, warmup=20)
    agree(run(lambda: Forecast(params), values), twin(values, params))


@pytest.mark.parametrize("level", [1e12, 1e-9, 0.0])
@pytest.mark.parametrize("hold_s", [0, 60])
def test_it_agrees_with_its_twin_on_seasons_of_any_level(level: float, hold_s: float) -> None:
    rng = np.random.default_rng(5)
    spread = 1e-9 if level == 1e-9 else 1.0
    at = np.arange(1500)
    values = level + spread * (rng.normal(0.0, 1.0, 1500) + 10.0 * np.sin(2 * np.pi * at / 144))
    values[1000:1100] += 40.0 * spread
    params = ForecastParams(period_s=144, hold_s=hold_s)
    agree(run(lambda: Forecast(params), values), twin(values, params))


def hourly(hours: int, seed: int = 0) -> tuple[Floats, Floats]:
    """One sample each 15 s: a wave of 10 standard deviations an hour, and a trend."""
    at = np.arange(240 * hours)
    values = 100.0 + 10.0 * np.sin(2 * np.pi * at / 240) + 0.01 * at
    return START_MS + 15_000 * at, values + np.random.default_rng(seed).normal(0.0, 1.0, len(at))


def judged(params: ForecastParams, times_ms: Floats, values: Floats) -> Scored:
    detector = Forecast(params)
    return feed(detector, detector.allocate(1), values, times_ms=times_ms)


@pytest.mark.parametrize("period_s", [None, 3600.0])
def test_a_value_usual_at_another_hour_is_seen(period_s: float | None) -> None:
    times_ms, values = hourly(24)
    at = 240 * 23 + 180  # the trough
    values[at] += 12.0  # nowhere near the crest
    scored = judged(ForecastParams(period_s=period_s), times_ms, values)
    assert scored.score[at] > 8
    assert np.nanmax(np.delete(scored.score, at)) < 8


@pytest.mark.long
def test_a_found_period_is_as_good_as_a_given_one() -> None:
    times_ms, values = hourly(48)
    errors = {
        period_s: float(np.std((judged(ForecastParams(period_s=period_s), times_ms, values).expected - values)[-2400:]))
        for period_s in (None, 3600.0, 0.0)
    }
    assert errors[None] == pytest.approx(errors[3600.0], rel=0.03)
    assert errors[3600.0] < 1.15 < 1.3 < errors[0.0]


def test_seasons_survive_gaps() -> None:
    times_ms, values = hourly(48)
    kept = np.ones(len(values), bool)
    kept[240 * 30 + 60 : 240 * 37 + 100] = False
    scored = judged(ForecastParams(period_s=3600), times_ms[kept], values[kept])
    error = scored.expected[-240 * 9 :] - values[kept][-240 * 9 :]
    assert np.abs(error).max() < 8


@pytest.mark.long
@pytest.mark.parametrize(("per_cycle", "changes"), [
    (1440, {}), (144, {"alpha": 0.5, "beta": 1.0, "gamma": 1.0}), (144, {"alpha": 0.02, "beta": 0.1}),
    (24, {}),
])  # fmt: skip
def test_a_season_that_is_known_stays_what_it_is_for_years(per_cycle: int, changes: dict[str, float]) -> None:
    """Level, trend and season correct each other: errors of one must die away in the others."""
    rng, cycles, step_ms = np.random.default_rng(2), 1000, 86_400_000 // per_cycle
    at = np.arange(cycles * per_cycle)
    values = 100.0 + 5.0 * np.sin(2 * np.pi * at / per_cycle) + rng.normal(0.0, 1.0, len(at))
    detector = Forecast(ForecastParams(period_s=86_400, **changes))
    state = detector.allocate(1)
    scored = feed(detector, state, values, times_ms=START_MS + step_ms * at)
    errors = np.abs(scored.expected - values)
    early, late = errors[50 * per_cycle : 250 * per_cycle], errors[-200 * per_cycle :]
    assert np.mean(late) == pytest.approx(np.mean(early), rel=0.03)
    assert np.abs(state["season"][0]).max() < 10.0


@pytest.mark.parametrize("size", [1.0, 1e38])
@pytest.mark.parametrize("flips", [1, 37, 250])
def test_a_forecast_that_drives_itself_away_stays_a_number(flips: int, size: float) -> None:
    """The largest weights that are allowed, on a season that turns about again and again."""
    at = np.arange(20_000)
    values = size * np.where((at % 12 < 6) ^ (at // flips % 2 == 0), 1.0, -1.0)
    params = ForecastParams(period_s=600, alpha=1.0, beta=0.5, gamma=1.0, warmup=5, floor_ratio=0.0)
    scored = run(lambda: Forecast(params), values, 50_000 * at.astype(np.int64))
    for column in scored:
        assert np.isfinite(column[5:]).all()
