"""Robust exponential smoothing: outliers are cut before they are learned, and the deviation learns from a bounded loss.

Source: Gelper, Fried & Croux (2010), *Robust forecasting with exponential and Holt-Winters smoothing*, J. Forecast. 29.
"""

from __future__ import annotations

import math

from connectors.codec.compiled import njit

CUT = 2.0
"""Deviations beyond which a sample teaches no more: k of the paper."""
LOSS_LIMIT = 2.52
"""The bounded loss of far samples, which makes its mean 1 under a Gaussian for k = 2: c_k of the paper."""


@njit(cache=True, inline="always")
def cut(away: float, scale: float) -> float:
    """``away``, but not beyond ``CUT`` deviations; of a signal without any deviation everything is believed."""
    if not scale > 0.0:
        return away
    return min(max(away, -CUT * scale), CUT * scale)


@njit(cache=True)
def next_variance(variance: float, away: float, scale: float, weight: float) -> float:
    """Variance after a sample ``away`` from its forecast; ``scale`` is the deviation believed before, or its floor."""
    if away == 0.0 and variance == 0.0:
        return 0.0
    if not scale > 0.0:
        return weight * away * away
    z = away / scale
    loss = LOSS_LIMIT
    if abs(z) <= CUT:
        rest = 1.0 - (z / CUT) * (z / CUT)
        loss = LOSS_LIMIT * (1.0 - rest * rest * rest)
    return (1.0 - weight + weight * loss) * scale * scale


@njit(cache=True, inline="always")
def deviation(variance: float, floor: float) -> float:
    """Standard deviation, ``floor`` for a signal that never moved."""
    return math.sqrt(variance) if variance > 0.0 else floor
