from __future__ import annotations

import numpy as np
import pytest

from flows.detectors.base import SURPRISE_MAX, Floats
from flows.detectors.durations import MOST, WIDTH, count_length, length_of, median_length, surprise_of_length, tail_of
from tests import naive_durations as naive

KINDS = {
    "one": lambda _: np.ones(500),
    "regular": lambda rng: rng.normal(150.0, 3.0, 800),
    "geometric": lambda rng: rng.geometric(0.2, 3000).astype(float),
    "nightly": lambda _: np.append(np.ones(1000), [2000.0]),
    "few": lambda _: np.array([3.0, 7.0]),
}


def counted(lengths: Floats) -> Floats:
    counts = np.zeros(WIDTH, np.float32)
    for length in lengths:
        count_length(counts, length)
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_it_agrees_with_its_twin_and_grows_with_the_length(kind: str) -> None:
    lengths = KINDS[kind](np.random.default_rng(0))
    counts = counted(lengths)
    trial = [0.0, 1.0, 1.3, 2.0, 3.0, 10.0, 100.0, 160.0, 200.0, 1999.0, 2100.0, 3000.0, 1e5, 1e9]
    surprises = [surprise_of_length(counts, length) for length in trial]
    assert surprises == pytest.approx([naive.surprise(lengths, length) for length in trial], rel=1e-5, abs=1e-6)
    assert surprises == sorted(surprises)
    assert surprises[-1] == SURPRISE_MAX


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("surprise", [0.3, 1.0, 3.0, 8.0, 50.0])
def test_the_length_of_a_surprise(kind: str, surprise: float) -> None:
    counts = counted(KINDS[kind](np.random.default_rng(0)))
    length = length_of(counts, surprise)
    assert surprise_of_length(counts, 1.001 * length + 0.01) > surprise
    assert surprise_of_length(counts, 0.98 * length - 0.01) <= surprise


def test_geometric_lengths_surprise_as_often_as_they_say() -> None:
    """Learned from 3,000, tried on 300,000: at 1, 2, 3 within the width of a half octave, so never more than said."""
    rng = np.random.default_rng(1)
    counts = counted(rng.geometric(0.2, 3000).astype(float))
    surprises = np.array([surprise_of_length(counts, float(length)) for length in range(1, 120)])
    seen = surprises[np.minimum(rng.geometric(0.2, 300_000), 119) - 1]
    for surprise in (1, 2, 3):
        assert 0.05 < np.mean(seen >= surprise) * 10**surprise < 2.0


def test_what_is_long_ago_is_forgotten() -> None:
    counts = counted(np.append([5000.0], np.ones(int(MOST) - 2)))
    assert tail_of(counts)[1] > 5000
    for _ in range(4 * int(MOST)):
        count_length(counts, 1.0)
    assert tail_of(counts)[1] < 2
    assert counts.sum() < MOST


def test_nothing_known_surprises_nobody() -> None:
    counts = np.zeros(WIDTH, np.float32)
    assert surprise_of_length(counts, 1e9) == 0.0
    assert median_length(counts) == 1.0


def test_the_median() -> None:
    assert median_length(counted(np.full(9, 150.0))) == pytest.approx(150.0, rel=0.2)
