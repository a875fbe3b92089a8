"""Quantiles: of values, and of classic histograms, as PromQL computes them (``promql/quantile.go``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

SMALL_DELTA = 1e-12
"""Relative difference between neighbouring cumulative buckets that is rounding and not an error (Prometheus)."""


def quantile_of(values: Sequence[float], q: float) -> float:
    """The q-quantile of values, linear between the two nearest ranks; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    lower = math.floor(rank)
    upper = min(lower + 1, len(ordered) - 1)
    weight = rank - lower
    return ordered[lower] * (1.0 - weight) + ordered[upper] * weight


def bucket_quantile(q: float, buckets: Sequence[tuple[float, float]]) -> float:
    """The q-quantile of cumulative counts by ascending upper bound.

    NaN without observations or a bucket ``+Inf``, and where any count is NaN.

    Linear within the bucket, whose lower bound is 0 for the first one if its upper bound is positive; in the last
    bucket the highest finite bound. Counts that fall are lifted to the one before, as in Prometheus.
    """
    if len(buckets) < 2 or buckets[-1][0] != math.inf:
        return math.nan
    bounds = [bound for bound, _ in buckets]
    counts = monotonic([count for _, count in buckets])
    total = counts[-1]
    if total == 0.0 or any(map(math.isnan, counts)):
        return math.nan
    rank = q * total
    at = next((i for i in range(len(counts) - 1) if counts[i] >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0.0:
        return bounds[0]
    start, before = (bounds[at - 1], counts[at - 1]) if at > 0 else (0.0, 0.0)
    count = counts[at] - before
    return start + (bounds[at] - start) * ((rank - before) / count) if count > 0.0 else math.nan


def monotonic(counts: Sequence[float]) -> list[float]:
    """Cumulative counts that never fall."""
    out: list[float] = []
    for count in counts:
        before = out[-1] if out else count
        rounding = abs(count - before) <= SMALL_DELTA * abs(count + before) / 2.0
        out.append(before if count < before or rounding else count)
    return out
