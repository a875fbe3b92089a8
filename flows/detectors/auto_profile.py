"""Level and day profile of ``auto``: what is usual now, how much of the profile is believed, how wide it spreads.

Level and spread are means of what was cut at ``CUT`` standard deviations, so an incident moves them little; they forget
in a thousand samples or some days, what is shorter, so a lasting change is accepted by and by. The profile holds the
mean deviation from the level at each hour of the day, UTC, interpolated between the middles of hours. It is believed as
much as it has predicted: by the regression coefficient of the deviations on it, within 0 and 1.
"""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.auto_state import COUNT_LIMIT, DAY_MS, HOUR_MS, HOURS, Signal

SLOW_RATE = 0.001
"""Least weight of a sample: 0.0005 … 0.002 were alike."""
MEMORY_HOURS, QUICKEST_RATE = 108.0, 0.02
"""Where samples are rare, level and spread forget by the clock: of hourly ones, they would else keep what was usual
last month. 96 … 120 hours were alike."""
CUT = 5.0
"""Deviations are learned up to so many standard deviations; 4 was alike."""
VISIT_RATE = 0.1
"""Least weight of a day in the profile."""
SPREAD_RATE = 0.05
"""Weight of a day in the spread of an hour."""
HOURLY_PRIOR, STEADY_PRIOR = 20.0, 200.0
"""Samples of an hour at which its own spread is believed as much as the common one: two members, two opinions."""
VISIT_SAMPLES_LIMIT = 4000
COUNT_DISPERSION, COUNT_SHARE, COUNT_HOURS = 0.25, 0.05, 1.0
"""What counts vary by before anything is known: half of what Poisson's law gives them, and not more than a twentieth
of the level, so that one of three fewer is news soon; believed as much as so many hours, for by the clock things come
and go."""


@njit(cache=True)
def cut(away: float, limit: float) -> float:
    """A deviation, within ±limit."""
    return min(max(away, -limit), limit)


@njit(cache=True)
def level_rate(n: int, step_ms: float) -> float:
    """Weight of a sample in level and spread, after ``n`` others."""
    by_clock = min(step_ms / (MEMORY_HOURS * HOUR_MS), QUICKEST_RATE)
    return max(SLOW_RATE, by_clock, 1.0 / (n + 1.0))


@njit(cache=True)
def gate(it: Signal) -> float:
    """How much of the profile is believed, 0 … 1."""
    if it["profiled"] == 0:
        return 0.0
    return max(0.0, min(1.0, it["with_profile"] / (it["of_profile"] + 1e-300)))


@njit(cache=True)
def profile_at(it: Signal, time_ms: int) -> float:
    """Usual deviation from the level at this time of day; 0 in an hour never seen."""
    hour = time_ms % DAY_MS // HOUR_MS
    if it["visits"][hour] == 0:
        return 0.0
    share = time_ms % HOUR_MS / HOUR_MS - 0.5
    other = (hour + (1 if share > 0.0 else HOURS - 1)) % HOURS
    here = np.float64(it["profile"][hour])
    if it["visits"][other] == 0:
        return here
    return (1.0 - abs(share)) * here + abs(share) * np.float64(it["profile"][other])


@njit(cache=True)
def spread_of(it: Signal, hour: int, common: float, prior: float) -> float:
    """Standard deviation in this hour, shrunk to the ``common`` variance as by ``prior`` samples."""
    n, own = np.float64(it["visit_samples"][hour]), np.float64(it["spread"][hour])
    return math.sqrt((n * own * own + prior * common) / (n + prior))


@njit(cache=True)
def doubt(it: Signal, middle: float, step_ms: float) -> float:
    """Variance to be added while little is known of a signal of whole numbers.

    Half an hour of 25, 25, 25 bears out that 27 is rare, not that it cannot be. After a zero there is none: many a
    signal is zero now and then and no count.
    """
    if it["last"] != math.floor(it["last"]):
        return 0.0
    level = min(abs(middle), abs(it["last"]))
    share = COUNT_HOURS / (it["seen"] * step_ms / HOUR_MS + COUNT_HOURS)
    return share * level * min(COUNT_DISPERSION, COUNT_SHARE * COUNT_SHARE * level)


@njit(cache=True)
def learn_spread(it: Signal, hour: int, rest: float, per_hour: float) -> None:
    """Learn a deviation, already cut, from what was expected."""
    n, own = int(it["visit_samples"][hour]), np.float64(it["spread"][hour])
    rate = max(SPREAD_RATE / per_hour, 1.0 / (n + 1.0))
    it["spread"][hour] = math.sqrt(own * own + rate * (rest * rest - own * own))
    it["visit_samples"][hour] = min(n + 1, VISIT_SAMPLES_LIMIT)


@njit(cache=True)
def learn_profile(it: Signal, time_ms: int, away: float, usual: float, per_hour: float) -> None:
    """Learn a deviation from the level, already cut, where the profile said ``usual``."""
    hour = time_ms % DAY_MS // HOUR_MS
    visits = int(it["visits"][hour])
    if visits > 0:
        it["profiled"] = min(it["profiled"] + 1, COUNT_LIMIT)
        weight = max(SLOW_RATE, 1.0 / it["profiled"])
        it["with_profile"] += weight * (away * usual - it["with_profile"])
        it["of_profile"] += weight * (usual * usual - it["of_profile"])
    day = time_ms // DAY_MS & 0xFFFF
    if visits == 0 or it["visit_day"][hour] != day:
        it["visit_day"][hour] = day
        visits = min(visits + 1, 255)
        it["visits"][hour] = visits
    rate = max(VISIT_RATE, 1.0 / (visits + 1.0)) / per_hour
    if visits == 1:
        rate = max(rate, 0.5)
    usually = np.float64(it["profile"][hour])
    it["profile"][hour] = usually + min(rate, 1.0) * (away - usually)
