"""Value of a series at the end of a step, as PromQL has it there: the last sample, or the change over a range.

A range of ``R`` steps is kept as R buckets per series, each with its first and last sample, their number and what
counter resets took away; so the memory of a member does not depend on how often it is sampled. Ranges are left-open,
and the ends are extrapolated, as in Prometheus 3 (``promql/functions.go``, ``extrapolatedRate``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from connectors.detector import Shape
from flows.detectors.base import VALUE_LIMIT, Column, Floats, Ints, Table
from flows.shape.rate import CHANGES, MAX_GAP_MS

EXTRAPOLATE_RATIO = 1.1
"""A range that begins or ends within this many average distances of a sample is taken to reach it (Prometheus)."""


def member_columns(shape: Shape, range_steps: int) -> tuple[Column, ...]:
    """Memory of one member: its group, its latest sample, and for a change the buckets of the range."""
    latest = (Column("group", np.int32), Column("last_ms", np.int64), Column("last", np.float64))
    if shape not in CHANGES:
        return latest
    return (
        *latest,
        Column("seen_ms", np.int64),  # latest sample that is no gap
        Column("step", np.int64, range_steps),  # whose samples the bucket holds
        Column("first_ms", np.int64, range_steps),
        Column("final_ms", np.int64, range_steps),
        Column("first", np.float64, range_steps),
        Column("final", np.float64, range_steps),
        Column("lost", np.float64, range_steps),
        Column("count", np.int32, range_steps),
        Column("anew", np.int8, range_steps),  # created after the sample before the bucket
    )


def absorb(members: Table, slots: Ints, times_ms: Ints, values: Floats, starts_ms: Ints, step_ms: int) -> None:
    """Take in ``n`` samples, increasing in time per slot; ``starts_ms`` 0 where none is known."""
    absorb_latest(members["last_ms"], members["last"], slots, times_ms, values)
    if "step" in members.arrays:
        m = members
        absorb_range(
            m["seen_ms"], m["step"], m["first_ms"], m["final_ms"], m["first"], m["final"], m["lost"], m["count"],
            m["anew"], slots, times_ms, values, starts_ms, step_ms,
        )  # fmt: skip


def values_at(members: Table, slots: Ints, shape: Shape, step: int, step_ms: int) -> Floats:
    """Value of each slot at the end of the step, (n,) float64, NaN where there is none."""
    m = members
    if shape not in CHANGES:
        alive = m["last_ms"][slots] > step * step_ms - MAX_GAP_MS
        return np.where(alive, m["last"][slots], math.nan)
    out = np.empty(len(slots))
    range_changes(
        m["step"], m["first_ms"], m["final_ms"], m["first"], m["final"], m["lost"], m["count"], m["anew"],
        slots, step, step_ms, shape is not Shape.DELTA, shape is Shape.RATE, out,
    )  # fmt: skip
    return out


@njit(cache=True)
def absorb_latest(last_ms: Ints, last: Floats, slots: Ints, times_ms: Ints, values: Floats) -> None:
    """Remember the latest sample of each slot; a gap ends what was before it."""
    for i in range(slots.shape[0]):
        value = values[i]
        last_ms[slots[i]] = times_ms[i]
        last[slots[i]] = value if abs(value) <= VALUE_LIMIT else math.nan


@njit(cache=True)
def absorb_range(
    seen_ms: Ints, steps: Ints, first_ms: Ints, final_ms: Ints, first: Floats, final: Floats, lost: Floats,
    count: NDArray[Any], anew: NDArray[Any], slots: Ints, times_ms: Ints, values: Floats, starts_ms: Ints, step_ms: int,
) -> None:  # fmt: skip
    """Put samples into the buckets of their steps; gaps are left out, as stale markers are in Prometheus."""
    width = steps.shape[1]
    for i in range(slots.shape[0]):
        slot, time_ms, value = slots[i], times_ms[i], values[i]
        if not abs(value) <= VALUE_LIMIT:
            continue
        step = -(-time_ms // step_ms)
        at = step % width
        created = seen_ms[slot] != 0 and starts_ms[i] > seen_ms[slot]
        if count[slot, at] == 0 or steps[slot, at] != step:
            steps[slot, at] = step
            first_ms[slot, at] = time_ms
            first[slot, at] = value
            lost[slot, at] = 0.0
            count[slot, at] = 0
            anew[slot, at] = created
        elif created or value < final[slot, at]:
            lost[slot, at] += final[slot, at]
        final_ms[slot, at] = time_ms
        final[slot, at] = value
        count[slot, at] += 1
        seen_ms[slot] = time_ms


@njit(cache=True)
def range_changes(
    steps: Ints, first_ms: Ints, final_ms: Ints, first: Floats, final: Floats, lost: Floats, count: NDArray[Any],
    anew: NDArray[Any], slots: Ints, step: int, step_ms: int, counter: bool, per_second: bool, out: Floats,
) -> None:  # fmt: skip
    """Change of each slot over the range that ends with ``step``."""
    width = steps.shape[1]
    for i in range(slots.shape[0]):
        slot = slots[i]
        n = 0
        begin_ms = end_ms = 0
        begin = end = taken = 0.0
        for s in range(step - width + 1, step + 1):
            at = s % width
            if count[slot, at] == 0 or steps[slot, at] != s:
                continue
            if n == 0:
                begin_ms, begin = first_ms[slot, at], first[slot, at]
            elif anew[slot, at] or first[slot, at] < end:
                taken += end
            taken += lost[slot, at]
            end_ms, end = final_ms[slot, at], final[slot, at]
            n += count[slot, at]
        if n < 2:
            out[i] = math.nan
            continue
        change = end - begin + (taken if counter else 0.0)
        factor = extrapolation(begin_ms, end_ms, n, begin, change, counter, step * step_ms, width * step_ms)
        out[i] = change * (factor / (width * step_ms / 1000.0) if per_second else factor)


@njit(cache=True)
def extrapolation(
    begin_ms: int, end_ms: int, n: int, begin: float, change: float, counter: bool, until_ms: int, range_ms: int
) -> float:
    """By how much the change between the first and the last of ``n`` samples grows when the range is filled."""
    to_start, to_end = (begin_ms - (until_ms - range_ms)) / 1000.0, (until_ms - end_ms) / 1000.0
    sampled = (end_ms - begin_ms) / 1000.0
    average = sampled / (n - 1)
    if to_start >= average * EXTRAPOLATE_RATIO:
        to_start = average / 2.0
    if to_end >= average * EXTRAPOLATE_RATIO:
        to_end = average / 2.0
    if counter and change > 0.0 and begin >= 0.0:  # a counter cannot have been below zero
        to_start = min(to_start, sampled * (begin / change))
    return (sampled + to_start + to_end) / sampled
