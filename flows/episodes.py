"""Report, first half: verdicts to episodes, compiled and in columns, so that a storm of anomalies costs no Python.

An episode opens at the first sample whose surprise reaches the detector's threshold, goes on while surprising samples
come, and closes when none has come for the detector's quiet time: in sample time (a later sample shows it) or in log
time (no sample came at all). Opened and closed are always told; updates when the surprise has grown by half, or once a
minute.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flows.detectors.base import Floats, Ints, Scored

TELL_GROWTH = 1.5
TELL_EVERY_MS = 60_000

_FLOATS = ("value", "expected", "lower", "upper", "surprise", "peak_value", "peak_surprise", "told_surprise")
_TIMES = ("start_ms", "time_ms", "log_ms", "peak_ms", "told_ms")
_COUNTS = ("lane", "samples", "sequence", "direction")
EPISODE = np.dtype(
    [(name, np.float64) for name in _FLOATS]
    + [(name, np.int64) for name in _TIMES]
    + [(name, np.int32) for name in _COUNTS]
)
"""One open episode: the latest surprising sample, the peak, what was last told, and its lane (−1: not in use)."""
Episodes = NDArray[Any]
OPENED, UPDATED, CLOSED = 0, 1, 2
EVENTS_PER_CALL = 256


class EpisodeTable:
    """Open episodes of a block.

    From the control record that finds ``limit`` of them open until one that finds fewer, no episode is opened, and the
    samples that would have opened one are counted. In between the table grows, by at most one episode a lane: were the
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

    def take(self, lanes: Lanes, entries: Ints, times_ms: Ints, values: Floats, scored: Scored, log_ms: int) -> Events:
        """Follow ``n`` verdicts; gives the events they cause, in order."""
        events = Events()
        done, room = 0, EVENTS_PER_CALL
        while done < len(entries):
            free = np.flatnonzero(self.open["lane"] < 0)
            told, kinds = np.empty(room, EPISODE), np.empty(room, np.int64)
            before = done
            done, n, refused = follow(
                done, self.open, free, self.full, *lanes, entries, times_ms, values, *scored,
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

    def quiet(self, lane_detector: NDArray[Any], quiet_ms: Ints, log_ms: int) -> Ints:
        """Open episodes without a surprising sample for their quiet time, by the log's clock."""
        rows = np.flatnonzero(self.open["lane"] >= 0)
        limits = quiet_ms[lane_detector[self.open["lane"][rows]]]
        return rows[log_ms - self.open["log_ms"][rows] >= limits]

    def close(self, rows: Ints, lane_episode: NDArray[Any]) -> Episodes:
        """End these episodes; gives them as they were, with the sequence of the closing event."""
        closed = self.open[rows].copy()
        closed["sequence"] += 1
        lane_episode[closed["lane"]] = -1
        self.open["lane"][rows] = -1
        return closed


class Lanes(tuple[Any, ...]):
    """The columns ``follow`` needs of routes and detectors, in its order.

    entry_lane, lane_next, lane_detector, lane_episode: (…,) int32; thresholds (detectors,) float64;
    quiet_ms (detectors,) int64.
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
    thresholds: Floats, quiet_ms: Ints, entries: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats, log_ms: int, told: Episodes, kinds: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Follow verdicts from ``begin`` on until all are done or room for events or episodes runs out.

    A sample is begun only when there is room for all that its lanes may cause. Gives the index of the next sample,
    the number of events written, and of samples refused because the table is ``full``.
    """
    n = used = refused = 0
    for i in range(begin, entries.shape[0]):
        if math.isnan(score[i]):
            continue
        first = entry_lane[entries[i]]
        if not stirs(first, lane_next, lane_detector, lane_episode, thresholds, score[i]):
            continue
        if not fits(first, lane_next, kinds.shape[0] - n, free.shape[0] - used, full):
            return i, n, refused
        lane = first
        while lane != -1:
            detector = lane_detector[lane]
            at = lane_episode[lane]
            surprising = score[i] >= thresholds[detector]
            if at != -1 and times_ms[i] - episodes[at]["time_ms"] >= quiet_ms[detector]:
                episodes[at]["sequence"] += 1
                told[n] = episodes[at]
                kinds[n] = CLOSED
                n += 1
                episodes[at]["lane"] = -1
                lane_episode[lane] = at = -1
            if surprising and at == -1 and full:
                refused += 1
            elif surprising:
                kind = UPDATED
                if at == -1:
                    kind = OPENED
                    at = free[used]
                    used += 1
                    lane_episode[lane] = at
                    start(episodes, at, lane, times_ms[i])
                grow(episodes, at, times_ms[i], values[i], score[i], expected[i], lower[i], upper[i], log_ms)
                if kind == OPENED or worth_telling(episodes, at):
                    if kind == UPDATED:
                        episodes[at]["sequence"] += 1
                    episodes[at]["told_ms"] = times_ms[i]
                    episodes[at]["told_surprise"] = episodes[at]["peak_surprise"]
                    told[n] = episodes[at]
                    kinds[n] = kind
                    n += 1
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
    lane: int, lane_next: NDArray[Any], lane_detector: NDArray[Any], lane_episode: NDArray[Any], thresholds: Floats,
    score: float,
) -> bool:  # fmt: skip
    """Whether a sample touches any episode, open or to be opened: most do not."""
    while lane != -1:
        if lane_episode[lane] != -1 or score >= thresholds[lane_detector[lane]]:
            return True
        lane = lane_next[lane]
    return False


@njit(cache=True)
def start(episodes: Episodes, at: int, lane: int, time_ms: int) -> None:
    """Begin an episode."""
    episodes[at]["lane"] = lane
    episodes[at]["samples"] = 0
    episodes[at]["sequence"] = 0
    episodes[at]["start_ms"] = time_ms
    episodes[at]["peak_surprise"] = -1.0


@njit(cache=True)
def grow(
    episodes: Episodes, at: int, time_ms: int, value: float, surprise: float, expected: float, lower: float,
    upper: float, log_ms: int,
) -> None:  # fmt: skip
    """Add a surprising sample."""
    episodes[at]["samples"] += 1
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
        episodes[at]["direction"] = 1 if value >= expected else -1


@njit(cache=True)
def worth_telling(episodes: Episodes, at: int) -> bool:
    """Whether an update is due."""
    grown = episodes[at]["peak_surprise"] >= TELL_GROWTH * episodes[at]["told_surprise"]
    return grown or episodes[at]["time_ms"] - episodes[at]["told_ms"] >= TELL_EVERY_MS
