"""Which series are counters: by the type of their family if it is known, else by their name."""

from __future__ import annotations

from collections.abc import Callable

from connectors.messages import MetricType

SUFFIXES: dict[MetricType, tuple[str, ...]] = {
    MetricType.COUNTER: ("_total",),
    MetricType.HISTOGRAM: ("_bucket", "_count", "_sum"),
    MetricType.SUMMARY: ("_count", "_sum"),
}
"""Series of a family that only grow, by what they add to its name (OpenMetrics 1.0, section "Metric Types")."""
OTHER_SUFFIXES: dict[MetricType, tuple[str, ...]] = {
    MetricType.COUNTER: ("_created",),
    MetricType.HISTOGRAM: ("_created",),
    MetricType.SUMMARY: ("_created",),
    MetricType.GAUGEHISTOGRAM: ("_bucket", "_gcount", "_gsum"),
    MetricType.INFO: ("_info",),
}
"""Series of a family that go up and down, or stand still."""
COUNTER_NAMES = ("_total", "_count", "_sum", "_bucket")
"""Ends of names that mean a counter where no type is known."""

_ENDS = sorted({end for table in (SUFFIXES, OTHER_SUFFIXES) for ends in table.values() for end in ends})


def families_of(metric: str) -> list[str]:
    """Families that a series with this name may belong to, the likeliest first."""
    return [metric, *(metric.removesuffix(end) for end in _ENDS if metric.endswith(end) and metric != end)]


def is_counter(metric: str, type_of: Callable[[str], MetricType | None]) -> bool:
    """Whether a series with this name only grows, given the types of families (None or UNKNOWN: not known)."""
    for family in families_of(metric):
        kind = type_of(family)
        if kind is None or kind is MetricType.UNKNOWN:
            continue
        if family == metric:  # text format 0.0.4 and remote write 2.0 name the series itself
            return kind is MetricType.COUNTER
        end = metric[len(family) :]
        if end in SUFFIXES.get(kind, ()):
            return True
        if end in OTHER_SUFFIXES.get(kind, ()):
            return False
    return metric.endswith(COUNTER_NAMES)
