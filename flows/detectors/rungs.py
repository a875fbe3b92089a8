"""A ladder of quantiles that a signal learns of its own statistic: from how far out a sample is to its surprise.

Its rungs are the values that 1 of 10, 100, … 100,000 samples exceed. Each moves up by the rare sample above it, down by
the many below it: Robbins & Monro (1951), *A stochastic approximation method*, Ann. Math. Stat. 22. So in the long run
as many lie above it as it says, whatever the statistic's distribution and however samples depend on each other (Gibbs &
Candès 2021, *Adaptive conformal inference under distribution shift*, NeurIPS). But what begins far too wide takes long.
So until a rung saw many runs of samples its width is rather that of an exponential tail, fitted to what lies between it
and the rung below (Davison & Smith 1990, *Models for exceedances over high thresholds*, J. R. Stat. Soc. B 52): sums of
correlated noise have such a tail (Glynn & Whitt 1994, *Logarithmic asymptotics for steady-state tail probabilities in a
single-server queue*, J. Appl. Prob. 31).

A run of high samples is judged by what was known before it, else a slow change would never surprise: what it teaches is
kept aside until it ends, and of a run that is a change not much is taken.
Cost: 60 bytes a signal. ``auto`` climbs such a ladder too, but learns it in a way of its own (``auto_ladder``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Floats

Widths = NDArray[np.float32]

RUNGS = 5
RUNG_COLUMNS = (Column("rungs", np.float32, RUNGS), Column("learned", np.float64, RUNGS))
"""Widths, from each rung to the next: by which samples are judged, and what was learned since. A sample below all rungs
moves the highest by 1 in a million, which a float32 would not notice."""
PRIORS = (500.0, 100.0, 50.0, 50.0, 50.0)
"""Samples above the rung below that the beginning of a rung weighs."""
SAMPLES_LIMIT, VISITS_LIMIT = 300_000.0, 3_000.0
"""A rung no longer slows down after so many samples in all, or so many above the rung below: it follows a change."""
PER_E_FOLD = 10.0 / math.log(10.0)
"""Robbins and Monro's gain for exponential tails, whose density at the quantile p is p/scale."""
EXCESS = 0.9 / math.log(10.0)
"""Mean of what exceeds a rung, cut at the next, in widths between them, if the tail is exponential."""
BY_FIT = 10.0
"""Samples above the rung below after which counts and exponential fit weigh alike, on white noise: some two runs. Runs
are longer on correlated noise, as rungs are wider: a sum falls by the same slack with every sample."""
UNKNOWN = 30.0
"""Until so many samples should have been above the rung below, a rung is no wider than that one: the first runs of a
signal, of which each has many samples, would widen the upper ones by far more than is soon forgotten."""
NARROWEST = 0.5
"""Standard deviations from a rung to the next, at least: Gaussian samples have 1.6, 0.9, 0.7, 0.6 and 0.5."""
CHANGE_WIDENS = 1.2
"""A change makes rungs as much wider at most, so the next of its size is found nearly as soon."""


@njit(cache=True)
def begin_rungs(rungs: Widths, learned: Floats, first: float, other: float) -> None:
    """Set the widths (``RUNGS``,) to where the model has them."""
    for rung in range(RUNGS):
        learned[rung] = max(other if rung > 0 else first, NARROWEST)
    adopt_rungs(rungs, learned)


@njit(cache=True)
def adopt_rungs(rungs: Widths, learned: Floats) -> None:
    """Judge by what was learned."""
    for rung in range(RUNGS):
        rungs[rung] = learned[rung]


@njit(cache=True)
def bound_rungs(rungs: Widths, learned: Floats) -> None:
    """Take not much of what a change teaches."""
    for rung in range(RUNGS):
        learned[rung] = min(learned[rung], CHANGE_WIDENS * np.float64(rungs[rung]))


@njit(cache=True)
def height_of(widths: NDArray[Any], value: float) -> float:
    """How many rungs up a value ≥ 0 reaches, between and beyond them in shares; ``widths`` (``RUNGS``,)."""
    below = 0.0
    for rung in range(RUNGS - 1):
        width = np.float64(widths[rung])
        if value < below + width:
            return rung + (value - below) / width
        below += width
    return RUNGS - 1.0 + (value - below) / np.float64(widths[RUNGS - 1])


@njit(cache=True)
def value_at(rungs: Widths, height: float) -> float:
    """The value that reaches so high."""
    below = 0.0
    for rung in range(RUNGS - 1):
        width = np.float64(rungs[rung])
        if height < rung + 1.0:
            return below + (height - rung) * width
        below += width
    return below + (height - (RUNGS - 1.0)) * np.float64(rungs[RUNGS - 1])


@njit(cache=True)
def learn_rungs(rungs: Widths, learned: Floats, value: float, n: int, first: float, other: float) -> None:
    """Learn a value that was judged by ``rungs``, after ``n`` others; ``first`` and ``other`` as they began."""
    seen, share, below, grown = min(n, SAMPLES_LIMIT), 1.0, 0.0, np.float64(rungs[0]) / first
    for rung in range(RUNGS):
        width, visits = np.float64(rungs[rung]), min(share * seen, VISITS_LIMIT)
        by_fit = BY_FIT * min(grown, width / other) if rung > 0 else 0.0
        counted = visits / (visits + by_fit) if by_fit > 0.0 else 1.0
        move = counted * PER_E_FOLD * ((1.0 if value > below + width else 0.0) - 0.1 * share)
        if value > below:
            move += (1.0 - counted) * (min(value - below, width) / (EXCESS * width) - 1.0)
        move /= visits + PRIORS[rung]
        learned[rung] = max(learned[rung] + (width if move > 0.0 else learned[rung]) * move, NARROWEST)
        if rung > 0 and share * n < UNKNOWN:
            learned[rung] = min(learned[rung], learned[rung - 1])
        below += width
        share *= 0.1
