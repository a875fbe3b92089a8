from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.detectors.holding import HoldParams, hold_column, holds_of, learns
from flows.detectors.registry import KINDS
from tests import naive
from tests.checks import run
from tests.examples import examples
from tests.unit.flows.detectors.twins import agree

SCORES = st.lists(st.sampled_from([0.0, 7.9, 8.0, 300.0, np.nan]), max_size=60)


@examples(60)
@given(SCORES, st.integers(0, 12), st.integers(0, 3))
def test_it_agrees_with_its_twin(scores: list[float], hold_s: int, first: int) -> None:
    twin, held_ms = naive.Hold(1000 * hold_s), np.zeros(1, np.int64)
    for step, score in enumerate(scores, first):
        time_ms = 1000 * step
        if step == 0:
            time_ms = 1  # 0 stands for no hold
        assert learns(held_ms, 0, score, time_ms, 1000 * hold_s, 8.0) == twin.learns(score, time_ms)


def test_an_incident_is_held_then_accepted_and_the_next_one_is_held_again() -> None:
    held_ms = np.zeros(1, np.int64)
    surprising = [False] * 3 + [True] * 8 + [False] * 4 + [True] * 2
    learned = [learns(held_ms, 0, 20.0 if s else 1.0, 1000 * t, 5000, 8.0) for t, s in enumerate(surprising)]
    assert learned == [True] * 3 + [False] * 5 + [True] * 3 + [True] * 4 + [False] * 2


def test_without_holds_there_is_nothing_to_remember() -> None:
    assert hold_column(HoldParams()).derived
    assert not hold_column(HoldParams(hold_s=1)).derived


SMALL: dict[str, dict[str, Any]] = {"mad": {"window": 20}, "zscore": {"window": 20}, "ewma": {"alpha": 0.1}}


@pytest.mark.parametrize("kind", SMALL)
def test_an_incident_stays_an_anomaly_while_held_and_a_shift_is_accepted_afterwards(kind: str) -> None:
    """One sample a second: 60 s of a shift under a hold of 40 s, then 60 s more."""
    noise = np.random.default_rng(1).normal(0.0, 1.0, 260)
    values = noise + np.where(np.arange(260) >= 100, 50.0, 0.0)
    entry = KINDS[kind]
    held = run(lambda: entry.make(entry.params(**SMALL[kind], hold_s=40)), values).score
    free = run(lambda: entry.make(entry.params(**SMALL[kind])), values).score
    assert (held[100:140] >= 8).all()
    assert (free[130:140] < 8).all()
    assert (held[200:] < 8).all()


@pytest.mark.parametrize("hold_s", [0, 7, 40])
def test_kernels_hold_as_their_twins(hold_s: int) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(10.0, 1.0, 300) + np.where((np.arange(300) // 25) % 3 == 2, 30.0, 0.0)
    hold = {"hold_s": hold_s, "hold_from": 6.0}

    def twin() -> naive.Hold:
        return naive.Hold(1000 * hold_s, 6.0)

    for kind, scale_of in (("mad", naive.mad_scale), ("zscore", naive.zscore_scale)):
        params = KINDS[kind].params(window=20, **hold)
        expected = naive.windowed(values, 20, 20, 1e-3, scale_of, twin())
        agree(run(lambda kind=kind, params=params: KINDS[kind].make(params), values), expected)
    params = KINDS["ewma"].params(alpha=0.1, warmup=10, **hold)
    agree(run(lambda: KINDS["ewma"].make(params), values), naive.ewma(values, 0.1, 10, 1e-3, twin()))


@pytest.mark.parametrize("kind", SMALL)
def test_kernels_are_compiled_for_one_type_of_holds(kind: str) -> None:
    entry = KINDS[kind]
    for hold_s in (0, 40):
        params = entry.params(**SMALL[kind], hold_s=hold_s)
        held_ms = holds_of(entry.make(params).allocate(2), params)
        assert (held_ms.dtype, held_ms.ndim, held_ms.flags.writeable) == (np.int64, 1, True)
