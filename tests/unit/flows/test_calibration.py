"""Calibration against its slow twin, and that it keeps its promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.calibration import (
    BINS,
    FEW,
    LARGEST,
    MANY,
    MOST_OCTAVES,
    POOLED,
    STRETCH_EVERY,
    allocate_tails,
    bin_of,
    calibrate,
    calibrated,
    edge_of,
    tail_count,
)
from flows.detectors.base import SURPRISE_MAX
from tests.examples import examples
from tests.surprises import feed, promised, scored_of

EDGES = [*np.arange(2.0, 4.0, 0.5), 4, 5, 6, 7, 8, 10, 12, 14, *(16.0 * 2 ** np.arange(13))]


# the twin: the whole history at every step


def naive_tail(history: Sequence[float], s: float, lumps: bool = False) -> float:
    """How many of the history would have surprised by ``s``, from the counts at the edges."""
    at = [(edge, sum(x >= edge for x in history)) for edge in EDGES]
    inside = [(a, b) for a, b in pairwise(at) if a[0] <= s < b[0] and b[1] >= FEW]
    if inside:
        (low, below), (high, above) = inside[0]
        if lumps:
            return (below + above) / 2
        share = (s - low) / (high - low)
        return float(below ** (1 - share) * above**share)
    many_at, many = [(e, c) for e, c in at if c >= MANY][-1]
    few_at, few = [(e, c) for e, c in at if c >= FEW][-1]
    if few >= many:
        few_at, few = EDGES[EDGES.index(many_at) + 1], FEW
        if 2 * many > len(history) and s < few_at:
            return float(many)
    slope = math.log(many / few) / math.log(few_at / many_at)
    return float(few * (s / few_at) ** -slope)


def naive_calibrated(history: Sequence[float], n: int, s: float, lumps: bool = False) -> float:
    surprising = [x for x in history if x >= 2.0]
    if len(surprising) < MANY:
        return min(s, 300.0)
    weight = 1 / (1 + (n / POOLED) ** 3)
    empirical = -math.log10(max(naive_tail(surprising, s, lumps), 1e-300) / n)
    return float(min(300.0, max(0.0, weight * min(s, 300.0) + (1 - weight) * empirical)))


@pytest.mark.parametrize("heaviness", [0.5, 1.0, 4.0, 40.0])
def test_agrees_with_the_whole_history(heaviness: float) -> None:
    history = heaviness * promised(4_000)
    tails = allocate_tails(1)
    feed(tails, history)
    for s in (2.0, 2.2, 3.1, 4.9, 9.0, 40.0, 299.0):
        got = calibrated(4_000, int(tails["tail_above"][0]), tails["tail_counts"][0], 1.0, s, False)
        assert got == pytest.approx(naive_calibrated(history.tolist(), 4_000, s), rel=1e-9)


@pytest.mark.long
def test_agrees_with_the_history_once_it_outweighs_the_model() -> None:
    history = 3.0 * promised(60_000)
    tails = allocate_tails(1)
    feed(tails, history)
    for s in (2.0, 6.5, 11.0, 17.0, 60.0):
        got = calibrated(60_000, int(tails["tail_above"][0]), tails["tail_counts"][0], 1.0, s, False)
        assert got == pytest.approx(naive_calibrated(history.tolist(), 60_000, s), rel=1e-9)
        if s <= 12.0:  # seen often enough: it is worth a third, since the model claims three times the truth
            assert got == pytest.approx(s / 3.0, abs=0.3)


@pytest.mark.long
def test_few_numbers_are_told_amid_what_is_as_far_and_what_is_farther() -> None:
    """A lump of 2 in 1,000 at the upper edge of its bin, beyond which are 0.4 in 1,000: no three, as its place says."""
    history = np.zeros(50_000)
    history[::500], history[7::2500] = 2.99, 4.2
    history[3::50] = 2.2
    tails = allocate_tails(1)
    feed(tails, history)
    above, counts = int(tails["tail_above"][0]), tails["tail_counts"][0]
    assert tails["tail_same"][0] > 0.1 * above
    got = calibrated(50_000, above, counts, 1.0, 2.99, True)
    assert got == pytest.approx(naive_calibrated(history.tolist(), 50_000, 2.99, lumps=True), rel=1e-9)
    assert got < 2.96 < calibrated(50_000, above, counts, 1.0, 2.99, False)
    assert feed(tails, [2.99]).score[0] == pytest.approx(got, abs=0.01)


LOOKED_AT = 79 * STRETCH_EVERY
"""Samples after which it is first looked whether the histogram should begin lower."""


@pytest.mark.long
def test_where_hardly_anything_surprises_the_histogram_begins_anew_and_lower() -> None:
    history = 0.6 * promised(80_000)
    tails = allocate_tails(1)
    feed(tails, np.linspace(2.0, 3.9, 50))  # a young model's
    feed(tails, history)
    assert tails["tail_octaves"][0] == 1
    since = 2.0 * history[LOOKED_AT - 50 :]
    n, above, counts = len(since), int(tails["tail_above"][0]), tails["tail_counts"][0]
    assert (tails["tail_seen"][0], above) == (n, np.count_nonzero(since >= 2.0))
    for s in (1.0, 1.2, 1.7, 2.4):
        got = calibrated(n, above, counts, 2.0, s, False)
        weight = 1 / (1 + (n / POOLED) ** 3)
        assert got == pytest.approx(naive_calibrated(since.tolist(), n, 2.0 * s) - weight * s, rel=1e-9)
        assert got == pytest.approx(s / 0.6, rel=0.1)
    assert feed(tails, [1.2]).score[0] == pytest.approx(2.0, rel=0.1)


@pytest.mark.long
@pytest.mark.parametrize(("every", "octaves"), [(150, 0), (250, 1), (6_000, 1)])
def test_how_rare_surprises_must_be_for_the_histogram_to_begin_lower(every: int, octaves: int) -> None:
    scores = np.where(np.arange(LOOKED_AT) % every == 7, 2.5, 0.1)
    tails = allocate_tails(1)
    feed(tails, scores[:-1])
    assert tails["tail_octaves"][0] == 0
    feed(tails, scores[-1:])
    assert tails["tail_octaves"][0] == octaves


@pytest.mark.long
def test_a_quiet_signal_keeps_what_it_knows_of_its_large_surprises() -> None:
    tails = allocate_tails(1)
    scores = np.where(np.arange(60_000) % 1000 == 7, 80.0, 0.0)
    last = feed(tails, scores).score
    assert tails["tail_octaves"][0] == 0
    assert tails["tail_above"][0] == 60
    assert last[59_007] < 6.0


@pytest.mark.long
def test_the_histogram_begins_nowhere_below_a_half() -> None:
    tails = allocate_tails(1)
    feed(tails, np.zeros(4 * LOOKED_AT))
    assert (tails["tail_octaves"][0], tails["tail_seen"][0]) == (MOST_OCTAVES, 2 * LOOKED_AT)


def test_surprises_of_a_continuous_signal_are_hardly_ever_the_same() -> None:
    tails = allocate_tails(1)
    feed(tails, promised(50_000))
    assert tails["tail_same"][0] < 0.02 * tails["tail_above"][0]


def test_bins_and_edges_agree() -> None:
    assert [edge_of(number) for number in range(BINS + 1)] == EDGES
    for number, edge in enumerate(EDGES[:-1]):
        assert bin_of(edge) == number
        assert bin_of(np.nextafter(np.float32(EDGES[number + 1]), np.float32(0.0))) == number
    assert bin_of(LARGEST) == bin_of(1e30) == BINS - 1


def test_believes_the_model_until_the_signal_has_shown_enough() -> None:
    scores = [0.3, 2.2, 5.0, 80.0]
    np.testing.assert_array_equal(feed(allocate_tails(1), scores).score, scores)


def test_a_gap_is_neither_calibrated_nor_learned() -> None:
    tails = allocate_tails(1)
    assert np.isnan(feed(tails, [math.nan] * 3).score).all()
    assert tails["tail_seen"][0] == 0


@pytest.mark.long
@examples(25)
@given(st.lists(st.integers(0, 1500), max_size=6), st.integers(0, 2**32))
def test_batches_may_be_cut_anywhere_and_rows_do_not_touch(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 1500
    rows, score = rng.integers(0, 3, n), 4.0 * promised(n, seed)
    values = np.zeros(n)
    whole = calibrate(allocate_tails(3), rows, values, scored_of(score))
    tails = allocate_tails(3)
    parts = []
    for a, b in pairwise([0, *sorted(cuts), n]):
        parts.append(calibrate(tails, rows[a:b], values[a:b], scored_of(score[a:b])).score)
    np.testing.assert_array_equal(np.concatenate(parts), whole.score)
    alone = feed(allocate_tails(1), score[rows == 1])
    np.testing.assert_array_equal(alone.score, whole.score[rows == 1])


@pytest.mark.long
@examples(50)
@given(st.integers(0, 2**32), st.floats(0.2, 50.0), st.integers(40, 5000), st.booleans())
def test_more_is_never_less_surprising(seed: int, heaviness: float, n: int, lumps: bool) -> None:
    tails = allocate_tails(1)
    feed(tails, heaviness * promised(n, seed))
    counts, above = tails["tail_counts"][0], int(tails["tail_above"][0])
    ladder = np.concatenate([np.linspace(2.0, 20.0, 200), np.geomspace(20.0, LARGEST, 60)])
    worth = [calibrated(n, above, counts, 1.0, s, lumps) for s in ladder]
    assert all(b >= a - 1e-9 for a, b in pairwise(worth))
    assert all(0.0 <= w <= SURPRISE_MAX for w in worth)
    if above >= MANY:
        tail = [tail_count(counts, above, s, lumps) for s in ladder]
        assert all(b <= a * (1 + 1e-9) for a, b in pairwise(tail))
