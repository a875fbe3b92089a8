from __future__ import annotations

import numpy as np
import pytest

from flows.detectors.base import Column, Table
from flows.detectors.cells import CELL_CUT, KNOWN_SAMPLES, Cells, attend, believed, freedom_of, turn

DTYPES = (np.float32, np.float32, np.uint8, np.int64, np.int16, np.float64, np.float64, np.int32, np.int32)


def cells() -> Cells:
    """One row, two clocks, five cells."""
    widths = (5, 5, 5, 2, 2, 2, 2, 2, 2)
    columns = zip(Cells._fields, DTYPES, widths, strict=True)
    table = Table(tuple(Column(name, dtype, width) for name, dtype, width in columns), 1)
    return Cells(*(table[name] for name in Cells._fields))


def visit(known: Cells, at: int, cell: int, values: list[float], clock: int = 0, memory: int = 4) -> None:
    turn(known, 0, clock, at, cell, memory)
    for value in values:
        attend(known, 0, clock, value)


def test_a_visit_is_learned_when_it_ends() -> None:
    known = cells()
    visit(known, 1, 3, [1.0, 2.0, 3.0, 6.0])
    assert known.visits[0, 3] == 0
    visit(known, 2, 4, [])
    assert (known.visits[0, 3], known.centre[0, 3], known.size[0, 0]) == (1, 3.0, 4)
    assert known.spread[0, 3] == pytest.approx(np.std([1, 2, 3, 6]))


def test_the_same_cell_at_another_time_is_another_visit() -> None:
    known = cells()
    for at in range(1, 5):
        visit(known, at, 2, [10.0, 12.0])
        visit(known, at, 2, [])
    assert known.visits[0, 2] == 3
    assert not believed(known, 0, 0)
    turn(known, 0, 0, 9, 2, 4)
    assert known.visits[0, 2] * 2 == KNOWN_SAMPLES
    assert believed(known, 0, 0)
    assert freedom_of(known, 0, 0, 4) == 7
    assert freedom_of(known, 0, 0, 3) == 5


def test_what_is_far_moves_a_known_cell_by_a_bounded_step() -> None:
    known = cells()
    for at in range(1, 5):
        visit(known, at, 1, [10.0, 12.0] * 4)
    turn(known, 0, 0, 5, 1, 4)
    before, spread = float(known.centre[0, 1]), float(known.spread[0, 1])
    visit(known, 5, 1, [1e30] * 8)
    turn(known, 0, 0, 6, 1, 4)
    assert known.centre[0, 1] - before == pytest.approx(CELL_CUT * spread / 4, rel=1e-5)


def test_equal_values_have_no_spread() -> None:
    known = cells()
    for at in range(1, 6):
        visit(known, at, 0, [float(np.float32(0.1))] * 7, clock=1)
    turn(known, 0, 1, 9, -1, 4)
    assert known.spread[0, 0] == 0.0
    assert known.centre[0, 0] == np.float32(0.1)


def test_clocks_are_apart_and_no_cell_is_no_place() -> None:
    known = cells()
    visit(known, 1, 3, [1.0])
    visit(known, 1, -1, [5.0], clock=1)
    turn(known, 0, 0, 2, -1, 4)
    turn(known, 0, 1, 2, 2, 4)
    assert known.visits[0].tolist() == [0, 0, 0, 1, 0]
    assert not believed(known, 0, 0)
