"""What ``auto`` remembers of a signal: one record of 896 bytes, every number in as few bits as it needs.

Levels and squares are float64, so a signal at 10¹² with a spread of 1 loses nothing; deviations and ratios are
float32, peaks have 11 bits of mantissa (``auto_tails``). Nothing is derived: a snapshot holds all of it. A record lies
in one piece, so a sample touches a dozen lines of the cache, and kernels pass it on without counting references.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Column, Table
from flows.detectors.rungs import RUNGS

WARMUP = 60
"""Samples before the first score: the fewest from which a tail of peaks could be told from the body."""
FAR = 1e3
"""What is farther out, in its scale, is learned as if it were so far: an absurd value must not blind what follows."""
CUT_FROM = 30
"""Samples from which what is learned is cut."""
COUNT_LIMIT = 1 << 30
HOURS = 24
HOUR_MS = 3_600_000
DAY_MS = HOURS * HOUR_MS
WEEK_MS = 7 * DAY_MS
PREDICTORS = 5
WINDOWS = 3
MEMBERS = 4 + WINDOWS
HOURLY, STEADY, ROUGH, MISS, WINDOW = range(5)
"""What is added: deviation in the spread of its hour, in one spread, change, error of prediction, means of windows."""
PEAKS = 20
"""Largest peaks kept of each member: 10 and 40 were no better (docs/quality.md)."""

_EXACT = (
    "mean", "last", "fast", "slow", "variance", "rest_variance", "long_variance", "miss_variance", "with_profile",
    "of_profile",
)  # fmt: skip
_SIZES = ("quick_change", "usual_change", "offset")
_RATIOS = (
    "step_ms", "roughness_square", "evidence", "burst", "bursts", "burst_gap", "bar", "bar_rest_ms", "height",
    "rises", "falls", "zeros", "reach",
)  # fmt: skip
RECORD = np.dtype(
    [
        *((name, np.float64) for name in _EXACT),
        ("last_ms", np.int64),
        ("seen", np.int32),
        ("profiled", np.int32),
        *((name, np.float32) for name in _SIZES + _RATIOS),
        ("error", np.float32, PREDICTORS),
        ("likelihood", np.float32, PREDICTORS),
        ("window", np.float32, WINDOWS),
        ("window_square", np.float32, WINDOWS),
        ("window_usual", np.float32, WINDOWS),
        ("ladder", np.float32, RUNGS),
        ("profile", np.float32, HOURS),
        ("spread", np.float32, HOURS),
        ("run_last", np.int32, MEMBERS),
        ("peaks", np.uint16, MEMBERS * PEAKS),
        ("run_peak", np.uint16, MEMBERS),
        ("visit_day", np.uint16, HOURS),
        ("visit_samples", np.uint16, HOURS),
        ("visits", np.uint8, HOURS),
        ("noted", np.uint8, 6),
    ]
)
COLUMNS = (Column("signal", np.uint8, RECORD.itemsize),)
Records = NDArray[Any]
"""(rows,) of ``RECORD``"""
Signal = Any
"""One record."""


def records_of(state: Table) -> Records:
    """The table as records, in place."""
    return state["signal"].view(RECORD)[:, 0]
