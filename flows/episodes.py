"""Report, first half: verdicts to episodes, compiled and in columns, so that a storm of anomalies costs no Python.

An episode begins at the first sample whose surprise reaches the detector's threshold, goes on while samples reach
``close_ratio`` of it, and closes when none has for the detector's quiet time: in sample time (a later sample shows it)
or in log time (no sample came at all). Where too little was seen of a signal for one sample to count so much
(``flows.policy.ceiling_of``), samples that reach their ceiling are *suspected*, and the episode begins, with the first
of them, when those in a row add up to the threshold.

It is told once it has lasted for ``min_duration_ms``; then its end is told too, and an update once a minute. It
*escalates* with a sample that is a quarter more surprising than what an operator was last told, at its opening or the
last escalation; and whoever was told is reminded of one that still goes on when a cool-down has passed. After it, while
its lane rests, only a sample that would have escalated it begins another (``flows.policy``).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flows.detectors.base import Floats, Ints, Scored
from flows.policy import WORSE, Policies, ceiling_of, cooldown_of, quiet_of, threshold_at

TELL_EVERY_MS = 60_000
LARGEST_SIZE = 1e6
"""Sizes end here: a band may have no width."""


class Episode(NamedTuple):
    """One episode, as plain numbers; its lane is −1 in a row that is not in use."""

    value: float
    """… to ``surprise``: of the latest surprising sample"""
    expected: float
    lower: float
    upper: float
    surprise: float
    peak_value: float
    peak_expected: float
    peak_surprise: float
    peak_size: float
    """distance from the expected, in half widths of the band"""
    told_surprise: float
    """peak when it opened, or when it escalated last"""
    evidence: float
    """surprises of its samples, each up to its ceiling, added; in a rest, of those that might end it"""
    first_expected: float
    threshold: float
    """at the latest surprising sample, as the next"""
    step_s: float
    """cadence of the series, 0 while unknown"""
    start_ms: int
    time_ms: int
    peak_ms: int
    log_ms: int
    told_ms: int
    noticed_ms: int
    """when it opened, escalated or reminded last"""
    samples: int
    sequence: int
    direction: int
    """of the peak: 1 up, −1 down"""
    ups: int
    """surprising samples above what was expected"""
    lane: int
    phase: int


EPISODE = np.dtype(
    [(name, np.float64 if kind is float else np.int64) for name, kind in get_type_hints(Episode).items()]
)
"""An ``Episode`` in a column."""
Episodes = NDArray[Any]
OPENED, UPDATED, CLOSED, ESCALATED, REMINDED = 0, 1, 2, 3, 4
NO_NEWS = -1
PENDING, TOLD, RESTING, SUSPECTED = 0, 1, 2, 3
"""Phases: too short to be told so far; open; over, and its lane rests; not believed so far."""
EVENTS_PER_CALL = 256


class EpisodeTable:
    """Episodes of a block: those that are open, and the last of each lane that rests.

    From the control record that finds ``limit`` of them until one that finds fewer, no episode is begun, and the
    samples that would have begun one are counted. In between the table grows, by at most one episode a lane: were the
    limit looked at sample by sample, what is refused would depend on how the input was cut into batches.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.full = False
        self.open: Episodes = np.zeros(64, EPISODE)
        self.open["lane"] = -1
        self.refused = 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self.open["lane"] >= 0))

    @property
    def told(self) -> int:
        """Open episodes that were told."""
        return int(np.count_nonzero((self.open["lane"] >= 0) & (self.open["phase"] == TOLD)))

    def take(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, values: Floats, scored: Scored, seen: NDArray[Any],
        steps_s: NDArray[Any], log_ms: int,
    ) -> Events:  # fmt: skip
        """Follow ``n`` verdicts; gives the events they cause, in order.

        ``seen`` (n,) is how many samples of its signal each rests on, ``steps_s`` (n,) the cadence of its series.
        """
        events = Events()
        done, room = 0, EVENTS_PER_CALL
        while done < len(entries):
            free = np.flatnonzero(self.open["lane"] < 0)
            told, kinds = np.empty(room, EPISODE), np.empty(room, np.int64)
            before = done
            done, n, refused = follow(
                done, self.open, free, self.full, *lanes, entries, times_ms, values, *scored, seen, steps_s,
                log_ms, told, kinds,
            )  # fmt: skip
            events.add(told[:n], kinds[:n])
            self.refused += refused
            if done > before:
                room = EVENTS_PER_CALL
            else:  # too little room for all that one sample may cause
                room *= 2
                self._grow()
        return events

    def _grow(self) -> None:
        before = len(self.open)
        grown = np.zeros(2 * before, EPISODE)
        grown["lane"] = -1
        grown[:before] = self.open
        self.open = grown

    def count(self) -> None:
        """Look whether the limit is reached; called at control records, which stand at fixed places of the log."""
        self.full = len(self) >= self.limit

    def calm(self, lanes: Lanes, log_ms: int) -> Episodes:
        """End what was quiet for long enough by the log's clock; gives those whose end is to be told, closing."""
        rows = np.flatnonzero(self.open["lane"] >= 0)
        if not len(rows):
            return self.open[:0].copy()
        told, kinds = np.empty(len(rows), EPISODE), np.empty(len(rows), np.int64)
        _, _, lane_detector, lane_episode, policies = lanes
        n = calm(self.open, rows, lane_detector, lane_episode, policies, log_ms, told, kinds)
        return told[:n]

    def end(self, rows: Ints, lane_episode: NDArray[Any]) -> Episodes:
        """Forget these episodes, and that their lanes rest; gives those whose end is to be told, closing."""
        ended = self.open[rows].copy()
        ended["sequence"] += 1
        lane_episode[ended["lane"]] = -1
        self.open["lane"][rows] = -1
        return ended[ended["phase"] == TOLD]


class Lanes(tuple[Any, ...]):
    """The columns ``follow`` needs of routes and detectors, in its order.

    entry_lane, lane_next, lane_detector, lane_episode: (…,) int32; policies (detectors,) ``flows.policy.POLICY``.
    """

    __slots__ = ()


class Events:
    """Episode states with what happened to them, in order."""

    def __init__(self) -> None:
        self.states: list[Episodes] = []
        self.kinds: list[Ints] = []

    def add(self, states: Episodes, kinds: Ints) -> None:
        """Append ``n`` events."""
        if len(kinds):
            self.states.append(states)
            self.kinds.append(kinds)

    def __iter__(self) -> Any:
        for states, kinds in zip(self.states, self.kinds, strict=True):
            yield from zip(states, kinds.tolist(), strict=True)


@njit(cache=True)
def follow(
    begin: int, episodes: Episodes, free: Ints, full: bool,
    entry_lane: NDArray[Any], lane_next: NDArray[Any], lane_detector: NDArray[Any], lane_episode: NDArray[Any],
    policies: Policies, entries: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats, seen: NDArray[Any], steps_s: NDArray[Any],
    log_ms: int, told: Episodes, kinds: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Follow verdicts from ``begin`` on until all are done or room for events or episodes runs out.

    A sample is begun only when there is room for all that its lanes may cause. Gives the index of the next sample,
    the number of events written, and of samples refused because the table is ``full``.
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
            n = settle(episodes, lane, lane_episode, policy, times_ms[i], steps_s[i], told, kinds, n)
            at = lane_episode[lane]
            threshold, ceiling = threshold_at(policy, steps_s[i]), ceiling_of(policy, seen[i])
            if score[i] < bar_of(episodes, at, min(threshold, ceiling), policy["close_ratio"]):
                if at != -1 and doubt(episodes, at):
                    lane_episode[lane] = -1
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
    told: Episodes, kinds: Ints, n: int,
) -> int:  # fmt: skip
    """End the lane's episode if it was quiet by the samples' time, or its rest; gives the number of events."""
    at = lane_episode[lane]
    if at != -1:
        n = wait(episodes, at, time_ms - episodes[at]["time_ms"], policy, step_s, told, kinds, n)
        if episodes[at]["lane"] == -1:
            lane_episode[lane] = -1
    return n


@njit(cache=True)
def calm(
    episodes: Episodes, rows: Ints, lane_detector: NDArray[Any], lane_episode: NDArray[Any], policies: Policies,
    log_ms: int, told: Episodes, kinds: Ints,
) -> int:  # fmt: skip
    """The same by the log's time, for all episodes in ``rows``."""
    n = 0
    for at in rows:
        lane = episodes[at]["lane"]
        policy, step_s = policies[lane_detector[lane]], episodes[at]["step_s"]
        n = wait(episodes, at, log_ms - episodes[at]["log_ms"], policy, step_s, told, kinds, n)
        if episodes[at]["lane"] == -1:
            lane_episode[lane] = -1
    return n


@njit(cache=True)
def wait(
    episodes: Episodes, at: int, quiet_ms: int, policy: Policies, step_s: float, told: Episodes, kinds: Ints, n: int
) -> int:
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
        episodes[at]["lane"] = -1
    return n


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
def doubt(episodes: Episodes, at: int) -> bool:
    """Forget what was suspected only, since a sample does not bear it out; gives whether the row is free now."""
    if episodes[at]["phase"] == RESTING:
        episodes[at]["evidence"] = 0.0
    if episodes[at]["phase"] != SUSPECTED:
        return False
    episodes[at]["lane"] = -1
    return True


@njit(cache=True)
def grow(
    episodes: Episodes, at: int, time_ms: int, value: float, surprise: float, expected: float, lower: float,
    upper: float, log_ms: int,
) -> None:  # fmt: skip
    """Add a surprising sample."""
    episodes[at]["samples"] += 1
    episodes[at]["ups"] += 1 if value >= expected else 0
    episodes[at]["time_ms"] = time_ms
    episodes[at]["log_ms"] = log_ms
    episodes[at]["value"] = value
    episodes[at]["surprise"] = surprise
    episodes[at]["expected"] = expected
    episodes[at]["lower"] = lower
    episodes[at]["upper"] = upper
    if surprise > episodes[at]["peak_surprise"]:
        episodes[at]["peak_surprise"] = surprise
        episodes[at]["peak_ms"] = time_ms
        episodes[at]["peak_value"] = value
        episodes[at]["peak_expected"] = expected
        episodes[at]["peak_size"] = size_of(value, expected, lower, upper)
        episodes[at]["direction"] = 1 if value >= expected else -1


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
