"""Surprise of each member of ``auto``: by the largest peaks that it has shown so far.

Of each member the ``PEAKS`` largest peaks are kept, of neighbouring ones only the highest (``RUN`` samples). The
smallest of them is the quantile that PEAKS of n samples exceed; beyond it the tail is exponential (Davison & Smith
1990, *Models for exceedances over high thresholds*), its mean excess taken from the fifth largest, so that a few
anomalies do not widen it. What the tail says is pooled with a Laplace distribution, which counts ``POOLED``
samples, and compressed above ``COMPRESS``: one member alone never shouts the others down when they are added. Where m
peaks of n samples were as high, the Laplace distribution says at most ``BORNE_OUT`` more than log10(n/m).
"""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_state import PEAKS, Signal

POOLED = 1000.0
"""Samples after which tail and Laplace are believed alike: 500 … 1,500 were alike."""
BORNE_OUT = 2.0
"""Less would hide events that come again, more would let bursts alarm for weeks."""
COMPRESS = 3.0
LAPLACE = math.sqrt(2.0) / math.log(10.0)
"""−log10 of the two-sided tail of a Laplace distribution, per standard deviation."""
RUN = 10
"""Peaks so near belong together: 10 … 30 were alike."""
_FIFTH = PEAKS // 4
_FEWEST = math.log10(PEAKS)
_EXCESSES = math.log(PEAKS / (_FIFTH + 0.5))
_PER_E = 1.0 / math.log(10.0)
_DROPPED_BITS = 12
_LOWEST = (127 - 8) << 11  # exponents from 2⁻⁸ to 2²⁴
CODE_LIMIT = 65_535


@njit(cache=True)
def code_of(size: float) -> int:
    """A peak in 16 bits: 5 of exponent, 11 of mantissa; 0 is less than 2⁻⁸."""
    bits = np.int64(np.float32(min(size, 1e9)).view(np.int32))
    code = int((bits + (1 << (_DROPPED_BITS - 1))) >> _DROPPED_BITS) - _LOWEST
    return min(max(code, 0), CODE_LIMIT)


@njit(cache=True)
def size_of(code: int) -> float:
    """The peak of a code."""
    if code == 0:
        return 0.0
    return np.float64(np.int32((np.int64(code) + _LOWEST) << _DROPPED_BITS).view(np.float32))


@njit(cache=True)
def compressed(surprise: float) -> float:
    """Surprise up to 3 as it is, its logarithm above."""
    return surprise if surprise < COMPRESS else COMPRESS + COMPRESS * math.log(surprise / COMPRESS)


@njit(cache=True)
def excess_of(fifth: float, smallest: float) -> float:
    """Mean excess over the smallest of the peaks; that of a Laplace distribution while they are not all known."""
    if smallest == 0.0:
        return _PER_E / LAPLACE
    return max((fifth - smallest) / _EXCESSES, 0.02 * smallest)


@njit(cache=True)
def borne_out(it: Signal, first: int, size: float, surprise: float, decades: float) -> float:
    """What the peaks that were as high leave of a surprise."""
    peaks, code, as_high = it["peaks"], code_of(size), 0
    while as_high < PEAKS and peaks[first + as_high] >= code:
        as_high += 1
    return min(surprise, decades - math.log10(as_high) + BORNE_OUT) if as_high > 0 else surprise


@njit(cache=True)
def surprise_of(it: Signal, first: int, size: float, decades: float, prior: float) -> float:
    """Surprise of a member; its peaks begin at ``first``.

    ``decades`` is the logarithm of how many samples were scored, ``prior`` the weight of the Laplace distribution.
    """
    peaks, base = it["peaks"], max(decades - _FEWEST, 0.0)
    smallest = size_of(peaks[first + PEAKS - 1])
    if code_of(size) > peaks[first + PEAKS - 1]:
        excess = excess_of(size_of(peaks[first + _FIFTH]), smallest)
        tail = base + max(size - smallest, 0.0) / excess * _PER_E
    else:
        tail = size / smallest * base if smallest > 0.0 else 0.0
    expected = compressed(LAPLACE * size)
    if expected > decades - _FEWEST + BORNE_OUT:
        expected = borne_out(it, first, size, expected, decades)
    return prior * expected + (1.0 - prior) * compressed(tail)


@njit(cache=True)
def learn_peak(it: Signal, member: int, size: float, n: int) -> None:
    """Remember a peak, or raise that of the run it belongs to, at sample ``n`` since scores began."""
    peaks, first, code = it["peaks"], member * PEAKS, code_of(size)
    smallest, highest = np.int64(peaks[first + PEAKS - 1]), np.int64(it["run_peak"][member])
    if code <= smallest:
        return
    at = PEAKS - 1
    if n - it["run_last"][member] > RUN or highest == 0 or smallest == 0:
        it["run_last"][member] = n
    elif code <= highest:
        return
    else:
        at = place_of(it, first, highest)
        if at < 0:
            it["run_peak"][member] = code
            return
    while at > 0 and peaks[first + at - 1] < code:
        peaks[first + at] = peaks[first + at - 1]
        at -= 1
    peaks[first + at] = code
    it["run_peak"][member] = code


@njit(cache=True)
def place_of(it: Signal, first: int, code: int) -> int:
    """Where a peak stands among those of its member, −1 if it is no more there."""
    for at in range(PEAKS):
        if it["peaks"][first + at] == code:
            return at
    return -1
