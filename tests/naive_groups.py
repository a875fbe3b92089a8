"""Slow, obvious twin of shaping and grouping: one process, all samples of a series at hand, PromQL's words.

It shares no code with ``flows``. A series is a list of (time_ms, value, start_ms); stale markers and other NaN are
gaps.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

LOOKBACK_MS = 300_000
Samples = Sequence[tuple[int, float, int]]
Labels = Mapping[str, str]


class Edges(NamedTuple):
    """What differs between versions of Prometheus: whether a range holds its begin, and which limit comes first."""

    closed: bool
    zero_first: bool


V3 = Edges(closed=False, zero_first=False)
V2 = Edges(closed=True, zero_first=True)
"""Prometheus 2.42."""


def raw_at(samples: Samples, at_ms: int, edges: Edges = V3) -> float:
    seen = [(time_ms, value) for time_ms, value, _ in samples if time_ms <= at_ms]
    if not seen or seen[-1][0] < at_ms - LOOKBACK_MS + (0 if edges.closed else 1):
        return math.nan
    return seen[-1][1] if math.isfinite(seen[-1][1]) else math.nan


def change_at(samples: Samples, at_ms: int, range_ms: int, shape: str, edges: Edges = V3) -> float:
    """``rate``, ``increase`` or ``delta`` over the range that ends at ``at_ms``."""
    begin_ms = at_ms - range_ms
    finite = [one for one in samples if math.isfinite(one[1])]
    inside = [i for i, (t, _, _) in enumerate(finite) if begin_ms + (0 if edges.closed else 1) <= t <= at_ms]
    if len(inside) < 2:
        return math.nan
    chosen = [finite[i] for i in inside]
    (first_ms, first, _), (last_ms, last, _) = chosen[0], chosen[-1]
    result = last - first
    if shape != "delta":
        for (before_ms, before, _), (_, value, start_ms) in pairwise(chosen):
            if value < before or start_ms > before_ms:
                result += before
    sampled = (last_ms - first_ms) / 1000
    average = sampled / (len(chosen) - 1)
    to_start, to_end = (first_ms - begin_ms) / 1000, (at_ms - last_ms) / 1000
    to_zero = math.inf
    if shape != "delta" and result > 0 and first >= 0:
        to_zero = sampled * first / result
    if edges.zero_first:
        to_start = min(to_start, to_zero)
    to_start = to_start if to_start < 1.1 * average else average / 2
    to_end = to_end if to_end < 1.1 * average else average / 2
    if not edges.zero_first:
        to_start = min(to_start, to_zero)
    result *= (sampled + to_start + to_end) / sampled
    return result / (range_ms / 1000) if shape == "rate" else result


def value_at(samples: Samples, at_ms: int, shape: str, range_ms: int, edges: Edges = V3) -> float:
    return raw_at(samples, at_ms, edges) if shape == "raw" else change_at(samples, at_ms, range_ms, shape, edges)


def quantile(q: float, values: Sequence[float]) -> float:
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)


def aggregate(how: str, values: Sequence[float], q: float = math.nan) -> float:
    match how:
        case "sum":
            return sum(values)
        case "avg":
            return sum(values) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "count":
            return float(len(values))
    return quantile(q, values)


def bucket_quantile(q: float, buckets: Mapping[float, float]) -> float:
    bounds = sorted(buckets)
    counts = [max(buckets[b] for b in bounds[: i + 1]) for i in range(len(bounds))]
    if len(bounds) < 2 or bounds[-1] != math.inf or not counts[-1] > 0:
        return math.nan
    rank = q * counts[-1]
    at = next(i for i, count in enumerate(counts) if count >= rank)
    if at == len(bounds) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    low, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    return low + (bounds[at] - low) * (rank - below) / (counts[at] - below) if counts[at] > below else math.nan


def native_quantile(q: float, buckets: Sequence[tuple[float, float, float]], *, exponential: bool) -> float:
    """Of ascending (lower, upper, count): Prometheus 3 interpolates exponentially but around 0, 2 linearly."""
    rank, below = q * sum(count for _, _, count in buckets), 0.0
    for lower, upper, count in buckets:
        if below + count >= rank * (1 - 1e-12):
            part = min(1.0, (rank - below) / count)
            if not exponential or lower <= 0.0 <= upper:
                return lower + (upper - lower) * part
            return lower * (upper / lower) ** part
        below += count
    return math.nan


def group_labels(labels: Labels, by: Sequence[str] | None, without: Sequence[str] | None) -> frozenset[tuple[str, str]]:
    if without is not None:
        return frozenset((n, v) for n, v in labels.items() if n not in without and n != "__name__")
    return frozenset((n, v) for n, v in labels.items() if n in (by or ()))


def grouped(
    members: Iterable[tuple[Labels, float]], by: Sequence[str] | None, without: Sequence[str] | None, how: str,
    q: float = math.nan,
) -> dict[frozenset[tuple[str, str]], float]:  # fmt: skip
    """Value of each group, of the values of its members at one step (NaN: none)."""
    groups: dict[frozenset[tuple[str, str]], list[float]] = defaultdict(list)
    for labels, value in members:
        if not math.isnan(value):
            groups[group_labels(labels, by, without)].append(value)
    return {labels: aggregate(how, values, q) for labels, values in groups.items()}
