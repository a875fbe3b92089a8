"""Of the samples that a server gives, those that were asked for: in the range, ascending in time, one at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from connectors.sources.decode import SourceSeries


class Amended(NamedTuple):
    """How many samples of an answer were not as they should be."""

    outside: int = 0
    """left out: before or after the range"""
    duplicate: int = 0
    """left out: at the time of one that came before, which counts, as it would live"""
    unsorted: int = 0
    """put where they belong: they came after a later one"""


AS_ASKED = Amended()


def as_asked(series: SourceSeries, start_ms: int, end_ms: int) -> tuple[SourceSeries, Amended]:
    """The samples from ``start_ms`` to ``end_ms``, both ends included, strictly ascending in time; and what was not so.

    VictoriaMetrics moves a long range to whole steps, so it answers a step before it; caches and proxies have given
    back more than was asked for, and in pieces that overlap.
    """
    times_ms, values = series.times_ms, series.values
    backwards = np.diff(times_ms) <= 0
    if not len(times_ms) or (start_ms <= times_ms[0] and times_ms[-1] <= end_ms and not backwards.any()):
        return series, AS_ASKED
    within = (start_ms <= times_ms) & (times_ms <= end_ms)
    times_ms, values = times_ms[within], values[within]
    unsorted = int((np.diff(times_ms) < 0).sum())
    found_ms, first = np.unique(times_ms, return_index=True)
    amended = Amended(int((~within).sum()), len(times_ms) - len(found_ms), unsorted)
    return SourceSeries(series.labels, found_ms, values[first]), amended
