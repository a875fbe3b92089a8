"""How a series changes from one sample to the next: rate per second and increase of a counter, delta of a gauge.

A counter that falls was reset: what it shows was counted since then. A created timestamp after the previous sample is
a reset too, even if the value did not fall. Prometheus' ``rate`` divides what was counted since the reset by the whole
time between the samples, which is too little whenever the counter stood still in between: here a reset gives a value
only if a created timestamp tells since when it was counted, and that is at least half a usual step ago. A counter that
is reset again and again, at every sample, is taken to count from one to the next.

A gap longer than Prometheus' look-back, a stale marker or a NaN ends the run: the next sample starts anew and gives no
value.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from connectors.detector import Shape
from flows.detectors.base import Column, Floats, Ints, Table
from flows.series import steadied

MAX_GAP_MS = 300_000
"""Prometheus' default look-back (``--query.lookback-delta``): 5 min."""
RATE_COLUMNS = (
    Column("before", np.float64),
    Column("before_ms", np.int64),
    Column("step_s", np.float32),  # usual time from sample to sample, 0 before the second
    Column("running", np.int8),
)
GONE, RUNNING, RESET = range(3)
"""``running``: no previous sample, one, or one that was itself the first after a reset."""
COMPARABLE = 500.0
"""ms of counting after a reset, per s of the usual step, below which its rate says too little: half of a step."""
CHANGES = (Shape.RATE, Shape.INCREASE, Shape.DELTA)
"""Shapes that look at the previous sample."""


def allocate_rates(rows: int) -> Table:
    """Memory for ``rows`` series: the previous sample of each."""
    return Table(RATE_COLUMNS, rows)


def rates(
    state: Table, rows: Ints, times_ms: Ints, values: Floats, starts_ms: Ints | None, shape: Shape = Shape.RATE
) -> Floats:
    """Change at each of ``n`` samples, (n,) float64, NaN where there is none."""
    starts = starts_ms if starts_ms is not None else np.zeros(1, np.int64)
    out = np.empty(len(rows))
    change_step(
        state["before"], state["before_ms"], state["running"], state["step_s"], rows, times_ms, values,
        starts, starts_ms is not None, shape is not Shape.DELTA, shape is Shape.RATE, out,
    )  # fmt: skip
    return out


@njit(cache=True)
def change_step(
    before: Floats, before_ms: Ints, running: NDArray[np.int8], step_s: NDArray[np.float32], rows: Ints, times_ms: Ints,
    values: Floats, starts_ms: Ints, has_starts: bool, counter: bool, per_second: bool, out: Floats,
) -> None:  # fmt: skip
    """Write the change at each sample and remember it as the previous one."""
    for i in range(rows.shape[0]):
        row, value, time_ms = rows[i], values[i], times_ms[i]
        out[i] = math.nan
        if not math.isfinite(value):
            running[row] = GONE
            continue
        was, elapsed_ms = running[row], time_ms - before_ms[row]
        running[row] = RUNNING
        if was != GONE and elapsed_ms <= MAX_GAP_MS:
            created = counter and has_starts and starts_ms[i] > before_ms[row]
            if created or (counter and value < before[row]):
                running[row] = RESET
                counted_ms = time_ms - starts_ms[i] if created else elapsed_ms if was == RESET else 0
                if counted_ms > 0 and counted_ms >= COMPARABLE * step_s[row]:
                    out[i] = value * 1000.0 / counted_ms if per_second else value
            else:
                increase = value - before[row]
                out[i] = increase * 1000.0 / elapsed_ms if per_second else increase
            step_s[row] = steadied(step_s[row], np.float32(0.001 * elapsed_ms))
        before[row] = value
        before_ms[row] = time_ms
