"""From the evidence of ``auto`` to a surprise: a ladder of quantiles that each signal learns.

Evidence above half its running mean climbs a ladder whose rungs are the values that 1 of 10, 100, … 100,000 samples
exceed; between and beyond them it is interpolated linearly, so more evidence is always more surprise. Rungs move by
Robbins & Monro (1951), *A stochastic approximation method*: up by the rare sample above, down by the many below,
with steps that shrink as samples add up. They begin where they lie on noise, and the beginning weighs so much that
a signal's first anomalies do not become its own measure.

Signals that burst are judged by a *bar* besides. A surprise that alarms raises it by 1, a week of rest lowers it by
``PER_WEEK``; what stands above ``FREE`` is taken off the surprises of a signal whose outliers lie farther out than
those of a Cauchy distribution, of which no tail can be learned from a few. It does not touch any other.
"""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_state import HOUR_MS, WEEK_MS, Signal
from flows.detectors.base import SURPRISE_MAX, Floats
from flows.detectors.rungs import PER_E_FOLD, RUNGS

WIDTHS = (8.0, 3.0, 2.0, 1.0, 1.0)
"""Of the rungs at first: about those of noise, narrower at the top, where anomalies would widen them soon enough."""
NARROWEST = 0.6
PRIOR_VISITS = (5000.0, 500.0, 300.0, 100.0, 30.0)
"""Samples that the beginning of each rung weighs, counted where they bear on it: above the rung below."""
SAMPLES_LIMIT = 300_000.0
"""Rungs stop slowing down here, so they follow a signal that changes."""
USUAL_HOURS, DISCOUNTED = 168.0, 0.5
"""Half the mean evidence of about a week is taken off: 72 … 336 hours were alike."""
BURST_CUT, BURST_RUN, BURST_MEMORY, BURSTS_ENOUGH = 5.0, 10.0, 0.05, 5.0
LIGHT, HEAVY = 0.6, 1.0
"""Mean log excess beyond 5 standard deviations: 0.4 and 0.6 for Student's t of 3 and 2, 0.8 to 1 for Cauchy."""
CHANCES = 5.0
"""Exceedances a week at which the bar takes a surprise for an alarm."""
REST_MS, REST_STEPS = 6 * 3_600_000.0, 6.0
PER_WEEK, FREE, PER_ALARM = 2.0, 4.0, 0.2
STEEPER, STEEP = 5.0, 0.5
"""No rung was learned beyond: surprise grows ever faster there, so that what goes on growing is told again."""
HEIGHT, HEIGHT_LIMIT, HEIGHT_SHARE, HEIGHT_MS = 3.0, 8.0, 0.5, 6.0 * HOUR_MS
"""Half of what the highest surprise of some hours exceeds 3, up to 8, is taken off: what follows must be worse."""


@njit(cache=True)
def begin_ladder(widths: Floats) -> None:
    """Where it begins."""
    for rung in range(RUNGS):
        widths[rung] = WIDTHS[rung]


@njit(cache=True)
def learn_rungs(widths: Floats, height: float, n: float) -> None:
    """Learn what height was told, after ``n`` others."""
    share, n = 1.0, min(n, SAMPLES_LIMIT)
    for rung in range(RUNGS):
        above = 1.0 if height > rung + 1.0 else 0.0
        gain = PER_E_FOLD / (share * n + PRIOR_VISITS[rung])
        widths[rung] = max(np.float64(widths[rung]) * (1.0 + gain * (above - 0.1)), NARROWEST)
        if above == 0.0:
            break
        share *= 0.1


@njit(cache=True)
def steepened(surprise: float) -> float:
    """The same up to ``STEEPER``, a parabola of the same slope beyond."""
    over = max(surprise - STEEPER, 0.0)
    return min(surprise + STEEP * over * over, SURPRISE_MAX)


@njit(cache=True)
def evidence_above(it: Signal, evidence: float, n: int, step_ms: float) -> float:
    """What of the evidence is above its usual; then learns it."""
    mean = np.float64(it["evidence"])
    rate = max(min(1.0, step_ms / (USUAL_HOURS * HOUR_MS)), 1.0 / (n + 1.0))
    it["evidence"] = mean + rate * (evidence - mean)
    return max(evidence - DISCOUNTED * mean, 0.0)


@njit(cache=True)
def lowered(it: Signal, surprise: float, pause_ms: float) -> float:
    """What the height of the last hours leaves of a surprise; then learns it."""
    height = np.float64(it["height"]) * math.exp(-pause_ms / HEIGHT_MS)
    it["height"] = min(max(height, surprise), HEIGHT_LIMIT)
    return max(surprise - HEIGHT_SHARE * max(height - HEIGHT, 0.0), 0.0)


@njit(cache=True)
def follow_bursts(it: Signal, size: float) -> None:
    """Learn how far bursts go beyond ``BURST_CUT`` standard deviations, once a run."""
    gap = np.float64(it["burst_gap"])
    if size <= BURST_CUT:
        it["burst_gap"] = min(gap + 1.0, 1000.0)
        return
    it["burst_gap"] = 0.0
    if gap < BURST_RUN:
        return
    bursts = min(np.float64(it["bursts"]) + 1.0, 1000.0)
    it["bursts"] = bursts
    mean = np.float64(it["burst"])
    it["burst"] = mean + max(BURST_MEMORY, 1.0 / bursts) * (math.log(size / BURST_CUT) - mean)


@njit(cache=True)
def burstiness(it: Signal) -> float:
    """How much a signal is one that bursts, 0 … 1."""
    if it["bursts"] < BURSTS_ENOUGH:
        return 0.0
    return min(max((np.float64(it["burst"]) - LIGHT) / (HEAVY - LIGHT), 0.0), 1.0)


@njit(cache=True)
def barred(it: Signal, surprise: float, pause_ms: float, step_ms: float) -> float:
    """What the bar leaves of a surprise, ``pause_ms`` after the sample before; then moves the bar."""
    bar = max(np.float64(it["bar"]) - PER_WEEK * pause_ms / WEEK_MS, 0.0)
    rest_ms = max(np.float64(it["bar_rest_ms"]) - pause_ms, 0.0)
    over = PER_ALARM * burstiness(it) * max(bar - FREE, 0.0)
    alarming = max(math.log10(WEEK_MS / max(step_ms, 1.0) / CHANCES), 1.0)
    if rest_ms == 0.0 and surprise >= alarming + 0.5 * over:
        bar += 1.0
        rest_ms = max(REST_MS, REST_STEPS * step_ms)
    it["bar"] = bar
    it["bar_rest_ms"] = rest_ms
    return max(surprise - over, 0.0)
