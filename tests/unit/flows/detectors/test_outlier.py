"""``outlier`` judges whole steps of groups, so it has checks of its own instead of those of single signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.detectors.base import BAND_SURPRISE, SURPRISE_MAX, Floats, Ints, Scored, Table
from flows.detectors.outlier import GROUP, Outlier, OutlierParams
from tests import naive
from tests.checks import at, same
from tests.examples import examples
from tests.naive_outlier import by_density, by_median

METHODS = ("mad", "density")
LEVELS = {"noise": (0.0, 1.0), "1e12": (1e12, 1.0), "1e-9": (5e-9, 1e-9), "1e30": (1e30, 1e26)}


def outlier(method: str, **params: float) -> Outlier:
    return Outlier(OutlierParams.model_validate({"method": method, "warmup": 0, **params}))


def state_of(detector: Outlier, groups: Sequence[int]) -> Table:
    state = detector.allocate(len(groups))
    state[GROUP][:] = groups
    return state


def judge(detector: Outlier, values: Sequence[float] | Floats, groups: Sequence[int] = ()) -> Scored:
    """One step of members 0, 1, …; one group unless they are given."""
    column = np.array(values, np.float64)
    state = state_of(detector, groups or [0] * len(column))
    return detector.step(state, np.arange(len(column)), np.zeros(len(column), np.int64), column)


def stream(steps: int = 30, members: int = 24) -> tuple[Ints, Ints, Floats]:
    """Whole steps of three groups in any order, with gaps and members that are away: rows, times, values."""
    rng = np.random.default_rng(0)
    steps_ = [rng.permutation(members)[: rng.integers(members // 2, members + 1)] for _ in range(steps)]
    rows = np.concatenate(steps_)
    times_ms = 15_000 * np.repeat(np.arange(steps), [len(step) for step in steps_])
    values = rng.normal(10.0 * (rows % 3), 1.0)
    values[rng.random(len(rows)) < 0.05] = math.nan
    return rows, times_ms, values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("members", [5, 6, 17, 60])
def test_it_agrees_with_its_twin(method: str, level: str, members: int) -> None:
    centre, spread = LEVELS[level]
    rng = np.random.default_rng(members)
    detector, steps = outlier(method), list[list[float]]()
    state = detector.allocate(members)
    for step in range(5):
        values = centre + spread * rng.normal(0.0, 1.0, members)
        values[0] += spread * float(rng.choice([0.0, 5.0, 40.0]))
        steps.append(values.tolist())
        scored = detector.step(state, np.arange(members), np.full(members, step), values)
        for i in range(members):
            twin = by_median(steps, i, 1e-3) if method == "mad" else by_density(steps[-1], i, 3, 20.0, 1e-3)
            assert [column[i] for column in scored] == pytest.approx(twin, rel=1e-5, abs=1e-9 * spread)


@pytest.mark.parametrize("method", METHODS)
def test_members_of_other_groups_do_not_matter(method: str) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.0, 1.0, 12), rng.normal(500.0, 3.0, 9)
    order = rng.permutation(21)
    values = np.concatenate([one, other])
    mixed = judge(outlier(method), values[order], [0 if at < 12 else 1 for at in order])
    back = np.argsort(order)
    same(at(mixed, back[:12]), judge(outlier(method), one))
    same(at(mixed, back[12:]), judge(outlier(method), other))


@pytest.mark.parametrize("method", METHODS)
def test_steps_may_be_cut_between_steps_and_members_come_in_any_order(method: str) -> None:
    rows, times_ms, values = stream()
    groups = (np.arange(24) % 3).tolist()
    detector = outlier(method, warmup=4)
    whole = detector.step(state_of(detector, groups), rows, times_ms, values)
    edges = [*np.flatnonzero(np.diff(times_ms, prepend=-1)).tolist(), len(rows)]
    assert np.count_nonzero(~np.isnan(whole.score)) > 200

    @examples(10)
    @given(st.sets(st.sampled_from(edges)), st.randoms(use_true_random=False))
    def cut(cuts: set[int], chance: object) -> None:
        state = state_of(detector, groups)
        parts = []
        for first, last in pairwise(sorted({0, len(rows), *cuts})):
            order = np.arange(first, last)
            chance.shuffle(order)  # type: ignore[attr-defined]
            scored = detector.step(state, rows[order], times_ms[order], values[order])
            parts.append(at(scored, np.argsort(order)))
        same(Scored(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), whole)

    cut()


def test_it_goes_on_from_a_snapshot_in_other_rows() -> None:
    rows, times_ms, values = stream()
    groups = np.arange(24) % 3
    detector = outlier("mad", warmup=4)
    whole = detector.step(state_of(detector, groups.tolist()), rows, times_ms, values)
    half = int(np.flatnonzero(times_ms == 15_000 * 15)[0])
    old = state_of(detector, groups.tolist())
    detector.step(old, rows[:half], times_ms[:half], values[:half])
    to = np.random.default_rng(2).permutation(24)
    new = detector.allocate(24)
    new.load(to, old.save(np.arange(24)))
    new[GROUP][to] = groups
    same(detector.step(new, to[rows[half:]], times_ms[half:], values[half:]), at(whole, slice(half, None)))


@pytest.mark.parametrize("method", METHODS)
def test_a_new_member_is_not_judged_but_counts(method: str) -> None:
    detector = outlier(method, warmup=2)
    state = detector.allocate(6)
    for step in range(3):
        values = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 50.0])
        scored = detector.step(state, np.arange(6), np.full(6, step), values)
        assert np.isnan(scored.score).all() == (step < 2)
        assert (detector.needs(state, np.arange(6)) == max(0, 1 - step)).all()
    assert scored.score[5] > 4.0
    assert scored.score[:5].max() < BAND_SURPRISE
    assert scored.upper[5] < 50.0


@pytest.mark.parametrize("method", METHODS)
def test_small_groups_are_not_judged(method: str) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 900.0]
    assert np.isnan(judge(outlier(method, min_members=6), values).score).all()
    assert not np.isnan(judge(outlier(method, min_members=5), values).score).any()
    assert np.isnan(judge(outlier(method, min_members=5), [*values[:4], math.nan]).score).all()


@pytest.mark.parametrize("method", METHODS)
def test_equal_members_are_expected_and_one_that_differs_is_not(method: str) -> None:
    for level in (7.0, 0.0, -3.0, 1.7e9):
        scored = judge(outlier(method), [level] * 12)
        assert (scored.score == 0.0).all()
        assert (scored.expected == level).all()
        changed = judge(outlier(method), [*[level] * 11, level + 1e3 + 0.5 * abs(level)])
        assert changed.score[-1] > 8.0
        assert (changed.score[:-1] == 0.0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [
    [1.7e308, -1.7e308] * 5, [1e38, -1e38] * 5, [5e-324] * 9 + [1e-300], [math.inf] * 9 + [1.0], [1e30, *range(9)],
], ids=str)  # fmt: skip
def test_verdicts_are_whole_at_any_size(method: str, values: list[float]) -> None:
    scored = judge(outlier(method), values)
    known = ~np.isnan(scored.score)
    for column in scored:
        assert (np.isnan(column) == ~known).all()
        assert np.isfinite(column[known]).all()
    assert (scored.score[known] >= 0.0).all()
    assert (scored.score[known] <= SURPRISE_MAX).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_band_ends_where_surprise_is_3(method: str) -> None:
    peers = np.random.default_rng(3).normal(0.0, 1.0, 20)
    for x in np.linspace(-30.0, 30.0, 301):
        scored = judge(outlier(method), [*peers, x])
        inside = scored.lower[-1] <= x <= scored.upper[-1]
        assert inside == (scored.score[-1] <= BAND_SURPRISE), x


def test_two_crowds_are_usual_by_density_and_one_between_is_not() -> None:
    rng = np.random.default_rng(4)
    values = [*rng.normal(10.0, 0.5, 12), *rng.normal(50.0, 0.5, 8), 30.0]
    dense, median_ = (judge(outlier(method), values).score for method in ("density", "mad"))
    assert dense[-1] > 6.0
    assert dense[:-1].max() < 5.0
    assert median_[12:20].min() > dense[12:20].max()


@pytest.mark.long
@pytest.mark.parametrize(("method", "floor"), [("mad", 1 / 3), ("density", 0.0)])
@pytest.mark.parametrize("members", [6, 12, 50])
def test_chance_alarms_as_rarely_as_it_says(members: int, method: str, floor: float) -> None:
    """Gaussian members: surprises of 2 and 3 come once in 100 and 1,000 values, within a factor of 3, or less."""
    values = np.random.default_rng(5).normal(0.0, 1.0, (60_000 // members, members))
    rows, times_ms = np.tile(np.arange(members), len(values)), np.repeat(np.arange(len(values)), members)
    detector = outlier(method)
    score = detector.step(detector.allocate(members), rows, times_ms, values.ravel()).score
    for surprise in (2.0, 3.0):
        seen = np.mean(score >= surprise)
        assert 10.0**-surprise * floor <= seen < 3 * 10.0**-surprise, f"{seen} at {surprise}"


def test_the_largest_surprise_is_that_of_every_kind() -> None:
    assert judge(outlier("density"), [*np.random.default_rng(6).normal(0.0, 1.0, 20), 1e30]).score[-1] == SURPRISE_MAX
    assert naive.surprise(math.inf) == SURPRISE_MAX
