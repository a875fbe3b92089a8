"""Typical lengths of something that happens again and again, and how surprising a longer one is.

Lengths are counted in half octaves. Up to the longest known, surprise is that of the share of lengths at least as long;
beyond it the tail is exponential, with the mean excess of the upper twentieth as its scale.

Source: the peaks-over-threshold model with an exponential tail, Davison & Smith (1990), *Models for exceedances over
high thresholds*, J. R. Stat. Soc. B 52; its scale by the mean excess.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import SURPRISE_MAX, Column

WIDTH = 56
"""Half octaves: lengths up to 2²⁸."""
UPPER = 0.05
"""Share of the lengths whose mean excess is the scale of the tail."""
TAIL_RATIO = 0.25
"""The scale of the tail is at least this share of the longest length: three and a half times as long surprises by 8."""
MOST = 4096.0
"""Lengths counted before all counts are halved, so that what is long ago is forgotten."""
LEAST = 0.1
"""A count that was halved below this is no more: a single length is remembered for some 7,000 others."""
_LOG10_E = math.log10(math.e)


def lengths_column() -> Column:
    """Counts of lengths per half octave."""
    return Column("lengths", np.float32, WIDTH)


@njit(cache=True, inline="always")
def edge_of(place: int) -> float:
    """The least length that counts at this place."""
    return 2.0 ** (0.5 * place)


@njit(cache=True, inline="always")
def place_of(length: float) -> int:
    """Where a length is counted; those below 1 as 1."""
    return min(WIDTH - 1, int(2.0 * math.log2(max(length, 1.0))))


@njit(cache=True)
def count_length(counts: NDArray[Any], length: float) -> None:
    """Learn a length."""
    counts[place_of(length)] += np.float32(1.0)
    total = 0.0
    for j in range(WIDTH):
        total += counts[j]
    if total >= MOST:
        for j in range(WIDTH):
            counts[j] = counts[j] * np.float32(0.5)
            if counts[j] < LEAST:
                counts[j] = np.float32(0.0)


@njit(cache=True)
def tail_of(counts: NDArray[Any]) -> tuple[float, float, float]:
    """Of known lengths: how many, the end of the place of the longest, and the scale of the tail beyond it."""
    total = 0.0
    top = -1
    for j in range(WIDTH):
        total += np.float64(counts[j])
        if counts[j] > 0.0:
            top = j
    if top < 0:
        return 0.0, 1.0, 1.0
    above = weighted = 0.0
    start = top
    for j in range(top, -1, -1):
        above += np.float64(counts[j])
        weighted += np.float64(counts[j]) * edge_of(j) * math.sqrt(math.sqrt(2.0))
        start = j
        if above >= UPPER * total:
            break
    end = edge_of(top + 1)
    return total, end, max(weighted / above - edge_of(start), TAIL_RATIO * end, 1.0)


@njit(cache=True)
def surprise_of_length(counts: NDArray[Any], length: float) -> float:
    """−log10 of the chance that such a length is reached; 0 while none is known."""
    total, end, scale = tail_of(counts)
    if total <= 0.0:
        return 0.0
    if length >= end:
        return min(math.log10(total + 1.0) + (length - end) / scale * _LOG10_E, SURPRISE_MAX)
    above = 0.0
    for j in range(place_of(length), WIDTH):
        above += np.float64(counts[j])
    return max(0.0, math.log10(total + 1.0) - math.log10(min(above, total) + 1.0))


@njit(cache=True)
def length_of(counts: NDArray[Any], surprise: float) -> float:
    """The length beyond which all are more surprising than this."""
    total, end, scale = tail_of(counts)
    log_total = math.log10(total + 1.0)
    if log_total <= surprise:
        return end + (surprise - log_total) * scale / _LOG10_E
    above = 0.0
    for j in range(WIDTH - 1, -1, -1):
        above += np.float64(counts[j])
        if log_total - math.log10(above + 1.0) <= surprise:
            return min(edge_of(j + 1), end)
    return 1.0


@njit(cache=True)
def median_length(counts: NDArray[Any]) -> float:
    """The middle of the place that holds the median."""
    total = 0.0
    for j in range(WIDTH):
        total += np.float64(counts[j])
    below = 0.0
    for j in range(WIDTH):
        below += np.float64(counts[j])
        if below > 0.0 and 2.0 * below >= total:
            return edge_of(j) * math.sqrt(math.sqrt(2.0))
    return 1.0
