from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.routes import NONE, Routes, Slab, sort_by_program
from tests.examples import examples

PAIRS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3)))


def linked(pairs: set[tuple[int, int]]) -> tuple[Routes, np.ndarray]:
    """An entry for each pair of row and program."""
    routes, heads = Routes(), np.full(5, NONE, np.int32)
    for row, program in sorted(pairs):
        heads[row] = routes.entries.take(row=row, program=program, slot=0, next=int(heads[row]), lane=NONE)
    return routes, heads


@examples(60)
@given(PAIRS, st.lists(st.integers(0, 4), max_size=30))
def test_samples_are_sorted_by_program_in_their_order(pairs: set[tuple[int, int]], rows: list[int]) -> None:
    routes, heads = linked(pairs)
    entries = routes.entries
    starts, samples, found = sort_by_program(np.array(rows, np.int64), heads, entries["program"], entries["next"], 4)
    for program in range(4):
        span = slice(starts[program], starts[program + 1])
        expected = [i for i, row in enumerate(rows) if (row, program) in pairs]
        assert samples[span].tolist() == expected
        at = found[span]
        assert [(entries["row"][e], entries["program"][e]) for e in at] == [(rows[i], program) for i in expected]


LANES = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)), max_size=12)


@pytest.mark.long
@examples(100)
@given(st.lists(st.tuples(st.booleans(), LANES), max_size=8))
def test_crowds_of_lanes_come_and_go(steps: list[tuple[bool, set[tuple[int, int, int]]]]) -> None:
    """Against a set of (row, program, detector); entries are there as long as they have lanes."""
    routes, heads = Routes(), np.full(5, NONE, np.int32)
    known: set[tuple[int, int, int]] = set()
    for comes, lanes in steps:
        if comes:
            some = np.array(sorted(lanes - known), np.int64).reshape(-1, 3)
            entries, made = routes.entries_for(heads, some[:, 0], some[:, 1])
            assert len(made) == len({lane[:2] for lane in lanes} - {lane[:2] for lane in known})
            routes.add_lanes(entries, some[:, 2])
            known |= lanes
        else:
            dropped = [lane for lane, what in lanes_of(routes, heads).items() if what in lanes]
            empty = routes.drop_lanes(heads, np.array(dropped, np.int64))
            assert len(empty) == len({lane[:2] for lane in known} - {lane[:2] for lane in known - lanes})
            routes.entries.give(empty)
            known -= lanes
        assert sorted(lanes_of(routes, heads).values()) == sorted(known)
        assert (len(routes.lanes), len(routes.entries)) == (len(known), len({lane[:2] for lane in known}))
        for detector in range(4):
            mine = {lane for lane, what in lanes_of(routes, heads).items() if what[2] == detector}
            assert set(routes.lanes_of_detector(detector).tolist()) == mine
        assert all(routes.lanes["episode"][lane] == NONE for lane in lanes_of(routes, heads))


def lanes_of(routes: Routes, heads: np.ndarray) -> dict[int, tuple[int, int, int]]:
    """Row, program and detector of every lane, found from the rows."""
    entries, lanes = routes.entries, routes.lanes
    return {
        lane: (row, int(entries["program"][entry]), int(lanes["detector"][lane]))
        for row in range(len(heads))
        for entry in routes.entries_of(int(heads[row]))
        for lane in routes.lanes_of(entry)
    }


def test_a_lane_alone_and_in_a_crowd() -> None:
    routes, heads = linked({(1, 2)})
    entry = routes.find_entry(int(heads[1]), 2)
    lane = routes.add_lane(entry, 7)
    entries, made = routes.entries_for(heads, np.array([1]), np.array([2]))
    assert (entries.tolist(), made.tolist()) == ([entry], [])
    routes.add_lanes(entries, np.array([8]))
    assert routes.find_entry(int(heads[0]), 2) == NONE
    assert routes.drop_lanes(heads, np.array([lane])).tolist() == []
    assert [what[2] for what in lanes_of(routes, heads).values()] == [8]


def test_rows_of_a_slab_are_used_again() -> None:
    slab = Slab("a", "b")
    first = slab.take(a=1, b=2)
    second = slab.take(a=3, b=4)
    slab.give(np.array([first]))
    assert len(slab) == 1
    assert slab.take(a=5, b=6) == first
    assert (slab["a"][first], slab["b"][second]) == (5, 4)
    assert slab.used == 2
    slab.give(np.array([second]))
    assert slab.take_many(3).tolist() == [second, 2, 3]
    assert (slab.used, len(slab)) == (4, 4)
    assert slab.take_many(0).tolist() == []
