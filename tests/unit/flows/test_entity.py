from __future__ import annotations

import numpy as np
import pytest

from flows.entity import combine
from tests import naive_auto


def surprises(signals: int, n: int = 600) -> np.ndarray:
    rng = np.random.default_rng(signals)
    scores = rng.exponential(1.0 / np.log(10.0), (n, signals))
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[n // 2] = 7.0
    return scores


@pytest.mark.parametrize("signals", [1, 2, 3, 4, 19])
def test_it_agrees_with_its_twin(signals: int) -> None:
    scores = surprises(signals)
    combined = combine(scores)
    np.testing.assert_allclose(combined.score, naive_auto.entity(scores.tolist()), rtol=1e-9)
    scored = ~np.isnan(scores).all(axis=1)
    assert np.array_equal(combined.leader[scored], np.nanargmax(scores[scored], axis=1))
    assert set(combined.leader[~scored].tolist()) <= {0}


def test_signals_that_agree_surprise_more_than_one_alone() -> None:
    scores = np.random.default_rng(0).exponential(1.0 / np.log(10.0), (3000, 8))
    one, all_of_them = scores.copy(), scores.copy()
    one[-1, 3] = 3.0
    all_of_them[-1] = 3.0
    assert combine(one).score[-1] < 2.0
    assert combine(all_of_them).score[-1] > 5.0


def test_a_fault_surprises_when_it_begins() -> None:
    scores = np.random.default_rng(1).exponential(1.0 / np.log(10.0), (3000, 8))
    scores[2000:2200, :4] += 4.0
    combined = combine(scores).score
    assert combined[2000] > 5.0
    assert combined[2100:2200].max() < 4.0


def test_a_row_does_not_depend_on_later_ones() -> None:
    scores = surprises(5)
    np.testing.assert_array_equal(combine(scores).score[:300], combine(scores[:300]).score)


def test_no_rows() -> None:
    assert combine(np.zeros((0, 4))).score.shape == (0,)
