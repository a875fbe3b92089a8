from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.detectors.mad import MAD_TO_SIGMA, Mad, MadParams, mad_of
from flows.detectors.ordered import MEAN_AD_TO_SIGMA, median_of
from tests import naive
from tests.checks import feed, run
from tests.examples import examples
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree

WINDOWS = (5, 6, 60, 240)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], window: int) -> None:
    values = family(np.random.default_rng(window), 2 * window + 100)
    params = MadParams(window=window, warmup=max(3, window // 2))
    expected = naive.windowed(values, window, params.needed, params.floor_ratio, naive.mad_scale)
    agree(run(lambda: Mad(params), values), expected)


@examples(100)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=24))
def test_median_and_mad_are_exact(values: list[int]) -> None:
    """Small integers: every tie and every split between the wings occurs, and float32 holds them exactly."""
    line = np.sort(np.array(values, np.float32))
    middle = median_of(line, len(line))
    assert middle == np.median(values)
    assert mad_of(line, len(line), middle) == np.median(np.abs(np.array(values) - middle))


@pytest.mark.parametrize("window", [5, 6, 16])
def test_the_sorted_line_is_the_ring_sorted(window: int) -> None:
    detector = Mad(MadParams(window=window))
    state = detector.allocate(1)
    for step, value in enumerate(np.random.default_rng(window).integers(0, 5, 5 * window)):
        feed(detector, state, [float(value)], first=step)
        filled = min(step + 1, window)
        np.testing.assert_array_equal(state["sorted"][0, :filled], np.sort(state["ring"][0, :filled]))


def test_derive_sorts_rings_that_are_not_full() -> None:
    detector = Mad(MadParams(window=8))
    state = detector.allocate(3)
    feed(detector, state, [3.0, 1.0, 2.0], row=1)
    state["sorted"][:] = 99.0
    detector.derive(state, np.array([1, 2]))
    assert state["sorted"][1].tolist() == [-2.0, -1.0, 0.0] + [np.inf] * 5
    assert state["sorted"][2].tolist() == [np.inf] * 8


def test_the_origin_follows_a_wandering_signal() -> None:
    """After a drift of 10⁹ the offsets are small again, so a fault of one deviation is still told from none."""
    values = np.linspace(0.0, 1e9, 6000) + np.random.default_rng(0).normal(0.0, 1.0, 6000)
    values[5900:] = 1e9 + np.random.default_rng(1).normal(0.0, 1.0, 100)
    detector = Mad(MadParams(window=10))
    state = detector.allocate(1)
    feed(detector, state, values)
    assert state["origin"][0] == pytest.approx(1e9, abs=5)
    assert np.abs(state["ring"][0]).max() < 10


def test_the_constants() -> None:
    sample = np.random.default_rng(0).normal(0.0, 1.0, 400_000)
    assert MAD_TO_SIGMA * np.median(np.abs(sample)) == pytest.approx(1.0, abs=0.005)
    assert MEAN_AD_TO_SIGMA * np.mean(np.abs(sample)) == pytest.approx(1.0, abs=0.005)
