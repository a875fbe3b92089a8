"""Several signals of one entity as one: how surprising a row is, and which signal makes it so.

A fault of a machine shows in several of its metrics at once, noise in one of them at a time. The mean of the three
highest surprises of a row asks for company without asking for all: on a server with 19 metrics a fault moves a few.
It has no parameter that was fitted to anything. It fails where a fault shows in one signal only: that one is
divided by three.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Floats, Ints

HIGHEST = 3
"""So many surprises are averaged; all of them if an entity has fewer signals."""


class Combined(NamedTuple):
    """Surprise of each of ``n`` rows, (n,) float64, NaN where no signal is scored; (n,) int64 the leading signal."""

    score: Floats
    leader: Ints


def combine(scores: NDArray[Any]) -> Combined:
    """Surprises of the entity from those of its signals, (n, signals) float64 with NaN where one is not scored.

    Row by row, so a row's verdict never depends on another. Where no signal is scored the leader is the first.
    """
    known = ~np.isnan(scores)
    ranked = np.where(known, scores, -np.inf)
    top = min(HIGHEST, scores.shape[1])
    highest = np.partition(ranked, scores.shape[1] - top, axis=1)[:, scores.shape[1] - top :]
    counted = np.minimum(known.sum(axis=1), top)
    total = np.where(np.isfinite(highest), highest, 0.0).sum(axis=1)
    score = np.divide(total, counted, out=np.full(len(scores), np.nan), where=counted > 0)
    return Combined(score, ranked.argmax(axis=1))
