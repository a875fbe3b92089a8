"""The kernel of ``auto``: one sample through its six members, to evidence, to a surprise; then learning."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from flows.detectors.auto_ladder import barred, climb, evidence_above, follow_bursts, steepened
from flows.detectors.auto_mixture import learn_levels, learn_predictors, predict
from flows.detectors.auto_profile import (
    COUNT_LIMIT,
    CUT,
    HOURLY_PRIOR,
    SLOW_RATE,
    STEADY_PRIOR,
    cut,
    gate,
    learn_profile,
    learn_spread,
    profile_at,
    spread_of,
)
from flows.detectors.auto_state import (
    CUT_FROM,
    DAY_MS,
    FALLS,
    FAR,
    FAST,
    HOUR_MS,
    HOURLY,
    LAST,
    LONG,
    LONG_MEAN,
    LONG_SQUARE,
    MEAN,
    MEMBERS,
    MISS,
    MISS_VARIANCE,
    PEAKS,
    QUICK_CHANGE,
    REST_VARIANCE,
    RISES,
    ROUGH,
    ROUGHNESS_SQUARE,
    SHORT,
    SHORT_MEAN,
    SHORT_SQUARE,
    SLOW,
    STEADY,
    STEP_MS,
    USUAL_CHANGE,
    VARIANCE,
    WARMUP,
    WIDTH,
    ZEROS,
    Memory,
)
from flows.detectors.auto_tails import POOLED, learn_peak, reach, surprise_of
from flows.detectors.base import VALUE_LIMIT, Floats, Ints

NEVER = 1e3
"""Size of what differs from what never did, in standard deviations."""
FARTHEST = 1e30
NO_LIMIT = 1e300
CADENCE_RATE = 0.02
"""A step longer or shorter than usual moves the usual one by so much at most: a gap is no new cadence."""
QUICK_RATE = 0.1
SHORT_RATE, LONG_RATE, MEANS_FROM = 0.1, 0.02, 30
MEANS_CUT = 25.0
"""Squares of means are learned up to so many times their usual; from twice ``MEANS_FROM`` samples on."""
MISS_CUT = 8.0
SHARE_RATE = 0.002
CONSTANT_EXTRA = 2.0
"""The first change of what was constant for n samples has a surprise of log10(n + 1) and so much more at most."""


@njit(cache=True, nogil=True)
def auto_step(
    memory: Memory, rows: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples."""
    sizes = np.zeros(MEMBERS)
    for i in range(rows.shape[0]):
        if abs(values[i]) <= VALUE_LIMIT:
            verdict = one(memory, rows[i], times_ms[i], values[i], sizes)
            score[i], expected[i], lower[i], upper[i] = verdict
        else:
            score[i] = expected[i] = lower[i] = upper[i] = math.nan


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


@njit(cache=True)
def one(memory: Memory, row: int, time_ms: int, value: float, sizes: Floats) -> tuple[float, float, float, float]:
    """The verdict on one sample; ``sizes`` (6,) is room for the members."""
    n = np.int64(memory.seen[row])
    if n == 0:
        begin(memory, row, value)
    pause_ms = np.float64(time_ms - memory.last_ms[row])
    step_ms = cadence(memory, row, n, pause_ms)
    e = expect(memory, row, time_ms)
    measure(memory, row, n, value, e, sizes)
    score = middle = lower = upper = math.nan
    if n >= WARMUP:
        lower, upper = band(memory, row, n - WARMUP, e)
        middle = min(max(e.middle, lower), upper)
        score = judge(memory, row, n - WARMUP, sizes, pause_ms, step_ms)
    learn(memory, row, n, time_ms, value, e, max(1.0, HOUR_MS / step_ms) if n > 1 else 1.0)
    return score, middle, lower, upper


@njit(cache=True)
def begin(memory: Memory, row: int, value: float) -> None:
    """The first sample is where all levels begin."""
    for level in (MEAN, LAST, FAST, SLOW):
        memory.exact[row, level] = value


@njit(cache=True)
def expect(memory: Memory, row: int, time_ms: int) -> Expectation:
    """What is expected at this time."""
    usual = profile_at(memory, row, time_ms)
    middle = memory.exact[row, MEAN] + gate(memory, row) * usual
    hour, common = time_ms % DAY_MS // HOUR_MS, memory.exact[row, REST_VARIANCE]
    return Expectation(
        usual,
        middle,
        predict(memory, row, middle),
        spread_of(memory, row, hour, common, HOURLY_PRIOR),
        spread_of(memory, row, hour, common, STEADY_PRIOR),
        math.sqrt(memory.exact[row, MISS_VARIANCE]),
    )


@njit(cache=True)
def measure(memory: Memory, row: int, n: int, value: float, e: Expectation, sizes: Floats) -> None:
    """Sizes of all members; those that look at means and changes learn theirs."""
    rest = value - e.middle
    sizes[HOURLY], sizes[STEADY] = size(rest, e.hourly), size(rest, e.steady)
    sizes[MISS] = size(value - e.guess, e.missing)
    sizes[ROUGH] = roughness(memory, row, n, value)
    sizes[SHORT_MEAN] = sizes[LONG_MEAN] = 0.0
    if n >= MEANS_FROM:
        away = min(sizes[HOURLY], CUT) * (1.0 if rest >= 0.0 else -1.0)
        sizes[SHORT_MEAN] = mean_size(memory.ratios, row, SHORT, SHORT_SQUARE, SHORT_RATE, away, n)
        sizes[LONG_MEAN] = mean_size(memory.ratios, row, LONG, LONG_SQUARE, LONG_RATE, away, n)


@njit(cache=True)
def cadence(memory: Memory, row: int, n: int, pause_ms: float) -> float:
    """The usual step between samples, at least 1 ms; learns the pause."""
    usual = np.float64(memory.ratios[row, STEP_MS])
    step = pause_ms if n == 1 else min(usual * (1.0 + CADENCE_RATE), max(usual * (1.0 - CADENCE_RATE), pause_ms))
    memory.ratios[row, STEP_MS] = step if n > 0 else 0.0
    return max(step, 1.0)


@njit(cache=True)
def size(away: float, scale: float) -> float:
    """A deviation in its scale."""
    if scale > 0.0:
        return min(abs(away) / scale, FARTHEST)
    return 0.0 if away == 0.0 else NEVER


@njit(cache=True)
def roughness(memory: Memory, row: int, n: int, value: float) -> float:
    """Log ratio of the quick mean change to the usual one, in its own scale; learns the change."""
    if n == 0:
        return 0.0
    sizes, ratios, found = memory.sizes, memory.ratios, 0.0
    change, rate = abs(value - memory.exact[row, LAST]), max(SLOW_RATE, 1.0 / n)
    quick, usual = np.float64(sizes[row, QUICK_CHANGE]), np.float64(sizes[row, USUAL_CHANGE])
    change = min(change, FAR * usual) if n > CUT_FROM and usual > 0.0 else change
    quick += max(QUICK_RATE, 1.0 / n) * (change - quick)
    if usual > 0.0 and quick > 0.0:
        away = math.log(quick / usual)
        square = np.float64(ratios[row, ROUGHNESS_SQUARE])
        found = abs(away) / math.sqrt(square) if square > 0.0 else 0.0
        ratios[row, ROUGHNESS_SQUARE] = square + rate * (away * away - square)
    sizes[row, QUICK_CHANGE] = quick
    sizes[row, USUAL_CHANGE] = usual + rate * (change - usual)
    return min(found, FARTHEST)


@njit(cache=True)
def mean_size(ratios: Floats, row: int, mean: int, square: int, rate: float, away: float, n: int) -> float:
    """A short mean of deviations in its own scale; learns the deviation."""
    now = np.float64(ratios[row, mean]) + rate * (away - np.float64(ratios[row, mean]))
    ratios[row, mean] = now
    usual, k = np.float64(ratios[row, square]), n - MEANS_FROM + 1.0
    found = math.sqrt(now * now / usual) if usual > 0.0 else 0.0
    limit = MEANS_CUT * usual + (FARTHEST if k < 2 * MEANS_FROM else 0.0)
    ratios[row, square] = usual + max(SLOW_RATE, 1.0 / k) * (min(now * now, limit) - usual)
    return found


@njit(cache=True)
def tail_weights(k: int) -> tuple[float, float]:
    """After ``k`` scores: surprise of the smallest peak kept, and weight of the Laplace distribution."""
    return (math.log10((k + 1.0) / PEAKS) if k >= PEAKS else 0.0), POOLED / (POOLED + k)


@njit(cache=True)
def judge(memory: Memory, row: int, k: int, sizes: Floats, pause_ms: float, step_ms: float) -> float:
    """Surprise of six members together, ``k`` scores after the first; learns their peaks."""
    base, prior = tail_weights(k)
    evidence = 0.0
    for member in range(MEMBERS):
        evidence += surprise_of(memory.peaks, member * PEAKS, row, sizes[member], base, prior)
        learn_peak(memory, row, member, sizes[member], k)
    above = evidence_above(memory.ratios, row, evidence, k)
    surprise = climb(memory.ratios, row, WIDTH, above, k, 1.0)
    follow_bursts(memory.ratios, row, sizes[STEADY])
    surprise = steepened(barred(memory, row, surprise, pause_ms, step_ms))
    if memory.exact[row, REST_VARIANCE] == 0.0:
        return min(surprise, math.log10(k + WARMUP + 1.0) + CONSTANT_EXTRA)
    return surprise


@njit(cache=True)
def band(memory: Memory, row: int, k: int, e: Expectation) -> tuple[float, float]:
    """Values that neither level nor prediction find surprising; those of the level alone if there are none."""
    base, prior = tail_weights(k)
    around = e.hourly * reach(memory.peaks, HOURLY * PEAKS, row, base, prior)
    beside = e.missing * reach(memory.peaks, MISS * PEAKS, row, base, prior)
    lower, upper = max(e.middle - around, e.guess - beside), min(e.middle + around, e.guess + beside)
    if lower <= upper:
        return lower, upper
    return e.middle - around, e.middle + around


@njit(cache=True)
def learn(memory: Memory, row: int, n: int, time_ms: int, value: float, e: Expectation, per_hour: float) -> None:
    """Learn a sample, cut to what a few of its like may change."""
    exact, rate, rest = memory.exact, max(SLOW_RATE, 1.0 / (n + 1.0)), value - e.middle
    variance, common = exact[row, VARIANCE], exact[row, REST_VARIANCE]
    limit = CUT * math.sqrt(variance) if n > CUT_FROM and variance > 0.0 else NO_LIMIT
    rest_cut = cut(rest, CUT * e.steady if n > CUT_FROM and common > 0.0 else NO_LIMIT)
    miss_cut = cut(value - e.guess, MISS_CUT * e.missing if n > CUT_FROM and e.missing > 0.0 else NO_LIMIT)
    away = cut(value - exact[row, MEAN], limit)
    exact[row, REST_VARIANCE] += rate * (rest_cut * rest_cut - common)
    exact[row, MISS_VARIANCE] += rate * (miss_cut * miss_cut - exact[row, MISS_VARIANCE])
    learn_spread(memory, row, time_ms % DAY_MS // HOUR_MS, rest_cut, per_hour)
    learn_predictors(memory, row, n, value, e.middle, rate)
    learn_profile(memory, row, time_ms, away, e.usual, per_hour)
    exact[row, MEAN] += rate * away
    exact[row, VARIANCE] = (1.0 - rate) * (variance + rate * away * away)
    learn_shares(memory, row, n, value)
    learn_levels(memory, row, n, value, rest, limit)
    memory.seen[row] = min(n + 1, COUNT_LIMIT)
    memory.last_ms[row] = time_ms


@njit(cache=True)
def learn_shares(memory: Memory, row: int, n: int, value: float) -> None:
    """Learn how often it rises, falls and is zero: for words only."""
    rate, last = max(SHARE_RATE, 1.0 / (n + 1.0)), memory.exact[row, LAST]
    for which, seen in ((RISES, value > last), (FALLS, value < last), (ZEROS, value == 0.0)):
        share = np.float64(memory.ratios[row, which])
        memory.ratios[row, which] = share + rate * ((1.0 if seen else 0.0) - share)
