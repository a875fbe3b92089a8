"""The course of an episode, compiled: suspected, believed, told, closed, at rest. ``flows.episodes`` says when."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Floats, Ints
from flows.episode import (
    CLOSED,
    ESCALATED,
    NO_NEWS,
    OPENED,
    PENDING,
    REMINDED,
    RESTING,
    SUSPECTED,
    TOLD,
    UPDATED,
    Episodes,
)
from flows.policy import WORSE, Policies, ceiling_of, cooldown_of, quiet_of, threshold_at

TELL_EVERY_MS = 60_000
NEVER_DUE_MS = (1 << 63) - 1
LARGEST_SIZE = 1e6
"""Sizes end here: a band may have no width."""


@njit(cache=True)
def follow(
    begin: int, episodes: Episodes, free: Ints, full: bool,
    entry_lane: NDArray[Any], lane_next: NDArray[Any], lane_detector: NDArray[Any], lane_episode: NDArray[Any],
    policies: Policies, entries: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats, seen: NDArray[Any], steps_s: NDArray[Any],
    log_ms: int, told: Episodes, kinds: Ints, due_ms: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Follow verdicts from ``begin`` on until all are done or room for events or episodes runs out.

    A sample is begun only when there is room for all that its lanes may cause. Gives the index of the next sample,
    the number of events written, and of samples refused because the table is ``full``. ``due_ms`` (1,) is brought
    forward to the log time at which ``calm`` finds anything to do.
    """
    n = used = refused = 0
    for i in range(begin, entries.shape[0]):
        if math.isnan(score[i]):
            continue
        lane = entry_lane[entries[i]]
        if not stirs(lane, lane_next, lane_detector, lane_episode, policies, score[i]):
            continue
        if not fits(lane, lane_next, kinds.shape[0] - n, free.shape[0] - used, full):
            return i, n, refused
        while lane != -1:
            policy = policies[lane_detector[lane]]
            n = settle(episodes, lane, lane_episode, policy, times_ms[i], steps_s[i], told, kinds, n, due_ms)
            at = lane_episode[lane]
            threshold, ceiling = threshold_at(policy, steps_s[i]), ceiling_of(policy, seen[i])
            small = abs(values[i] - expected[i]) < policy["min_change"]
            if small or score[i] < bar_of(episodes, at, min(threshold, ceiling), policy["close_ratio"]):
                if at != -1:
                    doubt(episodes, at, lane_episode)
            elif at == -1 and full:
                refused += 1
            else:
                if at == -1:
                    at = free[used]
                    used += 1
                    lane_episode[lane] = at
                    start(episodes, at, lane, times_ms[i], expected[i])
                if believe(episodes, at, lane, times_ms[i], expected[i], min(score[i], ceiling), threshold):
                    grow(episodes, at, times_ms[i], values[i], score[i], expected[i], lower[i], upper[i], log_ms)
                    episodes[at]["threshold"] = threshold
                    episodes[at]["step_s"] = steps_s[i]
                    due_ms[0] = min(due_ms[0], calm_from(episodes, at, policy))
                    cooldown_ms = cooldown_of(policy, steps_s[i])
                    n = tell(episodes, at, policy["min_duration_ms"], cooldown_ms, told, kinds, n)
            lane = lane_next[lane]
    return entries.shape[0], n, refused


@njit(cache=True)
def fits(lane: int, lane_next: NDArray[Any], events: int, rows: int, full: bool) -> bool:
    """Whether the worst that the lanes of one sample may cause has room: two events and one episode each."""
    lanes = 0
    while lane != -1:
        lanes += 1
        lane = lane_next[lane]
    return 2 * lanes <= events and (full or lanes <= rows)


@njit(cache=True)
def stirs(
    lane: int, lane_next: NDArray[Any], lane_detector: NDArray[Any], lane_episode: NDArray[Any], policies: Policies,
    score: float,
) -> bool:  # fmt: skip
    """Whether a sample touches any episode, open or to be opened: most do not."""
    while lane != -1:
        if lane_episode[lane] != -1 or score >= policies[lane_detector[lane]]["least"]:
            return True
        lane = lane_next[lane]
    return False


@njit(cache=True)
def settle(
    episodes: Episodes, lane: int, lane_episode: NDArray[Any], policy: Policies, time_ms: int, step_s: float,
    told: Episodes, kinds: Ints, n: int, due_ms: Ints,
) -> int:  # fmt: skip
    """End the lane's episode if it was quiet by the samples' time, or its rest; gives the number of events."""
    at = lane_episode[lane]
    if at != -1:
        quiet_ms = time_ms - episodes[at]["time_ms"]
        n = wait(episodes, at, lane_episode, quiet_ms, policy, step_s, told, kinds, n)
        due_ms[0] = min(due_ms[0], calm_from(episodes, at, policy))  # of one that now rests; or too early
    return n


@njit(cache=True)
def calm(
    episodes: Episodes, rows: Ints, lane_detector: NDArray[Any], lane_episode: NDArray[Any], policies: Policies,
    log_ms: int, told: Episodes, kinds: Ints, due_ms: Ints,
) -> int:  # fmt: skip
    """The same by the log's time, for all episodes in ``rows``; ``due_ms`` (1,) becomes when that has to be again."""
    n, due_ms[0] = 0, NEVER_DUE_MS
    for at in rows:
        policy, step_s = policies[lane_detector[episodes[at]["lane"]]], episodes[at]["step_s"]
        quiet_ms = log_ms - episodes[at]["log_ms"]
        n = wait(episodes, at, lane_episode, quiet_ms, policy, step_s, told, kinds, n)
        if episodes[at]["lane"] != -1:
            due_ms[0] = min(due_ms[0], calm_from(episodes, at, policy))
    return n


@njit(cache=True)
def calm_from(episodes: Episodes, at: int, policy: Policies) -> int:
    """The log time from which ``calm`` ends an episode, or its rest, if no surprising sample comes before."""
    rests = episodes[at]["phase"] == RESTING
    pause_ms = cooldown_of(policy, episodes[at]["step_s"]) if rests else quiet_of(policy, episodes[at]["step_s"])
    return episodes[at]["log_ms"] + pause_ms


@njit(cache=True)
def wait(
    episodes: Episodes, at: int, lane_episode: NDArray[Any], quiet_ms: int, policy: Policies, step_s: float,
    told: Episodes, kinds: Ints, n: int,
) -> int:  # fmt: skip
    """What follows from ``quiet_ms`` without a surprising sample; an episode that was never told needs no rest."""
    phase = episodes[at]["phase"]
    if phase != RESTING and quiet_ms < quiet_of(policy, step_s):
        return n
    if phase == TOLD:
        episodes[at]["sequence"] += 1
        told[n] = episodes[at]
        kinds[n] = CLOSED
        n += 1
        episodes[at]["phase"] = RESTING
        episodes[at]["evidence"] = 0.0
    if phase in (PENDING, SUSPECTED) or quiet_ms >= cooldown_of(policy, step_s):
        vacate(episodes, at, lane_episode)
    return n


@njit(cache=True)
def vacate(episodes: Episodes, at: int, lane_episode: NDArray[Any]) -> None:
    """Nothing is left of an episode: its row may be used again, and its lane has none."""
    lane_episode[episodes[at]["lane"]] = -1
    episodes[at]["lane"] = -1


@njit(cache=True)
def bar_of(episodes: Episodes, at: int, threshold: float, close_ratio: float) -> float:
    """The surprise that a sample needs to begin an episode, to go on with one, or to end the lane's rest."""
    if at == -1 or episodes[at]["phase"] == SUSPECTED:
        return threshold
    if episodes[at]["phase"] == RESTING:
        return max(threshold, WORSE * episodes[at]["told_surprise"])
    return close_ratio * threshold


@njit(cache=True)
def start(episodes: Episodes, at: int, lane: int, time_ms: int, expected: float) -> None:
    """Suspect an episode."""
    episodes[at]["lane"] = lane
    episodes[at]["phase"] = SUSPECTED
    episodes[at]["evidence"] = 0.0
    episodes[at]["samples"] = episodes[at]["ups"] = 0
    episodes[at]["sequence"] = -1
    episodes[at]["start_ms"] = time_ms
    episodes[at]["first_expected"] = expected
    episodes[at]["peak_surprise"] = -1.0


@njit(cache=True)
def believe(
    episodes: Episodes, at: int, lane: int, time_ms: int, expected: float, worth: float, threshold: float
) -> bool:
    """Add what a surprising sample counts, and see whether that is enough; gives whether it belongs to an episode."""
    evidence = episodes[at]["evidence"] + worth
    if evidence >= threshold and episodes[at]["phase"] == RESTING:
        start(episodes, at, lane, time_ms, expected)
    if evidence >= threshold and episodes[at]["phase"] == SUSPECTED:
        episodes[at]["phase"] = PENDING
    episodes[at]["evidence"] = evidence
    return bool(episodes[at]["phase"] != RESTING)


@njit(cache=True)
def doubt(episodes: Episodes, at: int, lane_episode: NDArray[Any]) -> None:
    """Forget what was suspected only, since a sample does not bear it out."""
    if episodes[at]["phase"] == RESTING:
        episodes[at]["evidence"] = 0.0
    elif episodes[at]["phase"] == SUSPECTED:
        vacate(episodes, at, lane_episode)


@njit(cache=True)
def grow(
    episodes: Episodes, at: int, time_ms: int, value: float, surprise: float, expected: float, lower: float,
    upper: float, log_ms: int,
) -> None:  # fmt: skip
    """Add a surprising sample.

    A late one may be older than the log time at which silence was found: an episode never ends before it began.
    """
    time_ms = max(time_ms, episodes[at]["start_ms"])
    episodes[at]["samples"] += 1
    episodes[at]["ups"] += 1 if value >= expected else 0
    episodes[at]["time_ms"] = time_ms
    episodes[at]["log_ms"] = log_ms
    episodes[at]["value"] = value
    episodes[at]["surprise"] = surprise
    episodes[at]["expected"] = expected
    episodes[at]["lower"] = lower
    episodes[at]["upper"] = upper
    if is_peak(episodes, at, value, surprise, expected):
        episodes[at]["peak_surprise"] = surprise
        episodes[at]["peak_ms"] = time_ms
        episodes[at]["peak_value"] = value
        episodes[at]["peak_expected"] = expected
        episodes[at]["peak_size"] = size_of(value, expected, lower, upper)
        episodes[at]["direction"] = 1 if value >= expected else -1


@njit(cache=True)
def is_peak(episodes: Episodes, at: int, value: float, surprise: float, expected: float) -> bool:
    """Whether no sample of the episode surprised so much, or as much (they end at 300) that far from the expected."""
    peak = episodes[at]["peak_surprise"]
    if surprise == peak:
        return bool(abs(value - expected) > abs(episodes[at]["peak_value"] - episodes[at]["peak_expected"]))
    return bool(surprise > peak)


@njit(cache=True)
def size_of(value: float, expected: float, lower: float, upper: float) -> float:
    """Distance from the expected, in half widths of the band on that side."""
    half = upper - expected if value >= expected else expected - lower
    away = abs(value - expected)
    if away == 0.0:
        return 0.0
    return min(LARGEST_SIZE, away / half) if half > 0.0 else LARGEST_SIZE


@njit(cache=True)
def tell(
    episodes: Episodes, at: int, min_duration_ms: int, cooldown_ms: int, told: Episodes, kinds: Ints, n: int
) -> int:
    """Tell that an episode opened, once it lasts, escalated or goes on after a cool-down, or an update that is due."""
    kind = news(episodes, at, min_duration_ms, cooldown_ms)
    if kind == NO_NEWS:
        return n
    episodes[at]["phase"] = TOLD
    episodes[at]["sequence"] += 1
    episodes[at]["told_ms"] = episodes[at]["time_ms"]
    if kind != UPDATED:
        episodes[at]["noticed_ms"] = episodes[at]["time_ms"]
    if kind in (OPENED, ESCALATED):
        episodes[at]["told_surprise"] = episodes[at]["peak_surprise"]
    told[n] = episodes[at]
    kinds[n] = kind
    return n + 1


@njit(cache=True)
def news(episodes: Episodes, at: int, min_duration_ms: int, cooldown_ms: int) -> int:
    """What is to be told of an episode at its latest sample."""
    if episodes[at]["phase"] == SUSPECTED:
        return NO_NEWS
    if episodes[at]["phase"] == PENDING:
        lasts = episodes[at]["time_ms"] - episodes[at]["start_ms"] >= min_duration_ms
        return OPENED if lasts else NO_NEWS
    if episodes[at]["peak_surprise"] >= WORSE * episodes[at]["told_surprise"]:
        return ESCALATED
    if 0 < cooldown_ms <= episodes[at]["time_ms"] - episodes[at]["noticed_ms"]:
        return REMINDED
    return UPDATED if episodes[at]["time_ms"] - episodes[at]["told_ms"] >= TELL_EVERY_MS else NO_NEWS
