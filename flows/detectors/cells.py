"""Cells of a profile: what is usual at places that are visited again and again, learned visit by visit.

A row has several clocks, each in one cell at a time. While a clock stays in a cell, samples are gathered; when it
leaves, the visit is learned with a weight of 1 / visits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Floats, Ints

CELL_CUT = 3.0
"""Spreads from its centre beyond which a sample teaches a known cell no more."""
KNOWN_VISITS, KNOWN_SAMPLES = 2, 8
"""What a cell must have seen before it is believed."""
VISIT_WORTH = 12
"""Independent samples that a visit is worth at most: what comes within an hour is alike."""
MOST_VISITS = 200


class Cells(NamedTuple):
    """What each cell knows, its centre as offset from the origin; and of each clock the visit that goes on.

    ``size`` is how many samples the visit before had.
    """

    centre: NDArray[Any]
    spread: NDArray[Any]
    visits: NDArray[Any]
    at: Ints
    cell: NDArray[Any]
    mean: Floats
    squares: Floats
    samples: NDArray[Any]
    size: NDArray[Any]


@njit(cache=True, inline="always")
def believed(cells: Cells, row: int, clock: int) -> bool:
    """Whether a clock is in a cell that has seen enough: two visits, and more where a visit has few samples."""
    cell = cells.cell[row, clock]
    if cell < 0 or cells.visits[row, cell] < KNOWN_VISITS:
        return False
    return cells.visits[row, cell] * cells.size[row, clock] >= KNOWN_SAMPLES


@njit(cache=True)
def freedom_of(cells: Cells, row: int, clock: int, memory: int) -> float:
    """Degrees of freedom of the spread of a clock's cell; 0 stands for many, as the recent level has."""
    if clock < 0:
        return 0.0
    visits: float = min(np.float64(cells.visits[row, cells.cell[row, clock]]), np.float64(memory))
    worth: float = min(np.float64(cells.size[row, clock]), np.float64(VISIT_WORTH))
    return visits * worth - 1.0


@njit(cache=True)
def turn(cells: Cells, row: int, clock: int, at: int, cell: int, memory: int) -> None:
    """Put a clock into a cell; if it was in another, or there at another time, that visit is learned."""
    if cells.at[row, clock] == at and cells.cell[row, clock] == cell:
        return
    count = cells.samples[row, clock]
    if count > 0:
        cells.size[row, clock] = count
        before = cells.cell[row, clock]
        mean, within = cells.mean[row, clock], cells.squares[row, clock] / count
        visits = cells.visits[row, before]
        weight = 1.0 / min(visits + 1, memory)
        spread = np.float64(cells.spread[row, before])
        variance = (1.0 - weight) * spread * spread + weight * (within + mean * mean) if visits > 0 else within
        cells.centre[row, before] += np.float32(weight * mean)
        cells.spread[row, before] = np.float32(math.sqrt(variance))
        cells.visits[row, before] = min(visits + 1, MOST_VISITS)
    cells.at[row, clock] = at
    cells.cell[row, clock] = cell
    cells.mean[row, clock] = cells.squares[row, clock] = 0.0
    cells.samples[row, clock] = 0


@njit(cache=True)
def attend(cells: Cells, row: int, clock: int, x: float) -> None:
    """Remember a sample for the visit of a clock, as it differs from the centre of its cell."""
    cell = cells.cell[row, clock]
    if cell < 0:
        return
    away = x - np.float64(cells.centre[row, cell])
    if cells.visits[row, cell] >= KNOWN_VISITS:
        bound = CELL_CUT * np.float64(cells.spread[row, cell])
        away = min(max(away, -bound), bound) if bound > 0.0 else away
    cells.samples[row, clock] += 1
    before = cells.mean[row, clock]
    cells.mean[row, clock] += (away - before) / cells.samples[row, clock]
    cells.squares[row, clock] += (away - before) * (away - cells.mean[row, clock])
