"""What ``auto`` remembers of a signal: 0.8 kB, every number in as few bits as it needs.

Levels and squares are float64, so a signal at 10¹² with a spread of 1 loses nothing; deviations and ratios are
float32, peaks have 11 bits of mantissa (``auto_tails``). Nothing is derived: a snapshot holds all of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Column, Floats, Ints

WARMUP = 60
"""Samples before the first score: the fewest from which a tail of peaks could be told from the body."""
FAR = 1e6
"""What is farther out, in its scale, is learned as if it were so far: an absurd value must not blind what follows."""
CUT_FROM = 30
"""Samples from which what is learned is cut."""
HOURS = 24
HOUR_MS = 3_600_000
DAY_MS = HOURS * HOUR_MS
WEEK_MS = 7 * DAY_MS

# exact: levels in the signal's unit, and squares of deviations
MEAN, LAST, FAST, SLOW, VARIANCE, REST_VARIANCE, MISS_VARIANCE, WITH_PROFILE, OF_PROFILE = range(9)
EXACT = 9

# sizes, in the signal's unit
PREDICTORS = 5
ERROR, QUICK_CHANGE, USUAL_CHANGE, OFFSET = 0, PREDICTORS, PREDICTORS + 1, PREDICTORS + 2
SIZES = PREDICTORS + 3

# ratios, without a unit
LIKELIHOOD = 0
(
    STEP_MS, ROUGHNESS_SQUARE, SHORT, LONG, SHORT_SQUARE, LONG_SQUARE,
    EVIDENCE, WIDTH,
) = range(PREDICTORS, PREDICTORS + 8)  # fmt: skip
RUNGS = 5
BURST, BURSTS, BURST_GAP, BAR, BAR_REST_MS = range(WIDTH + RUNGS, WIDTH + RUNGS + 5)
RISES, FALLS, ZEROS = range(BAR_REST_MS + 1, BAR_REST_MS + 4)
RATIOS = ZEROS + 1

MEMBERS = 6
HOURLY, STEADY, ROUGH, MISS, SHORT_MEAN, LONG_MEAN = range(MEMBERS)
"""What is added: deviation in the spread of its hour, in one spread, change, error of prediction, two means."""
PEAKS = 20
"""Largest peaks kept of each member: 10 and 40 were no better (docs/quality.md)."""

COLUMNS = (
    Column("seen", np.int32),
    Column("profiled", np.int32),
    Column("last_ms", np.int64),
    Column("exact", np.float64, EXACT),
    Column("sizes", np.float32, SIZES),
    Column("ratios", np.float32, RATIOS),
    Column("profile", np.float32, HOURS),
    Column("spread", np.float32, HOURS),
    Column("visits", np.uint8, HOURS),
    Column("visit_day", np.uint16, HOURS),
    Column("visit_samples", np.uint16, HOURS),
    Column("peaks", np.uint16, MEMBERS * PEAKS),
    Column("run_peak", np.uint16, MEMBERS),
    Column("run_last", np.int32, MEMBERS),
)

Columns = NDArray[Any]


class Memory(NamedTuple):
    """The columns of a table, named for the kernels; rows are signals."""

    seen: Columns
    profiled: Columns
    last_ms: Ints
    exact: Floats
    sizes: Columns
    ratios: Columns
    profile: Columns
    spread: Columns
    visits: Columns
    visit_day: Columns
    visit_samples: Columns
    peaks: Columns
    run_peak: Columns
    run_last: Columns
