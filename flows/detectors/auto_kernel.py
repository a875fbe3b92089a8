"""The kernel of ``auto``: one sample through its members, to evidence, to a surprise; then learning."""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_ladder import (
    barred,
    begin_ladder,
    evidence_above,
    follow_bursts,
    learn_rungs,
    lowered,
    steepened,
)
from flows.detectors.auto_mixture import learn_levels, learn_predictors, predict
from flows.detectors.auto_profile import (
    CUT,
    HOURLY_PRIOR,
    SLOW_RATE,
    STEADY_PRIOR,
    cut,
    doubt,
    gate,
    learn_profile,
    learn_spread,
    level_rate,
    profile_at,
    spread_of,
)
from flows.detectors.auto_sizes import Expectation, begun, measure
from flows.detectors.auto_state import (
    COUNT_LIMIT,
    CUT_FROM,
    DAY_MS,
    HOUR_MS,
    MEMBERS,
    PEAKS,
    ROUGH,
    STEADY,
    WARMUP,
    WINDOW,
    Records,
    Signal,
)
from flows.detectors.auto_tails import POOLED, learn_peak, surprise_of
from flows.detectors.base import BAND_SURPRISE, VALUE_LIMIT, Floats, Ints
from flows.detectors.holding import learns
from flows.detectors.rungs import height_of

NO_LIMIT = 1e300
CADENCE_RATE = 0.02
"""A step longer or shorter than usual moves the usual one by so much at most: a gap is no new cadence."""
MISS_CUT = 8.0
SHARE_RATE = 0.002
LONG_RATE = 0.0005
"""Least weight of a sample in the long spread, below which the steady one never is: a calm week does not make the usual
outbreaks surprising to it. 0.0001 … 0.001 were alike."""
SWING_SHARE = 0.1
"""Share of the signal's own variance in that of errors of prediction: where a smooth signal swings widely, a jump that
is small against the swing is no great matter. 0.05 … 0.5 were alike."""
ROUGHER, EVIDENCE_SHARE = 0.7, 0.94
"""So much more the change counts, alone of its kind where deviations are judged three times; and what is left of the
sum, as the ladder's beginning expects so much: 0.5 … 0.75 and 0.92 … 0.95 were alike."""
ROUGHER_FROM = 0.5
"""In deviations: nearer to the level the change counts less of its more, and nothing on it. A return to what is usual
would else surprise."""
REACH, OUTSIDE = 4.0, 10.0**-BAND_SURPRISE
"""The band in standard deviations at first, between Gauss (3.3) and Laplace (4.9), and what is to be outside."""
REACH_GAIN, REACH_PRIOR, REACH_LIMIT = 0.14, 5.0, 300_000
"""Robbins and Monro again: an exponential tail has its scale at 1/7 of this quantile."""
CONSTANT_EXTRA = 2.0
"""The first change of what was constant for n samples has a surprise of log10(n + 1) and so much more at most."""


@njit(cache=True, nogil=True)
def auto_step(
    records: Records, held_ms: Ints, hold_ms: int, hold_from: float, rows: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn ``n`` samples; what a hold keeps from being learned is taken back."""
    sizes, before = np.zeros(MEMBERS), records[:1].copy()
    for i in range(rows.shape[0]):
        if not abs(values[i]) <= VALUE_LIMIT:
            score[i] = expected[i] = lower[i] = upper[i] = math.nan
            continue
        row = rows[i]
        if hold_ms > 0:
            before[0] = records[row]
        score[i], expected[i], lower[i], upper[i] = one(records[row], times_ms[i], values[i], sizes)
        if not learns(held_ms, row, score[i], times_ms[i], hold_ms, hold_from):
            records[row] = before[0]
            records[row]["last_ms"] = times_ms[i]


@njit(cache=True)
def one(it: Signal, time_ms: int, value: float, sizes: Floats) -> tuple[float, float, float, float]:
    """The verdict on one sample; ``sizes`` (7,) is room for the members."""
    n = np.int64(it["seen"])
    if n == 0:
        begin(it, value)
    pause_ms = np.float64(time_ms - it["last_ms"])
    step_ms = cadence(it, n, pause_ms)
    e = expect(it, time_ms, step_ms)
    measure(it, n, value, e, step_ms, sizes)
    score = middle = lower = upper = math.nan
    if n >= WARMUP:
        lower, upper = band(it, e)
        middle = min(max(e.middle, lower), upper)
        learn_reach(it, n - WARMUP, not lower <= value <= upper)
        score = judge(it, n - WARMUP, sizes, pause_ms, step_ms)
    learn(it, n, time_ms, value, e, step_ms)
    return score, middle, lower, upper


@njit(cache=True)
def begin(it: Signal, value: float) -> None:
    """The first sample is where all levels begin."""
    it["mean"] = value
    it["last"] = value
    it["fast"] = value
    it["slow"] = value
    it["reach"] = REACH


@njit(cache=True)
def expect(it: Signal, time_ms: int, step_ms: float) -> Expectation:
    """What is expected at this time."""
    usual = profile_at(it, time_ms)
    middle = it["mean"] + gate(it) * usual
    hour, common, unknown = time_ms % DAY_MS // HOUR_MS, it["rest_variance"], doubt(it, middle, step_ms)
    hourly, steady = spread_of(it, hour, common, HOURLY_PRIOR), spread_of(it, hour, common, STEADY_PRIOR)
    return Expectation(
        usual,
        middle,
        predict(it, middle),
        math.sqrt(hourly * hourly + unknown),
        math.sqrt(max(steady * steady, it["long_variance"]) + unknown),
        math.sqrt((1.0 - SWING_SHARE) * it["miss_variance"] + SWING_SHARE * common + unknown),
        unknown / (hourly * hourly + unknown) if unknown > 0.0 else 0.0,
    )


@njit(cache=True)
def cadence(it: Signal, n: int, pause_ms: float) -> float:
    """The usual step between samples, at least 1 ms; learns the pause."""
    usual = np.float64(it["step_ms"])
    step = pause_ms if n == 1 else min(usual * (1.0 + CADENCE_RATE), max(usual * (1.0 - CADENCE_RATE), pause_ms))
    it["step_ms"] = step if n > 0 else 0.0
    return max(step, 1.0)


@njit(cache=True)
def tail_weights(k: int) -> tuple[float, float]:
    """After ``k`` scores: powers of ten of their number, and weight of the Laplace distribution."""
    return math.log10(k + 1.0), POOLED / (POOLED + k)


@njit(cache=True)
def judge(it: Signal, k: int, sizes: Floats, pause_ms: float, step_ms: float) -> float:
    """Surprise of all members together, ``k`` scores after the first; learns their peaks."""
    decades, prior = tail_weights(k)
    evidence = 0.0
    for member in range(MEMBERS):
        surprise = surprise_of(it, member * PEAKS, sizes[member], decades, prior)
        evidence += surprise if member < WINDOW else begun(it, member - WINDOW, surprise, k, step_ms)
        if member == ROUGH:
            evidence += ROUGHER * min(1.0, sizes[STEADY] / ROUGHER_FROM) * surprise
        learn_peak(it, member, sizes[member], k)
    evidence *= EVIDENCE_SHARE
    if k == 0:
        begin_ladder(it["ladder"])
    surprise = lowered(it, height_of(it["ladder"], evidence_above(it, evidence, k, step_ms)), pause_ms)
    learn_rungs(it["ladder"], surprise, np.float64(k))
    follow_bursts(it, sizes[STEADY])
    surprise = steepened(barred(it, surprise, pause_ms, step_ms))
    if it["rest_variance"] == 0.0:
        return min(surprise, math.log10(k + WARMUP + 1.0) + CONSTANT_EXTRA)
    return surprise


@njit(cache=True)
def band(it: Signal, e: Expectation) -> tuple[float, float]:
    """Values that are usual by level and by prediction; by the level alone if there are none."""
    reach = np.float64(it["reach"])
    around, beside = reach * e.hourly, reach * e.missing
    lower, upper = max(e.middle - around, e.guess - beside), min(e.middle + around, e.guess + beside)
    if lower <= upper:
        return lower, upper
    return e.middle - around, e.middle + around


@njit(cache=True)
def learn_reach(it: Signal, k: int, outside: bool) -> None:
    """Move the edges of the band, in standard deviations, to where one value of 1,000 is outside."""
    reach = np.float64(it["reach"])
    gain = REACH_GAIN / (OUTSIDE * min(k, REACH_LIMIT) + REACH_PRIOR)
    it["reach"] = reach * (1.0 + gain * ((1.0 if outside else 0.0) - OUTSIDE))


@njit(cache=True)
def learn(it: Signal, n: int, time_ms: int, value: float, e: Expectation, step_ms: float) -> None:
    """Learn a sample, cut to what a few of its like may change."""
    rate, rest = max(SLOW_RATE, 1.0 / (n + 1.0)), value - e.middle
    quick, per_hour = level_rate(n, step_ms), max(1.0, HOUR_MS / step_ms) if n > 1 else 1.0
    variance, common = it["variance"], it["rest_variance"]
    limit = CUT * math.sqrt(variance) if n > CUT_FROM and variance > 0.0 else NO_LIMIT
    rest_cut = cut(rest, CUT * e.steady if n > CUT_FROM and common > 0.0 else NO_LIMIT)
    miss_cut = cut(value - e.guess, MISS_CUT * e.missing if n > CUT_FROM and e.missing > 0.0 else NO_LIMIT)
    away = cut(value - it["mean"], limit)
    it["rest_variance"] += quick * (rest_cut * rest_cut - common)
    it["long_variance"] += max(LONG_RATE, 1.0 / (n + 1.0)) * (rest_cut * rest_cut - it["long_variance"])
    it["miss_variance"] += rate * (miss_cut * miss_cut - it["miss_variance"])
    learn_spread(it, time_ms % DAY_MS // HOUR_MS, rest_cut, per_hour)
    learn_predictors(it, n, value, e.middle, rate)
    learn_profile(it, time_ms, away, e.usual, per_hour)
    it["mean"] += quick * away
    it["variance"] = (1.0 - quick) * (variance + quick * away * away)
    learn_shares(it, n, value)
    learn_levels(it, n, value, rest, limit)
    it["seen"] = min(n + 1, COUNT_LIMIT)
    it["last_ms"] = time_ms


@njit(cache=True)
def learn_shares(it: Signal, n: int, value: float) -> None:
    """Learn how often it rises, falls and is zero: for words only."""
    rate, last = max(SHARE_RATE, 1.0 / (n + 1.0)), it["last"]
    it["rises"] += rate * ((1.0 if value > last else 0.0) - it["rises"])
    it["falls"] += rate * ((1.0 if value < last else 0.0) - it["falls"])
    it["zeros"] += rate * ((1.0 if value == 0.0 else 0.0) - it["zeros"])
