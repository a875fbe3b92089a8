"""A signal that used to move stands still: longer than it ever did, by the lengths of its runs of equal values.

Source: runs as a sign of change, Mosteller (1941), *Note on an application of runs to quality control charts*, Ann.
Math. Stat. 12; the tail of their lengths is ``durations``.
Cost: counts of lengths per half octave. Fails: on a signal that stands still at night for the first time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from connectors.codec.compiled import njit
from flows.detectors.base import VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.durations import count_length, lengths_column, surprise_of_length
from flows.detectors.holding import HOLD_S, HoldParams
from flows.detectors.window import COUNT_LIMIT, samples_needed

STEP_WEIGHT = 0.02
"""Weight of the newest change in the typical one, which is shown as the band."""
STEP_LIMIT = 10.0
"""Typical changes beyond which one counts as so many: an outlier shall not widen the band for long."""


class FlatlineParams(HoldParams):
    """Parameters of ``flatline``."""

    tolerance: Annotated[float, Field(ge=0, le=1e38, description="change up to which a value stands still")] = 0.0
    moves: Annotated[int, Field(ge=3, le=10_000, description="runs of equal values that must have ended before")] = 10
    warmup: Annotated[int, Field(ge=3, le=100_000, description="samples before the first score")] = 60
    hold_s: Annotated[float, HOLD_S] = 86_400.0


@dataclass(frozen=True, slots=True)
class Flatline:
    """Lengths of runs of equal values."""

    params: FlatlineParams

    def allocate(self, rows: int) -> Table:
        """The present run, the typical change, and the lengths of runs."""
        columns = (
            Column("value", np.float64), Column("run", np.int32), Column("run_ms", np.int64),
            Column("change", np.float64), Column("ended", np.int32), Column("seen", np.int32), lengths_column(),
        )  # fmt: skip
        return Table(columns, rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        p = self.params
        flatline_step(
            state["value"], state["run"], state["run_ms"], state["change"], state["ended"], state["seen"],
            state["lengths"], rows, times_ms, values, p.tolerance, p.moves, p.warmup, p.hold_ms, p.hold_from, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def flatline_step(
    before: Floats, run: NDArray[Any], run_ms: Ints, change: Floats, ended: NDArray[Any], seen: NDArray[Any],
    lengths: NDArray[Any], rows: Ints, times_ms: Ints, values: Floats,
    tolerance: float, moves: int, warmup: int, hold_ms: int, hold_from: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; a run is learned when it ends, unless it was an incident shorter than the hold."""
    for i in range(rows.shape[0]):
        row, value = rows[i], values[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        moved = abs(value - before[row])
        stands = seen[row] > 0 and moved <= tolerance
        if seen[row] >= warmup:
            score[i] = surprise_of_run(lengths[row], run[row] + 1, ended[row], moves) if stands else 0.0
            expected[i] = before[row]
            lower[i] = before[row] - change[row]
            upper[i] = before[row] + change[row]
        seen[row] = min(seen[row] + 1, COUNT_LIMIT)
        if stands:
            run[row] = min(run[row] + 1, COUNT_LIMIT)
            continue
        if run[row] > 0:
            incident = surprise_of_run(lengths[row], run[row], ended[row], moves) >= hold_from
            if not (incident and times_ms[i] - run_ms[row] < hold_ms):
                count_length(lengths[row], np.float64(run[row]))
                ended[row] = min(ended[row] + 1, COUNT_LIMIT)
            follow_change(change, row, moved, ended[row])
        before[row] = value
        run[row] = 1
        run_ms[row] = times_ms[i]


@njit(cache=True)
def surprise_of_run(lengths: NDArray[Any], run: int, ended: int, moves: int) -> float:
    """Of a run this long; 0 for a signal that has hardly ever moved."""
    if ended < moves or run <= 1:
        return 0.0
    return surprise_of_length(lengths, np.float64(run))


@njit(cache=True)
def follow_change(change: Floats, row: int, moved: float, count: int) -> None:
    """Follow the size of a typical change."""
    weight = max(STEP_WEIGHT, 1.0 / max(count, 1))
    if change[row] > 0.0:
        moved = min(moved, STEP_LIMIT * change[row])
    change[row] += weight * (moved - change[row])
