"""Slow, obvious twin of ``outlier``: every member against a list of all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, median

from tests import naive

Z3 = NormalDist().inv_cdf(1 - 5e-4)


def spread_of(values: Sequence[float], floor_ratio: float) -> float:
    middle = median(values)
    away = [abs(value - middle) for value in values]
    if median(away) > 0:
        return median(away) / NormalDist().inv_cdf(0.75)
    return fmean(away) * math.sqrt(math.pi / 2) or floor_ratio * abs(middle)


def variance_after(steps: Sequence[Sequence[float]], floor_ratio: float) -> float:
    """Variance within the group after these steps: a plain mean of the first hundred, then weighed by a hundredth."""
    known = 0.0
    for n, values in enumerate(steps):
        known += max(1 / 100, 1 / (n + 1)) * (spread_of(values, floor_ratio) ** 2 - known)
    return known


def by_median(steps: Sequence[Sequence[float]], i: int, floor_ratio: float) -> naive.Verdict:
    """Verdict on a member at the last step; all members are there at each."""
    *former, values = steps
    others = [value for j, value in enumerate(values) if j != i]
    n, middle = len(others), median(others)
    freedom, before = 0.37 * (n - 1), min(30, 0.37 * n * len(former))
    now = spread_of(others, floor_ratio) ** 2
    both = (freedom * now + before * variance_after(former, floor_ratio)) / (freedom + before)
    scale = math.sqrt(both * (1 + math.pi / 2 / n))
    freedom += before
    factor = (8 * freedom + 1) / (8 * freedom + 3)
    away = abs(values[i] - middle)
    t = away / scale if scale else (math.inf if away else 0.0)
    z = factor * math.sqrt(freedom * math.log(1 + t * t / freedom))
    half = scale * math.sqrt(freedom * (math.exp((Z3 / factor) ** 2 / freedom) - 1))
    return naive.surprise(z), middle, middle - half, middle + half


def nearest(values: Sequence[float], i: int, k: int) -> float:
    """The k-th nearest other value; of two that are as near, the lower one first."""
    others = [value for j, value in enumerate(values) if j != i]
    return sorted(others, key=lambda value: (abs(value - values[i]), value))[k - 1]


def by_density(values: Sequence[float], i: int, k: int, reach: float, floor_ratio: float) -> naive.Verdict:
    usual = median(abs(value - nearest(values, j, k)) for j, value in enumerate(values))
    radius = reach * (usual or floor_ratio * abs(median(values)))
    near = nearest(values, i, k)
    away = abs(values[i] - near)
    surprise = 3 * away / radius if radius else (300.0 if away else 0.0)
    return min(300.0, surprise), near, near - radius, near + radius
