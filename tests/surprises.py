"""Surprises as a model claims them, to be calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.calibration import calibrate
from flows.detectors.base import Floats, Scored, Table


def scored_of(score: Sequence[float] | Floats) -> Scored:
    """Verdicts with a band of 3.29 about 0."""
    column = np.array(score, np.float64)
    return Scored(column, np.zeros_like(column), np.full_like(column, -3.29), np.full_like(column, 3.29))


def feed(tails: Table, score: Sequence[float] | Floats, row: int = 0) -> Scored:
    scored = scored_of(score)
    return calibrate(tails, np.full(len(scored.score), row, np.int64), np.zeros(len(scored.score)), scored)


def promised(n: int, seed: int = 1) -> Floats:
    """Surprises as a right model claims them: one in 10^s is s or more."""
    return -np.log10(np.random.default_rng(seed).random(n))
