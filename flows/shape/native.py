"""Arithmetic of native histograms: sums, changes and quantiles.

Source: Prometheus 3, ``promql/quantile.go`` and ``model/histogram/float_histogram.go``.
Two histograms are brought to the coarser schema and the wider zero bucket before they are added or subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from connectors.codec.histogram import CUSTOM_BUCKETS
from connectors.codec.native import NativeHistogram
from flows.shape.range import extrapolation

Buckets = dict[int, float]


class Bucket(NamedTuple):
    """Observations above ``lower`` up to ``upper``."""

    lower: float
    upper: float
    observations: float


def add(a: NativeHistogram, b: NativeHistogram) -> NativeHistogram | None:
    """The sum; None if their buckets cannot be brought together (custom bounds that differ)."""
    return _combine(a, b, lambda x, y: x + y)


def subtract(a: NativeHistogram, b: NativeHistogram) -> NativeHistogram | None:
    """What ``a`` has more than ``b``; None as for ``add``."""
    return _combine(a, b, lambda x, y: x - y)


def scale(a: NativeHistogram, factor: float) -> NativeHistogram:
    """All counts times ``factor``."""
    return replace(
        a,
        count=a.count * factor,
        total=a.total * factor,
        zero_count=a.zero_count * factor,
        positive={index: count * factor for index, count in a.positive.items()},
        negative={index: count * factor for index, count in a.negative.items()},
    )


def change(
    samples: Sequence[tuple[int, NativeHistogram]], until_ms: int, range_ms: int, *, counter: bool, per_second: bool
) -> NativeHistogram | None:
    """Change over the range (``until_ms`` − ``range_ms``, ``until_ms``] of samples in it, by time, extrapolated.

    None with fewer than two samples or where buckets do not fit together.
    """
    if len(samples) < 2:
        return None
    (begin_ms, first), (end_ms, last) = samples[0], samples[-1]
    total = subtract(last, first)
    for (before_ms, before), (_, after) in pairwise(samples):
        if counter and total is not None and was_reset(before_ms, before, after):
            total = add(total, before)
    if total is None:
        return None
    factor = extrapolation(begin_ms, end_ms, len(samples), first.count, total.count, counter, until_ms, range_ms)
    return scale(total, factor / (range_ms / 1000.0) if per_second else factor)


def was_reset(before_ms: int, before: NativeHistogram, after: NativeHistogram) -> bool:
    """Whether counting began anew in between: created later, or any count fell."""
    if after.start_ms > before_ms or after.count < before.count:
        return True
    less = subtract(after, before)
    if less is None or after.schema > before.schema:  # a finer schema or other bounds come with a restart
        return True
    counts = (less.zero_count, *less.positive.values(), *less.negative.values())
    return any(count < 0.0 for count in counts)


def native_quantile(q: float, h: NativeHistogram) -> float:
    """The q-quantile; NaN without observations.

    Within an exponential bucket observations are taken to be spread exponentially, in the zero bucket and between
    custom bounds linearly. The zero bucket ends at 0 on a side that has no other bucket.
    """
    if h.count <= 0.0 or math.isnan(h.count):
        return math.nan
    forward = math.isnan(h.total) or q < 0.5
    rank = (q if forward else 1.0 - q) * h.count
    buckets = buckets_of(h)
    count, bucket = 0.0, Bucket(0.0, 0.0, 0.0)
    for bucket in buckets if forward else reversed(buckets):
        count += bucket.observations
        if count >= rank:
            break
    count = min(count, h.count)
    lower, upper = _natural(h, bucket)
    if lower == -math.inf or upper == math.inf:
        return upper if lower == -math.inf else lower
    if count < rank or bucket.observations == 0.0:
        return upper
    inside = (rank - (count - bucket.observations)) if forward else count - rank
    return _interpolate(lower, upper, inside / bucket.observations, custom=h.schema == CUSTOM_BUCKETS)


def _natural(h: NativeHistogram, bucket: Bucket) -> tuple[float, float]:
    """Bounds of a bucket, as far as 0 is a natural one."""
    lower, upper, _ = bucket
    if h.schema == CUSTOM_BUCKETS:
        return (0.0 if lower == -math.inf and upper > 0.0 else lower), upper
    if lower < 0.0 < upper and not h.negative and h.positive:
        return 0.0, upper
    return lower, 0.0 if lower < 0.0 < upper and not h.positive and h.negative else upper


def _interpolate(lower: float, upper: float, fraction: float, *, custom: bool) -> float:
    if custom or lower <= 0.0 <= upper:
        return lower + (upper - lower) * fraction
    low, high = math.log2(abs(lower)), math.log2(abs(upper))
    if lower > 0.0:
        return float(2.0 ** (low + (high - low) * fraction))
    return -float(2.0 ** (high + (low - high) * (1.0 - fraction)))


def buckets_of(h: NativeHistogram) -> list[Bucket]:
    """All buckets that hold something, ascending."""
    if h.schema == CUSTOM_BUCKETS:
        bounds = (-math.inf, *h.bounds, math.inf)
        return [Bucket(bounds[i], bounds[i + 1], count) for i, count in sorted(h.positive.items()) if count]
    below = [Bucket(-upper_bound(h.schema, i), -upper_bound(h.schema, i - 1), count)
             for i, count in sorted(h.negative.items(), reverse=True) if count]  # fmt: skip
    zero = [Bucket(-h.zero_threshold, h.zero_threshold, h.zero_count)] if h.zero_count else []
    above = [Bucket(upper_bound(h.schema, i - 1), upper_bound(h.schema, i), count)
             for i, count in sorted(h.positive.items()) if count]  # fmt: skip
    return [*below, *zero, *above]


def upper_bound(schema: int, index: int) -> float:
    """Upper bound of a positive bucket: the base 2^(2^−schema) to the power of its index, ``inf`` beyond a double."""
    exponent = math.ldexp(index, -schema)
    return float(2.0**exponent) if exponent < 1024.0 else math.inf


def _combine(a: NativeHistogram, b: NativeHistogram, of: Callable[[float, float], float]) -> NativeHistogram | None:
    if (a.schema == CUSTOM_BUCKETS) is not (b.schema == CUSTOM_BUCKETS) or a.bounds != b.bounds:
        return None
    if a.schema != CUSTOM_BUCKETS:
        schema = min(a.schema, b.schema)
        a, b = _coarser(a, schema), _coarser(b, schema)
        threshold = _common_threshold(a, b)
        a, b = _wider_zero(a, threshold), _wider_zero(b, threshold)
    return replace(
        a,
        count=of(a.count, b.count),
        total=of(a.total, b.total),
        zero_count=of(a.zero_count, b.zero_count),
        positive=_both(a.positive, b.positive, of),
        negative=_both(a.negative, b.negative, of),
    )


def _both(a: Buckets, b: Buckets, of: Callable[[float, float], float]) -> Buckets:
    """Without those that are empty: a side that has none ends the zero bucket at 0."""
    counts = ((index, of(a.get(index, 0.0), b.get(index, 0.0))) for index in sorted(a.keys() | b.keys()))
    return {index: count for index, count in counts if count != 0.0}


def _coarser(h: NativeHistogram, schema: int) -> NativeHistogram:
    if schema == h.schema:
        return h
    shift = h.schema - schema
    return replace(h, schema=schema, positive=_joined(h.positive, shift), negative=_joined(h.negative, shift))


def _joined(buckets: Buckets, shift: int) -> Buckets:
    out: Buckets = {}
    for index, count in buckets.items():
        wide = ((index - 1) >> shift) + 1
        out[wide] = out.get(wide, 0.0) + count
    return out


def _common_threshold(a: NativeHistogram, b: NativeHistogram) -> float:
    """The wider zero bucket, widened until it cuts no bucket that holds something."""
    threshold = max(a.zero_threshold, b.zero_threshold)
    cut = True
    while cut:
        cut = False
        for buckets in (a.positive, a.negative, b.positive, b.negative):
            for index, count in buckets.items():
                upper = upper_bound(a.schema, index)
                if count and upper_bound(a.schema, index - 1) < threshold < upper:
                    threshold, cut = upper, True
    return threshold


def _wider_zero(h: NativeHistogram, threshold: float) -> NativeHistogram:
    if threshold == h.zero_threshold:
        return h
    inner = [(side, i) for side in (h.positive, h.negative) for i in side if upper_bound(h.schema, i) <= threshold]
    return replace(
        h,
        zero_threshold=threshold,
        zero_count=h.zero_count + _total([side[i] for side, i in inner]),
        positive={i: c for i, c in h.positive.items() if upper_bound(h.schema, i) > threshold},
        negative={i: c for i, c in h.negative.items() if upper_bound(h.schema, i) > threshold},
    )


def _total(counts: Sequence[float]) -> float:
    """Exact; what has no exact sum (beyond a double, or infinities of both signs) is what adding up makes of it."""
    try:
        return math.fsum(counts)
    except (OverflowError, ValueError):  # anyone may write such counts; a bad histogram must not end the flow
        return sum(counts)
