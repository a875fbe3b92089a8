"""Several signals of one entity as one: how surprising a row is, and which signal makes it so.

A fault of a machine shows in several of its metrics at once, noise in one of them at a time. So the surprises of a row
are added: the first decade of each counts ``FIRST``, every further one ``FURTHER``, and what is above 5, where ``auto``
grows steeper, as before it did. What is above the running mean of the sum climbs the ladder of ``auto``
(``flows.detectors.auto_ladder``), whose beginning widens with the root of the number of signals. So the entity's
surprise is one that its own past bears out, and a fault that lasts surprises when it begins.

The two weights were chosen on the asd files of docs/quality.md, from eight; equal ones find as much with fewer false
alarms. It fails where a fault shows in one of many signals, and where they come at different times.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flows.detectors.auto_ladder import STEEP, STEEPER, begin_ladder, height_of, learn_rungs, steepened
from flows.detectors.auto_state import RUNGS
from flows.detectors.base import Floats, Ints

FIRST, FURTHER = 4.0, 2.4
USUAL_RATE = 0.1
"""Weight of a row in the mean sum: 0.05 was alike."""


class Combined(NamedTuple):
    """Surprise of each of ``n`` rows, (n,) float64, NaN where no signal is scored; (n,) int64 the leading signal."""

    score: Floats
    leader: Ints


def combine(scores: NDArray[Any]) -> Combined:
    """Surprises of the entity from those of its signals, (n, signals) float64 with NaN where one is not scored.

    Rows come in order of time: each is judged by what the rows before it taught. A signal that is not scored counts as
    the mean of the others. Where no signal is scored the leader is the first.
    """
    score = np.full(len(scores), np.nan)
    combine_step(np.ascontiguousarray(scores, np.float64), score)
    return Combined(score, np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1))


@njit(cache=True)
def combine_step(scores: Floats, out: Floats) -> None:
    """Judge then learn ``n`` rows."""
    ladder, usual, seen = np.zeros(RUNGS), 0.0, 0
    signals = scores.shape[1]
    begin_ladder(ladder, np.float64(signals))
    for i in range(scores.shape[0]):
        total, known = 0.0, 0
        for j in range(signals):
            if not math.isnan(scores[i, j]):
                total += evidence_of(scores[i, j])
                known += 1
        if known == 0:
            continue
        total *= signals / known
        surprise = height_of(ladder, max(total - usual, 0.0))
        learn_rungs(ladder, surprise, np.float64(seen), np.float64(signals))
        out[i] = steepened(surprise)
        usual += max(USUAL_RATE, 1.0 / (seen + 1.0)) * (total - usual)
        seen += 1


@njit(cache=True)
def evidence_of(surprise: float) -> float:
    """What a surprise counts."""
    over = max(surprise - STEEPER, 0.0)
    decades = min(surprise, STEEPER) + (math.sqrt(1.0 + 4.0 * STEEP * over) - 1.0) / (2.0 * STEEP)
    return FIRST * min(decades, 1.0) + FURTHER * max(decades - 1.0, 0.0)
