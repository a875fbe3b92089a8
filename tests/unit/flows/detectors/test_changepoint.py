from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flows.detectors.base import SURPRISE_MAX, Table
from flows.detectors.changepoint import Changepoint, ChangepointParams, decade, first_rung
from flows.detectors.rungs import RUNG_COLUMNS, begin_rungs, height_of, value_at
from tests import naive
from tests.checks import feed, run, times
from tests.naive_changepoint import changepoint
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree

METHODS = ("cusum", "page_hinkley")


def twin(values: Floats, hold_s: float = 0.0, **params: Any) -> list[naive.Verdict]:
    p = ChangepointParams(**params)
    hold = naive.Hold(round(1000 * hold_s), p.hold_from)
    return changepoint(values, p.method, p.slack, p.alpha, p.settle, p.warmup, p.floor_ratio, hold)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], method: str) -> None:
    values = family(np.random.default_rng(7), 400)
    params = {"method": method, "warmup": 20, "alpha": 0.02}
    agree(run(lambda: Changepoint(ChangepointParams(**params)), values), twin(values, **params))


@pytest.mark.parametrize("level", [1e12, 1e-9, 0.0])
@pytest.mark.parametrize("hold_s", [0, 30])
def test_it_agrees_with_its_twin_through_changes_of_any_level(level: float, hold_s: float) -> None:
    rng = np.random.default_rng(5)
    spread = 1e-9 if level == 1e-9 else 1.0
    values = level + spread * (rng.normal(0.0, 1.0, 600) + 4.0 * ((np.arange(600) // 100) % 3))
    scored = run(lambda: Changepoint(ChangepointParams(hold_s=hold_s)), values)
    agree(scored, twin(values, hold_s))
    assert np.nanmax(scored.score) > 8


@pytest.mark.parametrize("method", METHODS)
def test_a_change_of_one_deviation_is_found_and_then_accepted(method: str) -> None:
    """No sample of it would surprise alone."""
    values = np.random.default_rng(2).normal(0.0, 1.0, 900) + np.where(np.arange(900) >= 500, 1.5, 0.0)
    scored = run(lambda: Changepoint(ChangepointParams(method=method)), values)
    first = int(np.flatnonzero(scored.score >= 8)[0])
    assert 500 <= first < 540
    assert (scored.score[first + 60 :] < 8).all()
    assert scored.expected[-1] == pytest.approx(1.5, abs=0.3)


def test_a_held_change_is_accepted_late() -> None:
    values = np.random.default_rng(2).normal(0.0, 1.0, 900) + np.where(np.arange(900) >= 500, 5.0, 0.0)
    scored = run(lambda: Changepoint(ChangepointParams(hold_s=120)), values)
    assert (scored.score[510:620] >= 8).all()
    assert (scored.score[660:] < 8).all()


def test_what_comes_after_an_incident_is_soon_no_surprise() -> None:
    """The sums are bounded, so they do not take as long to fall as the incident took."""
    values = np.random.default_rng(2).normal(0.0, 1.0, 1200)
    values[500:900] += 20.0
    scored = run(lambda: Changepoint(ChangepointParams(hold_s=3600)), values)
    assert (scored.score[505:900] >= 8).all()
    assert (scored.score[940:] < 8).all()


def test_a_change_is_found_as_soon_when_much_noise_was_seen_and_again() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.0, 1.0, 12_000)
    values[10_000:10_300] += 1.5
    values[10_800:11_100] += 1.5
    scored = run(lambda: Changepoint(ChangepointParams()), values)
    for begin in (10_000, 10_800):
        assert begin <= begin + int(np.flatnonzero(scored.score[begin:] >= 8)[0]) < begin + 60


def test_an_outlier_is_no_change_however_often_sums_are_up() -> None:
    """It surprises and moves no level, though the sum may stand above 0 for long."""
    rng = np.random.default_rng(4)
    values = rng.normal(0.0, 1.0, 3000)
    values[100::100] = 500.0
    scored = run(lambda: Changepoint(ChangepointParams()), values)
    assert np.abs(scored.expected[60:]).max() < 1.5


@pytest.mark.long
def test_what_wanders_by_itself_soon_surprises_no_more_than_it_says() -> None:
    """An autoregressive signal, whose sums reach what white noise would in one of 10^8 samples every 100 samples."""
    noise = np.random.default_rng(5).normal(0.0, 1.0, 60_000)
    values, last = np.empty_like(noise), 0.0
    for i, one in enumerate(noise.tolist()):
        last = 0.9 * last + one
        values[i] = last
    scored = run(lambda: Changepoint(ChangepointParams()), values)
    later = slice(20_000, None)
    assert 0.4 < np.mean(scored.score[later] >= 2) * 100 < 2.5
    outside = (values < scored.lower) | (values > scored.upper)
    assert np.mean(outside[later]) < 0.004


@pytest.mark.long
def test_surprise_is_the_tail_of_the_sums_while_nothing_changes() -> None:
    """Within a half of Siegmund's formula at 1 and 2, after the first 1,000 of 4,000 samples of 60 signals."""
    detector = Changepoint(ChangepointParams())
    rows, n = 60, 4000
    values = np.random.default_rng(0).normal(0.0, 1.0, rows * n)
    every = np.tile(np.arange(rows), n)
    score = detector.step(detector.allocate(rows), every, np.repeat(times(n), rows), values).score.reshape(n, rows)
    for surprise in (1, 2):
        seen = np.mean(score[1000:] >= surprise) * 10**surprise
        assert 0.67 < seen < 1.5, f"{seen} times as often as {surprise} says"


def test_further_is_never_less_surprising_when_the_sums_are_empty() -> None:
    detector = Changepoint(ChangepointParams())
    state = detector.allocate(1)
    feed(detector, state, np.tile([9.0, 10.0, 11.0, 10.0], 30))
    state["up"][0] = state["down"][0] = 0.0
    for sign in (-1.0, 1.0):
        scores = []
        for away in (0.0, 0.1, 1.0, 3.0, 10.0, 30.0, 1e3, 1e9, 1e30):
            trial = detector.allocate(1)
            for name, column in state.arrays.items():
                trial.arrays[name][:] = column
            scores.append(float(feed(detector, trial, [10.0 + sign * away], first=120).score[0]))
        assert scores == sorted(scores)
        assert (scores[0], scores[-1]) == (pytest.approx(0.0, abs=1e-9), SURPRISE_MAX)


@pytest.mark.parametrize("slack", [0.1, 0.5, 3.0])
def test_height_and_value_are_inverse(slack: float) -> None:
    table = Table(RUNG_COLUMNS, 1)
    begin_rungs(table["rungs"][0], table["learned"][0], first_rung(slack), decade(slack))
    for surprise in (0.0, 0.5, 3.0, 5.0, 8.0, 100.0):
        assert height_of(table["rungs"][0], value_at(table["rungs"][0], surprise)) == pytest.approx(surprise)


def test_a_ladder_begins_by_siegmunds_formula() -> None:
    for slack in (0.1, 0.5, 1.0):
        for surprise in (1, 2, 5, 9):
            total = first_rung(slack) + (surprise - 1) * decade(slack) - slack
            assert 2.0 * np.exp(-2.0 * slack * (total + 0.5826)) == pytest.approx(10.0**-surprise)
