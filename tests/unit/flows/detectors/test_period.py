from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from flows.detectors.base import Table
from flows.detectors.period import (
    LONGEST_LAG,
    NONE,
    PAUSES,
    PEAK,
    RING,
    SHORTEST_LAG,
    UNKNOWN,
    find_lag,
    search_columns,
    search_of,
    seek,
    snap,
)  # fmt: skip
from tests.naive_forecast import autocorrelation
from tests.series import Floats

START_MS = 1_700_000_000_000
HALF_DAY_MS = 43_200_000


def found(
    values: Floats, step_ms: int = 15_000, longest_ms: int = HALF_DAY_MS, first_pauses_ms: Sequence[int] = ()
) -> tuple[float, int]:
    """Period in seconds, and how many samples it took."""
    pauses_ms = np.full(len(values), step_ms)
    pauses_ms[1 : len(first_pauses_ms) + 1] = first_pauses_ms
    times_ms = START_MS - step_ms + np.cumsum(pauses_ms)
    state = Table(tuple(search_columns(wanted=True)), 1)
    search = search_of(state)
    for i, value in enumerate(values):
        seek(search, 0, int(times_ms[i]), value, longest_ms)
        if state["search_period_ms"][0] != UNKNOWN:
            return state["search_period_ms"][0] / 1000, i
    return UNKNOWN, len(values)


@pytest.mark.parametrize("period_s", [120, 300, 900, 3600, 7200, 21_600, 43_200])
@pytest.mark.parametrize("form", ["sine", "pulse", "saw"])
def test_usual_periods_are_found(period_s: int, form: str) -> None:
    at = np.arange(20_000) * 15 % period_s / period_s
    signal = {"sine": np.sin(2 * np.pi * at), "pulse": 3.0 * (at < 0.1), "saw": 4.0 * at}[form]
    values = 1e12 + signal + np.random.default_rng(period_s).normal(0.0, 0.3, len(at))
    seconds, samples = found(values)
    assert seconds == period_s
    assert samples * 15 < max(9 * period_s, 140 * 15)


@pytest.mark.parametrize("first_pauses_ms", [(1000,), (10,), (3_600_000,), (86_400_000, 20, 15_000, 3_600_000, 5)])
def test_odd_pauses_at_the_beginning_do_not_hide_a_period(first_pauses_ms: Sequence[int]) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.3, 6000)
    values = np.sin(2 * np.pi * np.arange(6000) * 15 / 3600) + noise
    assert found(values, first_pauses_ms=first_pauses_ms)[0] == 3600


@pytest.mark.parametrize("seed", range(3))
def test_the_first_step_is_the_median_of_the_first_pauses(seed: int) -> None:
    pauses_ms = np.random.default_rng(seed).integers(1, 100_000, PAUSES)
    state = Table(tuple(search_columns(wanted=True)), 1)
    for i, time_ms in enumerate((START_MS + np.cumsum([0, *pauses_ms])).tolist()):
        assert state["search_step_ms"][0] == 0, f"known after {i} samples"
        seek(search_of(state), 0, time_ms, 1.0, HALF_DAY_MS)
    assert state["search_step_ms"][0] == sorted(pauses_ms.tolist())[PAUSES // 2]
    assert state["search_filled"][0] == 0


def test_an_unusual_period_is_found_nearly() -> None:
    values = np.sin(2 * np.pi * np.arange(20_000) * 15 / 2820) + np.random.default_rng(0).normal(0.0, 0.3, 20_000)
    assert found(values)[0] == pytest.approx(2820, rel=0.015)


@pytest.mark.parametrize("noise", ["white", "heavy", "slow", "constant", "trend"])
def test_noise_has_no_period(noise: str) -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    slow = np.convolve(rng.normal(0.0, 1.0, n + 200), np.exp(-np.arange(200) / 20), "valid")[:n]
    values = {
        "white": rng.normal(0.0, 1.0, n), "heavy": rng.standard_t(1.5, n), "slow": slow, "constant": np.full(n, 5.0),
        "trend": np.arange(n) + rng.normal(0.0, 1.0, n),
    }[noise]  # fmt: skip
    assert found(values)[0] * 1000 == NONE


def test_a_long_gap_begins_anew_and_a_short_one_is_filled() -> None:
    state = Table(tuple(search_columns(wanted=True)), 1)
    search = search_of(state)
    for step in [*range(1 - PAUSES, 50), *range(55, 80)]:
        seek(search, 0, START_MS + 15_000 * step, float(step), HALF_DAY_MS)
    assert state["search_filled"][0] == 78
    assert state["search_ring"][0, 48:55].tolist() == [49.0 + PAUSES - 1] * 6 + [55.0 + PAUSES - 1]
    seek(search, 0, START_MS + 15_000 * 100, 1.0, HALF_DAY_MS)
    assert state["search_filled"][0] == 0


def test_the_lag_is_the_first_peak_of_the_autocorrelation() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        period = int(rng.integers(SHORTEST_LAG + 1, LONGEST_LAG))
        ring = np.tile(rng.normal(0.0, 1.0, period), RING // period + 1)[:RING] + rng.normal(0.0, 0.2, RING)
        r = autocorrelation(ring)
        lag = find_lag(ring.astype(np.float32))
        assert lag == 0 or r[round(lag)] >= PEAK - 0.01
        if lag:
            assert round(lag) in {period, *range(SHORTEST_LAG, period)}


@pytest.mark.parametrize(("found_ms", "taken_ms"), [(3_500_000, 3_600_000), (3_400_000.4, 3_400_000), (61_000, 60_000)])
def test_a_period_near_a_usual_one_is_taken_to_be_it(found_ms: float, taken_ms: int) -> None:
    assert snap(found_ms) == taken_ms
