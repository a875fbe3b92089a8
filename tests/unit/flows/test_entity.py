from __future__ import annotations

import math

import numpy as np
import pytest

from flows.entity import HIGHEST, combine


def naive(row: list[float]) -> float:
    scored = sorted((score for score in row if not math.isnan(score)), reverse=True)[:HIGHEST]
    return sum(scored) / len(scored) if scored else math.nan


@pytest.mark.parametrize("signals", [1, 2, 3, 4, 19])
def test_the_mean_of_the_three_highest(signals: int) -> None:
    rng = np.random.default_rng(signals)
    scores = rng.exponential(3.0, (200, signals))
    scores[rng.random(scores.shape) < 0.4] = np.nan
    combined = combine(scores)
    np.testing.assert_allclose(combined.score, [naive(row) for row in scores.tolist()])
    scored = ~np.isnan(scores).all(axis=1)
    assert np.array_equal(combined.leader[scored], np.nanargmax(scores[scored], axis=1))
    assert set(combined.leader[~scored].tolist()) <= {0}


def test_a_row_does_not_depend_on_others() -> None:
    scores = np.random.default_rng(0).exponential(3.0, (50, 5))
    alone = [combine(scores[at : at + 1]).score[0] for at in range(50)]
    assert combine(scores).score.tolist() == alone


def test_no_rows() -> None:
    assert combine(np.zeros((0, 4))).score.shape == (0,)
