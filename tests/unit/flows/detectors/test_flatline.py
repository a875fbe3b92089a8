from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.flatline import Flatline, FlatlineParams
from tests import naive_durations as naive
from tests.checks import feed, run, times
from tests.series import FAMILIES, Floats

LEVELS = (1e12, 1e-9, 0.0)


def moving(n: int, level: float = 0.0, seed: int = 0) -> Floats:
    return level + (1e-9 if level == 1e-9 else 1.0) * np.random.default_rng(seed).normal(0.0, 1.0, n)


@pytest.mark.parametrize(
    ("tolerance", "hold_s"), [pytest.param(0.0, 0.0, marks=pytest.mark.long), (0.0, 30.0), (1.5, 86_400.0)]
)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(
    family: Callable[[np.random.Generator, int], Floats], tolerance: float, hold_s: float
) -> None:
    values = family(np.random.default_rng(7), 600)
    values[200:240] = values[np.isfinite(values)][0]
    values[400:450] = values[np.isfinite(values)][0]
    params = FlatlineParams(tolerance=tolerance, hold_s=hold_s, warmup=20)
    expected = naive.flatline(values, times(600).tolist(), tolerance, params.moves, params.warmup, params.hold_ms)
    np.testing.assert_allclose(run(lambda: Flatline(params), values).score, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_a_signal_that_stands_still_is_found(level: float) -> None:
    values = moving(500, level)
    values[300:] = values[300]
    scored = run(lambda: Flatline(FlatlineParams()), values)
    assert (scored.score[60:301] == 0.0).all()
    assert scored.score[301] < 8 < scored.score[320]
    assert (scored.expected[301:] == values[300]).all()
    assert (scored.lower[60:] < scored.expected[60:]).all()


@pytest.mark.parametrize("values", [np.full(500, 5.0), np.repeat([1.0, 2.0, 3.0], [100, 300, 600])])
def test_a_signal_that_hardly_ever_moved_is_none_that_stands_still(values: Floats) -> None:
    assert np.nanmax(run(lambda: Flatline(FlatlineParams()), values).score) == 0.0


@pytest.mark.long
def test_long_runs_that_are_usual_do_not_surprise() -> None:
    """Nights of 200 samples."""
    values = np.concatenate([[*moving(100, seed=day), *np.full(200, 5.0)] for day in range(12)])
    scored = run(lambda: Flatline(FlatlineParams(hold_s=0)), values)
    assert np.nanmax(scored.score[900:]) < 8
    still = run(lambda: Flatline(FlatlineParams(hold_s=0)), [*values, *np.full(900, 5.0)])
    assert still.score[-1] > 8


def test_an_incident_is_not_learned_while_the_hold_lasts() -> None:
    values = moving(700)
    values[300:400] = values[300]
    values[600:] = values[600]
    held, learned = (
        run(lambda hold_s=hold_s: Flatline(FlatlineParams(hold_s=hold_s)), values).score for hold_s in (600, 0)
    )
    assert held[650] > 8 > learned[650]


def test_after_a_gap_the_run_goes_on() -> None:
    values = moving(100)
    values[80:] = values[80]
    values[85:90] = np.nan
    detector = Flatline(FlatlineParams())
    state = detector.allocate(1)
    feed(detector, state, values)
    assert state["run"][0] == 15
