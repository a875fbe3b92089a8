"""What calibration promises, shown on millions of samples (so not among the tests that run uncompiled)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flows.calibration import LIMIT, allocate_tails, calibrate
from tests.surprises import feed, promised, scored_of


@pytest.mark.parametrize("power", [0.25, 0.6, 1.0, 3.0])
def test_claims_come_true(power: float) -> None:
    """A model that is wrong by any power: of 10^k calibrated samples one surprises by k, within a factor of 2."""
    score = power * promised(3_000_000)
    seen = feed(allocate_tails(1), score).score[1_000_000:]
    for k in (2.0, 3.0, 4.0):
        assert 0.5 < np.mean(seen >= k) / 10**-k < 2.0


def test_the_past_fades() -> None:
    tails = allocate_tails(1)
    feed(tails, promised(LIMIT))
    assert tails["tail_seen"][0] == LIMIT // 2
    assert tails["tail_counts"][0].sum() == tails["tail_above"][0]
    assert abs(int(tails["tail_above"][0]) - LIMIT // 200) < LIMIT // 2000


def test_a_count_that_would_overflow_is_halved_first() -> None:
    tails = allocate_tails(1)
    scored = feed(tails, np.full(300_000, 9.0))
    assert tails["tail_counts"][0].sum() == tails["tail_above"][0]
    assert 30_000 < tails["tail_above"][0] < 65_536
    assert scored.score[-1] < 2.0  # though the model claims 9


def test_the_band_holds_what_surprises_by_less_than_three() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_t(3, 400_000)
    tail = np.array([-math.log10(max(math.erfc(abs(v) / math.sqrt(2)), 1e-300)) for v in values])
    n = len(values)
    scored = calibrate(allocate_tails(1), np.zeros(n, np.int64), values, scored_of(tail))
    outside = (values < scored.lower) | (values > scored.upper)
    assert 0.4 < np.mean(outside[n // 2 :]) / 1e-3 < 2.5


def test_what_comes_again_and_again_does_not_surprise() -> None:
    """A signal whose model claims 10 once in a hundred samples: each is worth 2 in the end."""
    scores = np.where(np.arange(200_000) % 100 == 7, 10.0, 0.1)
    last = feed(allocate_tails(1), scores).score[-100:]
    assert last[7] == pytest.approx(2.0, abs=0.2)
