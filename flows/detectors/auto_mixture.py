"""One-step prediction of ``auto``: five predictors, averaged by how well they did lately.

The last value, a fast and a slow mean, what is usual now, and that plus its recent error. Weights are those of
Bayesian model averaging with Laplace likelihoods, discounted so that some 200 samples count: Raftery, Kárný &
Ettler (2010), *Online prediction under model uncertainty via dynamic model averaging*, Technometrics 52.
"""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_state import CUT_FROM, FAR, PREDICTORS, Signal

FAST_RATE, SLOW_RATE, OFFSET_RATE = 0.2, 0.02, 0.05
DISCOUNT = 0.995
LIKELY_FROM = 10
"""Samples from which errors count."""
FARTHEST = 20.0
"""In mean errors: an outlier says no more than this against any predictor."""
EXACT_BONUS = 60.0
"""What is added to the log-likelihood of a predictor that has never been wrong."""


@njit(cache=True)
def prediction_of(it: Signal, usual: float, which: int) -> float:
    """What one predictor says, where ``usual`` is the level with its profile."""
    if which == 0:
        return it["last"]
    if which == 1:
        return it["fast"]
    if which == 2:
        return it["slow"]
    return usual if which == 3 else usual + np.float64(it["offset"])


@njit(cache=True)
def predict(it: Signal, usual: float) -> float:
    """The weighted mean of what the predictors say; ``usual`` where they agree exactly."""
    best = np.float64(it["likelihood"][0])
    for which in range(1, PREDICTORS):
        best = max(best, np.float64(it["likelihood"][which]))
    total = away = 0.0
    for which in range(PREDICTORS):
        weight = math.exp(np.float64(it["likelihood"][which]) - best)
        total += weight
        away += weight * (prediction_of(it, usual, which) - usual)
    return usual + away / total


@njit(cache=True)
def likelihood_of(off: float, mean: float) -> float:
    """Log-likelihood of an error where the mean error was ``mean``, up to a constant."""
    if mean == 0.0:
        return EXACT_BONUS if off == 0.0 else 0.0
    return -math.log(mean) - min(off / mean, FARTHEST)


@njit(cache=True)
def learn_predictors(it: Signal, n: int, value: float, usual: float, rate: float) -> None:
    """Learn how far off each predictor was, before any of them has learned the value."""
    for which in range(PREDICTORS):
        off = abs(value - prediction_of(it, usual, which))
        mean = np.float64(it["error"][which])
        if n >= LIKELY_FROM:
            gain = likelihood_of(off, mean)
            it["likelihood"][which] = DISCOUNT * np.float64(it["likelihood"][which]) + gain
        off = min(off, FAR * mean) if n > CUT_FROM and mean > 0.0 else off
        it["error"][which] = mean + rate * (off - mean)


@njit(cache=True)
def learn_levels(it: Signal, n: int, value: float, rest: float, limit: float) -> None:
    """Learn the value; ``rest`` is its deviation from what is usual, ``limit`` the most that the slow mean learns."""
    last, far = it["last"], limit * FAR
    value = last + min(max(value - last, -far), far)
    it["fast"] += max(FAST_RATE, 1.0 / (n + 1.0)) * (value - it["fast"])
    slow = max(SLOW_RATE, 1.0 / (n + 1.0))
    it["slow"] += slow * min(max(value - it["slow"], -limit), limit)
    offset = np.float64(it["offset"])
    it["offset"] = offset + OFFSET_RATE * (min(max(rest, -far), far) - offset)
    it["last"] = value
