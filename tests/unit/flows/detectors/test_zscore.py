from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.zscore import Zscore, ZscoreParams
from tests import naive
from tests.checks import feed, run
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree

WINDOWS = (5, 6, 60, 240)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], window: int) -> None:
    values = family(np.random.default_rng(window), 2 * window + 100)
    params = ZscoreParams(window=window, warmup=max(3, window // 2))
    expected = naive.windowed(values, window, params.needed, params.floor_ratio, naive.zscore_scale)
    agree(run(lambda: Zscore(params), values), expected)


def test_rounding_does_not_pile_up() -> None:
    values = 1e6 + np.random.default_rng(0).normal(0.0, 1.0, 20_000)
    detector = Zscore(ZscoreParams(window=7))
    state = detector.allocate(1)
    feed(detector, state, values)
    ring = state["ring"][0].astype(np.float64)
    assert state["mean"][0] == pytest.approx(ring.mean(), abs=1e-9)
    assert state["squares"][0] == pytest.approx(((ring - ring.mean()) ** 2).sum(), rel=1e-9)


def test_sums_are_taken_anew_when_an_outlier_leaves() -> None:
    """Between two whole windows: what rounding left of 1e40 would drown the rest."""
    detector = Zscore(ZscoreParams(window=10))
    state = detector.allocate(1)
    values = np.random.default_rng(0).normal(0.0, 1.0, 24)
    values[13] = 1e20
    feed(detector, state, values)
    assert state["seen"][0] % 10
    ring = state["ring"][0].astype(np.float64)
    assert state["squares"][0] == pytest.approx(((ring - ring.mean()) ** 2).sum(), rel=1e-9)


def test_the_origin_stays_while_an_outlier_is_in_the_window() -> None:
    detector = Zscore(ZscoreParams(window=10))
    state = detector.allocate(1)
    values = 1000.0 + np.random.default_rng(0).normal(0.0, 1.0, 30)
    values[15] = 1e20
    feed(detector, state, values[:10])
    assert state["origin"][0] == pytest.approx(1000.0, abs=5.0)
    feed(detector, state, values[10:], first=10)
    assert state["origin"][0] == pytest.approx(1000.0, abs=5.0)
