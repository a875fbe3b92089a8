"""A deviation in its scale, and its surprise under a Gaussian."""

from __future__ import annotations

import math

from numba import njit

from flows.detectors.base import SURPRISE_MAX

_SQRT1_2 = math.sqrt(0.5)
_LOG10_E = math.log10(math.e)
_LOG10_SQRT_HALF_PI = 0.5 * math.log10(math.pi / 2.0)
_ASYMPTOTIC_FROM = 25.0
"""From here four terms of the asymptotic series are exact to 1e-10, and ``erfc`` has not yet underflowed."""


@njit(cache=True, inline="always")
def deviations(away: float, scale: float) -> float:
    """How many times its scale a distance ≥ 0 is; without a scale, any is infinitely far."""
    if scale > 0.0:
        return away / scale
    return math.inf if away > 0.0 else 0.0


@njit(cache=True, inline="never")
def gaussian_surprise(z: float) -> float:
    """−log10 P(|Z| ≥ z) for standard normal Z and z ≥ 0, at most ``SURPRISE_MAX``.

    ``erfc`` up to 25; beyond it the asymptotic series of Abramowitz & Stegun 7.1.23, which does not underflow.
    """
    if z < _ASYMPTOTIC_FROM:
        return 0.0 - math.log10(math.erfc(z * _SQRT1_2))
    if z > 40.0:  # surprise 350 and more
        return SURPRISE_MAX
    q = 1.0 / (z * z)
    series = 1.0 - q * (1.0 - 3.0 * q * (1.0 - 5.0 * q * (1.0 - 7.0 * q)))
    surprise = 0.5 * z * z * _LOG10_E + math.log10(z) + _LOG10_SQRT_HALF_PI - math.log10(series)
    return min(surprise, SURPRISE_MAX)
