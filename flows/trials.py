"""Thresholds on trial: how many episodes a detector would have opened at each of a row of thresholds.

A detector with a budget (``flows.budget``) must know what thresholds above and below its own would have given. So each
of its lanes that surprises now and then keeps, for each threshold of ``LEVELS``, when that one last saw a surprising
sample and what it told then, and follows the rules of ``flows.episodes``: quiet time, hysteresis, minimum duration,
rest and what ends it. Only samples near the detector's own threshold or above it are followed, which are few.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import SURPRISE_MAX, Column, Floats, Ints, Table
from flows.episodes import Lanes
from flows.policy import WORSE, cooldown_of, quiet_of

_COARSE_FROM, _COARSE_GROWTH = 10.0, 1.15
LEVELS: Floats = np.concatenate(
    [np.arange(1.0, _COARSE_FROM, 0.5), _COARSE_FROM * _COARSE_GROWTH ** np.arange(25), [SURPRISE_MAX]]
)
"""From the least threshold to the highest surprise; from one to the next the number of episodes falls threefold."""
N_LEVELS = len(LEVELS)
COLUMNS = (
    Column("lane", np.int64),  # and 1: a row of zeros is not in use
    Column("time_ms", np.int64),  # of the latest sample that was followed
    Column("rest_ms", np.int64),  # after which all is over at every level
    Column("last_ms", np.int64, N_LEVELS),  # of the latest surprising sample, 0: none
    Column("start_ms", np.int64, N_LEVELS),
    Column(
        "told", np.float64, N_LEVELS
    ),  # surprise when it was told; while it is too short for that, the peak, negative
)


class Trials:
    """What the lanes of detectors with a budget would have told, in rows for those that may still go on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.full = False
        """No row is begun from the control record that finds ``limit`` of them until one that finds fewer."""
        self.refused = 0
        self.table = Table(COLUMNS, 16)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.table["lane"]))

    def take(
        self, lanes: Lanes, lane_trial: NDArray[Any], entries: Ints, times_ms: Ints, score: Floats,
        steps_s: NDArray[Any], counts: NDArray[Any], judged: Ints,
    ) -> None:  # fmt: skip
        """Follow ``n`` verdicts.

        ``lane_trial`` (lanes,) int32 is the row of each lane, −1 for none; would-be episodes are added to ``counts``
        (budgets, levels), samples to ``judged`` (budgets,).
        """
        done = 0
        entry_lane, lane_next, lane_detector, _, policies = lanes
        whose = (entry_lane, lane_next, lane_detector, policies)
        while True:
            columns = [self.table[column.name] for column in COLUMNS]
            free = np.flatnonzero(self.table["lane"] == 0)
            done, refused = follow_trials(
                done, *columns, free, self.full, lane_trial, *whose, entries, times_ms, score, steps_s, counts, judged
            )
            self.refused += refused
            if done == len(entries):
                return
            self.table.reserve(2 * self.table.rows)

    def settle(self, lane_trial: NDArray[Any], lane_detector: NDArray[Any], log_ms: int) -> None:
        """Forget what is over by the log's time, and what belonged to lanes that are gone."""
        rows = np.flatnonzero(self.table["lane"])
        lanes = self.table["lane"][rows] - 1
        gone = (lane_trial[lanes] != rows) | (lane_detector[lanes] == -1)
        over = log_ms - self.table["time_ms"][rows] >= self.table["rest_ms"][rows]
        lane_trial[lanes[over & ~gone]] = -1
        self.table.clear(rows[over | gone])
        self.full = len(self) >= self.limit


@njit(cache=True)
def follow_trials(
    begin: int, row_lane: Ints, row_time_ms: Ints, row_rest_ms: Ints, last_ms: Ints, start_ms: Ints, told: Floats,
    free: Ints, full: bool, lane_trial: NDArray[Any],
    entry_lane: NDArray[Any], lane_next: NDArray[Any], lane_detector: NDArray[Any], policies: NDArray[Any],
    entries: Ints, times_ms: Ints, score: Floats, steps_s: NDArray[Any], counts: NDArray[Any], judged: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Follow verdicts from ``begin`` on until all are done or rows run out; gives where to go on, and rows refused."""
    used = refused = 0
    for i in range(begin, entries.shape[0]):
        if math.isnan(score[i]):
            continue
        if not room_for(entry_lane[entries[i]], lane_next, free.shape[0] - used, full):
            return i, refused
        lane = entry_lane[entries[i]]
        while lane != -1:
            policy = policies[lane_detector[lane]]
            budget = policy["budget"]
            if budget >= 0:
                judged[budget] += 1
                if score[i] >= policy["close_ratio"] * policy["trial"]:
                    row = lane_trial[lane]
                    if row == -1 and full:
                        refused += 1
                    elif row == -1:
                        row = lane_trial[lane] = free[used]
                        used += 1
                        row_lane[row] = lane + 1
                    if row != -1:
                        quiet_ms, rest_ms = quiet_of(policy, steps_s[i]), cooldown_of(policy, steps_s[i])
                        row_time_ms[row], row_rest_ms[row] = times_ms[i], max(quiet_ms, rest_ms)
                        try_levels(
                            last_ms[row], start_ms[row], told[row], counts[budget], policy, quiet_ms, rest_ms,
                            times_ms[i], score[i],
                        )  # fmt: skip
            lane = lane_next[lane]
    return entries.shape[0], refused


@njit(cache=True)
def room_for(lane: int, lane_next: NDArray[Any], rows: int, full: bool) -> bool:
    """Whether all lanes of a sample may get a row."""
    lanes = 0
    while lane != -1:
        lanes += 1
        lane = lane_next[lane]
    return full or lanes <= rows


@njit(cache=True)
def try_levels(
    last_ms: Ints, start_ms: Ints, told: Floats, counts: NDArray[Any], policy: Any, quiet_ms: int, rest_ms: int,
    time_ms: int, surprise: float,
) -> None:  # fmt: skip
    """Show a surprising sample of a lane to each threshold that it may concern."""
    for j in range(N_LEVELS):
        if LEVELS[j] < policy["trial"]:
            continue
        if policy["close_ratio"] * LEVELS[j] > surprise:
            break
        since_ms = time_ms - last_ms[j]
        if last_ms[j] == 0 or since_ms >= quiet_ms:
            rests = last_ms[j] != 0 and since_ms < rest_ms and told[j] > 0.0
            if surprise < LEVELS[j] or (rests and surprise < WORSE * told[j]):
                continue
            start_ms[j], told[j] = time_ms, 0.0
        last_ms[j] = time_ms
        if told[j] > 0.0:
            told[j] = surprise if surprise >= WORSE * told[j] else told[j]
            continue
        told[j] = min(told[j], -surprise)
        if time_ms - start_ms[j] >= policy["min_duration_ms"]:
            told[j] = -told[j]
            counts[j] += 1.0
