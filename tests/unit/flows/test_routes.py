from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.routes import NONE, Routes, Slab, sort_by_program

PAIRS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3)))


def linked(pairs: set[tuple[int, int]]) -> tuple[Routes, np.ndarray]:
    """An entry for each pair of row and program."""
    routes, heads = Routes(), np.full(5, NONE, np.int32)
    for row, program in sorted(pairs):
        heads[row] = routes.entries.take(row=row, program=program, slot=0, next=int(heads[row]), lane=NONE)
    return routes, heads


@settings(max_examples=60, deadline=None, derandomize=True)
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


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["add", "drop"]), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_lanes_are_linked_and_unlinked(steps: list[tuple[str, int, int]]) -> None:
    """Against a set of (entry, detector)."""
    routes = Routes()
    entries = [routes.entries.take(row=row, program=0, slot=0, next=NONE, lane=NONE) for row in range(3)]
    lanes: dict[tuple[int, int], int] = {}
    for what, entry, detector in steps:
        if what == "add" and (entry, detector) not in lanes:
            lanes[entry, detector] = routes.add_lane(entries[entry], detector)
        elif what == "drop" and (entry, detector) in lanes:
            assert routes.drop_lane(lanes.pop((entry, detector))) == entries[entry]
        for e in range(3):
            mine = {lane for (of, _), lane in lanes.items() if of == e}
            assert set(routes.lanes_of(entries[e])) == mine
        for d in range(4):
            assert set(routes.lanes_of_detector(d)) == {lane for (_, of), lane in lanes.items() if of == d}
        assert len(routes.lanes) == len(lanes)
        assert all(routes.lanes["episode"][lane] == NONE for lane in lanes.values())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PAIRS, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=8))
def test_entries_are_unlinked_from_anywhere_in_their_row(
    pairs: set[tuple[int, int]], gone: list[tuple[int, int]]
) -> None:
    routes, heads = linked(pairs)
    left = set(pairs)
    for row, program in gone:
        entry = routes.find_entry(int(heads[row]), program)
        assert (entry != NONE) == ((row, program) in left)
        if entry != NONE:
            routes.unlink_entry(heads, entry)
            left.discard((row, program))
    for row in range(5):
        programs = sorted(routes.entries["program"][e] for e in routes.entries_of(int(heads[row])))
        assert programs == sorted(p for r, p in left if r == row)


def test_rows_of_a_slab_are_used_again() -> None:
    slab = Slab("a", "b")
    first = slab.take(a=1, b=2)
    second = slab.take(a=3, b=4)
    slab.give(first)
    assert len(slab) == 1
    assert slab.take(a=5, b=6) == first
    assert (slab["a"][first], slab["b"][second]) == (5, 4)
    assert slab.used == 2
