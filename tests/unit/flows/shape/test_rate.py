from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import Shape
from flows.shape.rate import MAX_GAP_MS, allocate_rates, rates
from tests import naive
from tests.examples import examples

ROW = np.zeros(1, np.int64)
VALUES = st.one_of(st.integers(0, 5).map(float), st.floats(0, 1e12), st.sampled_from([math.nan, math.inf, -math.inf]))
STEPS = st.sampled_from([1, 1000, 15_000, MAX_GAP_MS, MAX_GAP_MS + 1])


def signal(samples: list[tuple[int, float]], starts_ms: list[int] | None = None) -> list[float]:
    times_ms, values = (np.array(column) for column in zip(*samples, strict=True))
    starts = None if starts_ms is None else np.array(starts_ms, np.int64)
    rows = np.zeros(len(samples), np.int64)
    return rates(allocate_rates(1), rows, times_ms.astype(np.int64), values.astype(float), starts).tolist()


def change(shape: Shape, samples: list[tuple[int, float]]) -> list[float]:
    times_ms, values = (np.array(column) for column in zip(*samples, strict=True))
    rows = np.zeros(len(samples), np.int64)
    return rates(allocate_rates(1), rows, times_ms.astype(np.int64), values.astype(float), None, shape).tolist()


def equal(a: list[float], b: list[float]) -> bool:
    return np.allclose(a, b, rtol=1e-12, equal_nan=True)


def test_increase_per_second() -> None:
    assert equal(signal([(0, 10.0), (1000, 15.0), (3000, 25.0)]), [math.nan, 5.0, 5.0])


def test_increase_is_not_per_second_and_knows_resets() -> None:
    samples = [(0, 10.0), (2000, 15.0), (4000, 3.0), (6000, 9.0), (7000, math.nan), (8000, 9.0)]
    assert equal(change(Shape.INCREASE, samples), [math.nan, 5.0, math.nan, 6.0, math.nan, math.nan])


def test_delta_goes_down_too() -> None:
    samples = [(0, 10.0), (2000, 15.0), (4000, 3.0), (4000 + MAX_GAP_MS + 1, 9.0)]
    assert equal(change(Shape.DELTA, samples), [math.nan, 5.0, -12.0, math.nan])


def test_milliseconds_are_not_lost() -> None:
    assert equal(signal([(0, 0.0), (1500, 3.0)]), [math.nan, 2.0])


@pytest.mark.parametrize("away_ms", [1000, 5000, 60_000, 240_000])
def test_a_restart_gives_no_rate_until_two_samples_have_come(away_ms: int) -> None:
    """Nobody knows how long the counter has been counting: all else would be a dip that never was."""
    steady = [(5000 * i, 1000.0 * i) for i in range(25)]
    back = [(steady[-1][0] + away_ms + 5000 * i, 500.0 + 1000.0 * i) for i in range(3)]
    out = signal([*steady, *back])
    assert equal(out[24:], [200.0, math.nan, 200.0, 200.0])


def test_a_created_timestamp_shows_a_reset_that_the_value_hides() -> None:
    samples = [(1000, 10.0), (2000, 15.0)]
    assert equal(signal(samples, [500, 500]), [math.nan, 5.0])
    assert equal(signal(samples, [500, 1500]), [math.nan, 30.0])
    assert equal(signal(samples, [0, 0]), [math.nan, 5.0])


@pytest.mark.parametrize(
    ("created_ms", "rate"),
    [(62_000, 100 / 3), (60_001, 100 / 4.999), (62_500, 40.0), (62_501, math.nan), (65_000, math.nan), (1, math.nan)],
)
def test_after_a_restart_the_rate_is_since_the_counter_was_created(created_ms: int, rate: float) -> None:
    """Unless that is less than half a usual step, of which a few events would make any rate, or not in the gap."""
    samples = [(5000 * i, 500.0 * i) for i in range(5)]
    out = signal([*samples, (65_000, 100.0)], [0] * 5 + [created_ms])
    assert equal(out[-2:], [100.0, rate])


def test_a_counter_that_is_reset_at_every_sample_counts_from_one_to_the_next() -> None:
    samples = [(0, 9.0), (1000, 8.0), (2000, 7.0), (4000, 6.0), (5000, 8.0), (6000, 5.0)]
    assert equal(signal(samples), [math.nan, math.nan, 7.0, 3.0, 2.0, math.nan])


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_a_gap_ends_the_run(gap: float) -> None:
    assert equal(signal([(0, 1.0), (1000, gap), (2000, 5.0), (3000, 6.0)]), [math.nan] * 3 + [1.0])


def test_a_pause_longer_than_the_look_back_gives_no_rate() -> None:
    assert equal(signal([(0, 1.0), (MAX_GAP_MS, 301.0)]), [math.nan, 1.0])
    assert equal(signal([(0, 1.0), (MAX_GAP_MS + 1, 301.0)]), [math.nan, math.nan])


@examples(60)
@given(st.lists(st.tuples(STEPS, VALUES, st.integers(0, 2)), min_size=1, max_size=30), st.integers(0, 30))
def test_it_agrees_with_its_twin_however_the_batch_is_cut(steps: list[tuple[int, float, int]], cut: int) -> None:
    times_ms = np.cumsum([step for step, _, _ in steps]).astype(np.int64)
    values = np.array([value for _, value, _ in steps])
    starts_ms = times_ms - np.array([[0, 10**9, 500][start] for _, _, start in steps])
    expected = naive.rates(list(zip(times_ms.tolist(), values.tolist(), starts_ms.tolist(), strict=True)), MAX_GAP_MS)
    state = allocate_rates(2)
    rows = np.ones(len(steps), np.int64)
    parts = [
        rates(state, rows[part], times_ms[part], values[part], starts_ms[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    assert equal(np.concatenate(parts).tolist(), expected)


def test_rows_are_apart_and_a_cleared_row_begins_anew() -> None:
    state = allocate_rates(2)
    rows = np.array([0, 1, 0, 1])
    out = rates(state, rows, np.array([0, 0, 1000, 1000]), np.array([0.0, 100.0, 1.0, 300.0]), None)
    assert equal(out.tolist(), [math.nan, math.nan, 1.0, 200.0])
    state.clear(np.array([1]))
    again = rates(state, np.array([0, 1]), np.array([2000, 2000]), np.array([5.0, 5.0]), None)
    assert equal(again.tolist(), [4.0, math.nan])
