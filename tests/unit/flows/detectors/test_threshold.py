from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flows.detectors.base import SURPRISE_MAX, VALUE_LIMIT
from flows.detectors.threshold import Threshold, ThresholdParams
from tests import naive
from tests.checks import run
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree


@pytest.mark.parametrize("spread", [None, 2.0])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], spread: float | None) -> None:
    values = family(np.random.default_rng(7), 300)
    params = ThresholdParams(lower=8.0, upper=12.0, spread=spread)
    agree(run(lambda: Threshold(params), values), naive.threshold(values, 8.0, 12.0, spread))


@pytest.mark.parametrize(("params", "expected", "lower", "upper"), [
    ({"upper": 0.9}, 0.9, -VALUE_LIMIT, 0.9),
    ({"lower": -3.0}, -3.0, -3.0, VALUE_LIMIT),
    ({"lower": 1.0, "upper": 2.0}, 1.5, 1.0, 2.0),
    ({"lower": -9e37, "upper": 9e37}, 0.0, -9e37, 9e37),
])  # fmt: skip
def test_the_band_is_the_bounds(params: dict[str, float], expected: float, lower: float, upper: float) -> None:
    scored = run(lambda: Threshold(ThresholdParams(**params)), [expected])
    assert (scored.expected[0], scored.lower[0], scored.upper[0]) == (expected, lower, upper)
    assert scored.score[0] == 0.0


def test_a_bound_itself_is_allowed_and_what_is_beyond_surprises_most() -> None:
    scored = run(lambda: Threshold(ThresholdParams(lower=1e12 - 1, upper=1e12 + 1)), [1e12 - 1, 1e12 + 1, 1e12 + 1.001])
    assert scored.score.tolist() == [0.0, 0.0, SURPRISE_MAX]


def test_with_a_spread_surprise_begins_at_the_edge_of_the_band_and_grows() -> None:
    scored = run(lambda: Threshold(ThresholdParams(upper=10.0, spread=2.0)), [10.0, 10.0 + 1e-9, 14.88, 100.0])
    assert scored.score == pytest.approx([0.0, 3.0, 8.0, SURPRISE_MAX], abs=0.01)


@pytest.mark.parametrize(("params", "word"), [
    ({}, "nothing is anomalous"), ({"lower": 2, "upper": 1}, "must not exceed"),
    ({"upper": 1e39}, r"upper\n  .*must be below 1e38: .* nothing would ever be above it .*input_value=1e\+39"),
    ({"upper": 1e38}, r"upper\n  .*must be below 1e38: .* nothing would ever be above it .*input_value=1e\+38"),
    ({"lower": -1e38}, r"lower\n  .*must be above -1e38: .* nothing would ever be below it .*input_value=-1e\+38"),
    ({"lower": -1e38, "upper": 1e38}, "2 validation errors"),
    ({"upper": 10**39}, "must be below 1e38"), ({"lower": -2e38, "upper": 5.0}, "must be above -1e38"),
    ({"upper": 1, "spread": 0}, "greater than 0"), ({"upper": float("nan")}, "less than 1000"),
])  # fmt: skip
def test_bounds_that_can_never_hold_or_fire_are_refused(params: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        ThresholdParams(**params)


@pytest.mark.parametrize("params", [{"upper": 9.9e37}, {"lower": -9.9e37}])
def test_the_last_bounds_that_are_allowed_can_fire(params: dict[str, float]) -> None:
    values = [0.0, math.copysign(VALUE_LIMIT, next(iter(params.values())))]
    assert run(lambda: Threshold(ThresholdParams(**params)), values).score.tolist() == [0.0, SURPRISE_MAX]
