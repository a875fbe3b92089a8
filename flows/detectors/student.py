"""Student's t as a Gaussian: how rare a deviation is when its spread was estimated from few samples.

Source: Wallace (1959), *Bounds on normal approximations to Student's and the chi-square distributions*, Ann. Math.
Stat. 30.
"""

from __future__ import annotations

import math

from connectors.codec.compiled import njit


@njit(cache=True)
def gaussian_of(t: float, freedom: float) -> float:
    """The standard normal deviate that is as rare as this Student's t: Wallace (1959)."""
    if freedom <= 0.0 or t == 0.0:
        return t
    return (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * math.sqrt(freedom * math.log1p(t / freedom * t))


@njit(cache=True)
def student_of(z: float, freedom: float) -> float:
    """Inverse of ``gaussian_of``."""
    if freedom <= 0.0:
        return z
    z *= (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)
    return math.sqrt(freedom * math.expm1(z * z / freedom))
