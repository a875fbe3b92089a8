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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.course import calm, follow
from flows.detectors.base import Floats, Ints, Scored
from flows.episode import EPISODE, TOLD, Episodes

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
        self._due_ms = np.zeros(1, np.int64)

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
                log_ms, told, kinds, self._due_ms,
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
        self.full = len(self.open) >= self.limit and len(self) >= self.limit

    def calm(self, lanes: Lanes, log_ms: int) -> Episodes:
        """End what was quiet for long enough by the log's clock; gives those whose end is to be told, closing."""
        if log_ms < self._due_ms[0]:
            return self.open[:0].copy()
        _, _, lane_detector, lane_episode, policies = lanes
        rows = np.flatnonzero(self.open["lane"] >= 0)
        told, kinds = np.empty(len(rows), EPISODE), np.empty(len(rows), np.int64)
        n = calm(self.open, rows, lane_detector, lane_episode, policies, log_ms, told, kinds, self._due_ms)
        return told[:n]

    def look_anew(self) -> None:
        """Episodes or policies were changed from outside: what was known of when the next ends is no longer."""
        self._due_ms[0] = 0

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
