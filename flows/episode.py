"""One episode as plain numbers, what may happen to it, and the phases that it goes through."""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray


class Episode(NamedTuple):
    """One episode, as plain numbers; its lane is −1 in a row that is not in use."""

    value: float
    """… to ``surprise``: of the latest surprising sample"""
    expected: float
    lower: float
    upper: float
    surprise: float
    peak_value: float
    peak_expected: float
    peak_surprise: float
    peak_size: float
    """distance from the expected, in half widths of the band"""
    told_surprise: float
    """peak when it opened, or when it escalated last"""
    evidence: float
    """surprises of its samples, each up to its ceiling, added; in a rest, of those that might end it"""
    first_expected: float
    threshold: float
    """at the latest surprising sample, as the next"""
    step_s: float
    """cadence of the series, 0 while unknown"""
    start_ms: int
    time_ms: int
    peak_ms: int
    log_ms: int
    told_ms: int
    noticed_ms: int
    """when it opened, escalated or reminded last"""
    samples: int
    sequence: int
    direction: int
    """of the peak: 1 up, −1 down"""
    ups: int
    """surprising samples above what was expected"""
    lane: int
    phase: int


EPISODE = np.dtype(
    [(name, np.float64 if kind is float else np.int64) for name, kind in get_type_hints(Episode).items()]
)
"""An ``Episode`` in a column."""
Episodes = NDArray[Any]
OPENED, UPDATED, CLOSED, ESCALATED, REMINDED = 0, 1, 2, 3, 4
NO_NEWS = -1
PENDING, TOLD, RESTING, SUSPECTED = 0, 1, 2, 3
"""Phases: too short to be told so far; open; over, and its lane rests; not believed so far."""
