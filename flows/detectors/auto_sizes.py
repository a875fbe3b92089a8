"""How large a sample is to each member of ``auto``, in the member's own scale, before it is learned."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_profile import CUT, SLOW_RATE
from flows.detectors.auto_state import CUT_FROM, FAR, HOUR_MS, HOURLY, MISS, ROUGH, STEADY, WINDOW, WINDOWS, Signal
from flows.detectors.base import Floats

NEVER = 1e3
"""Size of what differs from what never did, in standard deviations."""
FARTHEST = 1e30
QUICK_RATE = 0.1
WINDOW_HOURS = (1.0, 4.0, 24.0)
WINDOW_FROM = 30
USUAL_HOURS = 36.0
"""A window's surprise counts above its own mean of so many hours, so that its begin counts: 18 … 36 were alike."""
WINDOW_CUT = 25.0
"""Squares of means are learned up to so many times their usual; from twice ``WINDOW_FROM`` samples on."""


class Expectation(NamedTuple):
    """What is expected of a sample before it is looked at, in the signal's unit."""

    usual: float
    """of the day profile"""
    middle: float
    """level and what is believed of the profile"""
    guess: float
    """prediction from the latest samples"""
    hourly: float
    steady: float
    missing: float
    """standard deviations: of the hour, of all hours, of errors of prediction"""
    doubtful: float
    """share of the hour's variance that is doubt"""


@njit(cache=True)
def measure(it: Signal, n: int, value: float, e: Expectation, step_ms: float, sizes: Floats) -> None:
    """Sizes of all members; those that look at means and changes learn theirs."""
    rest = value - e.middle
    sizes[HOURLY], sizes[STEADY] = size(rest, e.hourly), size(rest, e.steady)
    sizes[MISS] = size(value - e.guess, e.missing)
    sizes[ROUGH] = roughness(it, n, value)
    away = min(sizes[HOURLY], CUT) * (1.0 if rest >= 0.0 else -1.0)
    for which in range(WINDOWS):
        sizes[WINDOW + which] = window_size(it, which, away, n, step_ms, e.doubtful) if n >= WINDOW_FROM else 0.0


@njit(cache=True)
def size(away: float, scale: float) -> float:
    """A deviation in its scale."""
    if scale > 0.0:
        return min(abs(away) / scale, FARTHEST)
    return 0.0 if away == 0.0 else NEVER


@njit(cache=True)
def roughness(it: Signal, n: int, value: float) -> float:
    """Log ratio of the quick mean change to the usual one, in its own scale; learns the change."""
    if n == 0:
        return 0.0
    found = 0.0
    change, rate = abs(value - it["last"]), max(SLOW_RATE, 1.0 / n)
    quick, usual = np.float64(it["quick_change"]), np.float64(it["usual_change"])
    change = min(change, FAR * usual) if n > CUT_FROM and usual > 0.0 else change
    quick += max(QUICK_RATE, 1.0 / n) * (change - quick)
    if usual > 0.0 and quick > 0.0:
        away = math.log(quick / usual)
        square = np.float64(it["roughness_square"])
        found = abs(away) / math.sqrt(square) if square > 0.0 else 0.0
        it["roughness_square"] = square + rate * (away * away - square)
    it["quick_change"] = quick
    it["usual_change"] = usual + rate * (change - usual)
    return min(found, FARTHEST)


@njit(cache=True)
def share_kept(which: int, step_ms: float) -> float:
    """How much of a window's mean stays when a sample comes."""
    return WINDOW_HOURS[which] / (WINDOW_HOURS[which] + step_ms / HOUR_MS)


@njit(cache=True)
def window_size(it: Signal, which: int, away: float, n: int, step_ms: float, doubtful: float) -> float:
    """A window's mean of deviations in its own scale; learns the deviation."""
    mean, square = np.float64(it["window"][which]), np.float64(it["window_square"][which])
    moved = 1.0 - share_kept(which, step_ms)
    mean += moved * (away - mean)
    k = n - WINDOW_FROM + 1.0
    limit = WINDOW_CUT * square + (FARTHEST if k < 2 * WINDOW_FROM else 0.0)
    it["window"][which] = mean
    it["window_square"][which] = square + max(SLOW_RATE, 1.0 / k) * (min(mean * mean, limit) - square)
    if square == 0.0:
        return 0.0
    return math.sqrt(mean * mean / (square + doubtful * moved / 2.0))  # which a mean of that share of deviations has


@njit(cache=True)
def begun(it: Signal, which: int, surprise: float, k: int, step_ms: float) -> float:
    """What a window's surprise adds: above its usual, weighed by what the window knows besides the newest sample."""
    usual, rate = np.float64(it["window_usual"][which]), min(1.0, step_ms / (USUAL_HOURS * HOUR_MS))
    it["window_usual"][which] = usual + max(rate, 1.0 / (k + 1.0)) * (surprise - usual)
    return share_kept(which, step_ms) * max(surprise - usual, 0.0)
