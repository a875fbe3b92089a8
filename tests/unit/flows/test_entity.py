"""What makes one signal of the members of a group: the twin, and what whole steps ask for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from flows import entity
from flows.detectors.base import Floats, Scored, Table
from flows.detectors.outlier import GROUP
from flows.detectors.river_vector import ENTITY, SERIES, TOP
from tests import naive_auto
from tests.checks import same


def table_of(groups: int, members: int) -> Table:
    """Rows of each group: its members, then its entity; names in the order of the rows."""
    rows, width = groups * (members + 1), members + 1
    table = Table(entity.COLUMNS, rows)
    table[GROUP][:] = np.arange(rows) // width
    table[ENTITY][:] = np.arange(rows) % width == members
    table[SERIES][:] = 1000 + np.arange(rows)
    return table


def combine(scores: Floats, values: Floats | None = None, table: Table | None = None) -> tuple[Floats, Scored]:
    """Verdicts on the one entity of members with these scores, (n, members) both."""
    n, members = scores.shape
    table = table or table_of(1, members)
    both = np.hstack([scores, np.full((n, 1), np.nan)])
    shown = np.hstack([scores if values is None else values, np.zeros((n, 1))])
    rows, times_ms = np.tile(np.arange(members + 1), n), np.repeat(np.arange(n), members + 1)
    scored = Scored(*(column.ravel().copy() for column in (both, both + 1.0, both - 1.0, both + 2.0)))
    value, out = entity.combine(table, rows, times_ms, shown.ravel(), scored)
    mine = rows == members
    return value[mine], Scored(*(column[mine] for column in out))


def surprises(signals: int, n: int = 600) -> Floats:
    rng = np.random.default_rng(signals)
    scores = rng.exponential(1.0 / np.log(10.0), (n, signals))
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[n // 2] = 7.0
    return scores


@pytest.mark.parametrize("signals", [1, 2, 3, 4, 19])
def test_it_agrees_with_its_twin(signals: int) -> None:
    scores = surprises(signals)
    values = np.random.default_rng(1).normal(size=scores.shape)
    value, combined = combine(scores, values)
    np.testing.assert_allclose(combined.score, naive_auto.entity(scores.tolist()), rtol=1e-9)
    known = ~np.isnan(scores).all(axis=1)
    assert np.array_equal(~np.isnan(value), known)
    at, leader = np.flatnonzero(known), np.nanargmax(scores[known], axis=1)
    np.testing.assert_array_equal(value[known], values[at, leader])
    np.testing.assert_array_equal(combined.expected[known], scores[at, leader] + 1.0)
    np.testing.assert_array_equal(combined.lower[known], scores[at, leader] - 1.0)
    np.testing.assert_array_equal(combined.upper[known], scores[at, leader] + 2.0)


@pytest.mark.long
def test_signals_that_agree_surprise_more_than_one_alone() -> None:
    scores = np.random.default_rng(0).exponential(1.0 / np.log(10.0), (3000, 8))
    one, all_of_them = scores.copy(), scores.copy()
    one[-1, 3] = 3.0
    all_of_them[-1] = 3.0
    assert combine(one)[1].score[-1] < 2.0
    assert combine(all_of_them)[1].score[-1] > 5.0


@pytest.mark.long
def test_a_fault_surprises_when_it_begins() -> None:
    scores = np.random.default_rng(1).exponential(1.0 / np.log(10.0), (3000, 8))
    scores[2000:2200, :4] += 4.0
    combined = combine(scores)[1].score
    assert combined[2000] > 5.0
    assert combined[2100:2200].max() < 4.0


def test_those_that_led_are_remembered_until_it_surprises_again() -> None:
    scores = np.random.default_rng(2).exponential(1.0 / np.log(10.0), (3000, 8))
    scores[2500] = 3.0 + np.arange(8)
    table = table_of(1, 8)
    values = np.tile(np.arange(8.0), (3000, 1))
    combine(scores[:2600], values[:2600], table)
    assert table["top"][8].tolist() == [1007, 1006, 1005]
    assert table["top_value"][8].tolist() == [7.0, 6.0, 5.0]
    assert not table["top"][:8].any()
    assert TOP == 3


@pytest.mark.long
def test_members_may_come_and_go() -> None:
    """Half of the members leave: the mean of noise is as surprising as if they had stayed."""
    scores = np.random.default_rng(3).exponential(1.0 / np.log(10.0), (40_000, 16))
    fewer = scores.copy()
    fewer[20_000:, 8:] = np.nan
    stayed, left = (combine(one)[1].score[20_000:] for one in (scores, fewer))
    for surprise in (0.5, 1.0):
        assert 0.8 < (left >= surprise).mean() / (stayed >= surprise).mean() < 1.25


def test_steps_may_be_cut_between_steps_and_rows_come_in_any_order() -> None:
    groups, members, steps = 3, 4, 200
    width = groups * (members + 1)
    rng = np.random.default_rng(5)
    rows, times_ms = np.tile(np.arange(width), steps), np.repeat(np.arange(steps), width)
    scores, values = rng.exponential(0.5, len(rows)), rng.normal(size=len(rows))
    scores[rng.random(len(rows)) < 0.1] = np.nan
    scored = Scored(scores, values + 1.0, values - 1.0, values + 2.0)
    whole_shown, whole = entity.combine(table_of(groups, members), rows, times_ms, values, scored)
    assert np.isnan(whole.score[rows % (members + 1) != members]).all(), "members tell nothing themselves"
    table, parts = table_of(groups, members), []
    for first, last in pairwise([0, width, 70 * width, 71 * width, len(rows)]):
        order = first + rng.permutation(last - first)
        part = Scored(*(column[order] for column in scored))
        shown, out = entity.combine(table, rows[order], times_ms[order], values[order], part)
        back = np.argsort(order)
        parts.append((shown[back], Scored(*(column[back] for column in out))))
    same(Scored(*(np.concatenate([getattr(p, name) for _, p in parts]) for name in Scored._fields)), whole)
    np.testing.assert_array_equal(np.concatenate([shown for shown, _ in parts]), whole_shown)


def test_an_entity_is_ready_when_its_first_member_is() -> None:
    table = table_of(2, 3)
    members = np.array([0, 1, 2, 4, 5, 6])
    needed = np.array([60, 7, 9, 0, 60, 60])
    assert entity.needs(table, np.arange(8), members, needed).tolist() == [0, 0, 0, 7, 0, 0, 0, 0]


def test_an_entity_without_members_needs_one() -> None:
    """Its group's number may be above those of all members, and below."""
    table = table_of(3, 3)
    members, entities = np.array([4, 5, 6]), np.array([3, 7, 11])
    assert entity.needs(table, entities, members, np.array([60, 7, 9])).tolist() == [1, 7, 1]
    assert entity.needs(table, entities, np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == [1, 1, 1]


def test_no_rows() -> None:
    assert combine(np.zeros((0, 4)))[1].score.shape == (0,)
