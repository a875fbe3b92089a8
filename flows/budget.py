"""An alarm budget: a controller that sets the threshold of a detector so that about so many episodes open in a period.

It keeps the past as a fading count of the episodes that each threshold would have opened (``flows.trials``), and takes
the one at which that past would have kept the budget: the next is then as likely to exceed it as those before it were.
Where there is no past yet, the promise of a surprise stands in, 10^−s of the samples. All of it happens at control
records and in columns, so it is a function of the partition alone. Each partition has its share of the budget.
"""

from __future__ import annotations

import math

import numpy as np

from connectors.codec.compiled import njit
from connectors.detector import Budget, Period
from flows.detectors.base import Column, Floats, Ints, Table
from flows.policy import LEAST, Policies
from flows.trials import LEVELS, N_LEVELS

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 604_800.0
PERIOD_S = {Period.HOUR: HOUR_S, Period.DAY: DAY_S, Period.WEEK: WEEK_S}
DECIDE_EVERY_MS = 60_000
LEARN_S = 6 * HOUR_S
"""So long nothing opens: young detectors are surprised by all sorts of things, and their counts say little."""
MEMORY_ALARMS, MEMORY_S = 12.0, DAY_S
"""The past fades over the time of so many alarms of the budget, but a day at least."""
YOUNG_SHARE = 0.5
"""While it is young, over this share of its age: what detectors said while they learned is soon forgotten."""
PROMISED_ALARMS, PROMISED_S = 2.0, DAY_S
"""What was promised counts as a past of so many alarms, but a day at most."""
STORM_S, STORM_SHARE = HOUR_S, 0.2
"""The alarms of one such time count at most as this share of those in memory, or as one: a storm of them says little of
what will come, and must not make the detector deaf."""
SWAY, SWAY_S, OWED_S = 0.5, 3.5 * DAY_S, WEEK_S
"""Alarms too many or too few, by the measure of ``SWAY_S`` of the budget, lower or raise it by up to this share until
they are made up; they are forgotten over ``OWED_S``."""
OWED_LEAST = 4.0
"""Where budgets are small, fewer alarms than these owed or left say nothing."""
TRIED = 32.0
"""Thresholds are on trial down to the one that would open so many times the budget."""
COLUMNS = (
    Column("past", np.float64, N_LEVELS),  # episodes that each level would have opened, fading
    Column("present", np.float64, N_LEVELS),  # … since ``present_s``
    Column("present_s", np.float64),
    Column("present_opened", np.float64),  # episodes that did open in that time
    Column("present_from", np.float64),  # the threshold when it began: what reaches it is a storm if it is much
    Column("memory_s", np.float64),  # time in ``past`` and ``present``, fading as they do
    Column("promised_s", np.float64),  # time for which the promise stands in
    Column("samples", np.float64),  # judged in ``sampled_s``, both fading
    Column("sampled_s", np.float64),
    Column("owed", np.float64),  # episodes that opened beyond the budget
    Column("age_s", np.float64),
    Column("alarms_per_s", np.float64),
    Column("judged", np.int64),  # since the last decision, as the next
    Column("opened", np.int64),
    Column("threshold", np.float64),
    Column("trial", np.float64),
)


class Budgets:
    """The budgets of a block's detectors, by the detectors' numbers."""

    def __init__(self) -> None:
        self.table = Table(COLUMNS, 1)
        self.rows: dict[int, int] = {}
        self.decided_ms = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def begin(self, number: int, budget: Budget, policies: Policies) -> None:
        """Let a detector with a budget open nothing until it has learned."""
        row = self.rows[number] = self._free.pop() if self._free else len(self.rows)
        self.table.reserve(row + 1)
        self.table["alarms_per_s"][row] = budget.alarms / PERIOD_S[budget.per]
        for name in ("threshold", "trial", "present_from"):
            self.table[name][row] = math.inf
        self._apply_one(number, row, policies)  # to write all of them for each took seconds where they are thousands

    def end(self, number: int) -> None:
        """Forget a detector, if it has a budget."""
        row = self.rows.pop(number, None)
        if row is not None:
            self.table.clear(np.array([row]))
            self._free.append(row)

    def opened(self, number: int) -> None:
        """An episode was told."""
        row = self.rows.get(number)
        if row is not None:
            self.table["opened"][row] += 1

    def decide(self, log_ms: int, partitions: int, policies: Policies) -> None:
        """Set all thresholds anew; each partition has an equal share of a budget."""
        columns, since_s = [self.table[column.name] for column in COLUMNS], (log_ms - self.decided_ms) / 1000.0
        for row in self.rows.values():
            decide(*columns, row, since_s, partitions)
        self.decided_ms = log_ms
        self.apply(policies)

    def due(self, log_ms: int) -> bool:
        """Whether thresholds are to be set: once a minute of log time."""
        return log_ms - self.decided_ms >= DECIDE_EVERY_MS

    def apply(self, policies: Policies) -> None:
        """Write thresholds where episodes and trials read them."""
        for number, row in self.rows.items():
            self._apply_one(number, row, policies)

    def _apply_one(self, number: int, row: int, policies: Policies) -> None:
        threshold = self.table["threshold"][row]
        policies["threshold"][number] = policies["least"][number] = threshold
        policies["trial"][number], policies["budget"][number] = self.table["trial"][row], row


@njit(cache=True)
def decide(
    past: Floats, present: Floats, present_s: Floats, present_opened: Floats, present_from: Floats, memory_s: Floats,
    promised_s: Floats, samples: Floats, sampled_s: Floats, owed: Floats, age_s: Floats, alarms_per_s: Floats,
    judged: Ints, opened: Ints, threshold: Floats, trial: Floats, row: int, since_s: float, partitions: int,
) -> None:  # fmt: skip
    """Take in ``since_s`` and choose the threshold of a row, and from where on thresholds are on trial.

    Time in which nothing was judged does not count.
    """
    if judged[row] == 0:
        return
    share = alarms_per_s[row] / partitions
    if samples[row] == 0.0:
        since_s = min(since_s, DECIDE_EVERY_MS / 1000.0)
        promised_s[row] = min(PROMISED_ALARMS / share, PROMISED_S)
    age_s[row] += since_s
    keep = math.exp(-since_s / memory_of(share, age_s[row]))
    samples[row] = keep * samples[row] + judged[row]
    sampled_s[row] = keep * sampled_s[row] + since_s
    memory_s[row] = keep * memory_s[row] + since_s
    promised_s[row] *= keep
    past[row] *= keep
    learns = age_s[row] <= LEARN_S
    budget = share * (promised_s[row] + memory_s[row])
    storm = max(STORM_SHARE * budget, 1.0)
    alarms = min(present_opened[row] + opened[row], storm) - min(present_opened[row], storm)
    owe(owed, row, alarms - (0.0 if learns else share * since_s), since_s, share)
    present_opened[row] += opened[row]
    judged[row] = opened[row] = 0
    expected = past[row] + np.where(present_from[row] <= LEVELS, np.minimum(present[row], storm), present[row])
    present_s[row] += since_s
    if present_s[row] >= STORM_S:
        past[row] = expected
        present[row] = present_s[row] = present_opened[row] = 0.0
        present_from[row] = threshold[row]
    expected = expected + promised_s[row] * samples[row] / sampled_s[row] * 10.0**-LEVELS
    sway = 1.0 - owed[row] / max(share * SWAY_S, OWED_LEAST)
    wanted = min(max(sway, 1.0 - SWAY), 1.0 + SWAY) * budget
    chosen = level_of(expected, wanted)
    trial[row] = max(LEAST, min(level_of(expected, TRIED * max(wanted, 1.0)), min(chosen, LEVELS[-1]) - 1.0))
    threshold[row] = math.inf if learns else chosen


@njit(cache=True)
def memory_of(share: float, age_s: float) -> float:
    """Time over which the past fades by e, in s, of a budget of ``share`` alarms a second."""
    return min(max(MEMORY_ALARMS / share, MEMORY_S), max(LEARN_S, YOUNG_SHARE * age_s))


@njit(cache=True)
def owe(owed: Floats, row: int, alarms: float, since_s: float, share: float) -> None:
    """Add alarms beyond the budget, or missing (negative), to what is owed; a week of the budget at most."""
    limit = max(share * WEEK_S, OWED_LEAST)
    owed[row] = min(max(math.exp(-since_s / OWED_S) * owed[row] + alarms, -limit), limit)


@njit(cache=True)
def level_of(expected: Floats, alarms: float) -> float:
    """The threshold that would have opened so many episodes, between levels as an exponential tail has it.

    Infinite where even the highest level would have opened more.
    """
    for j in range(N_LEVELS):
        if expected[j] <= alarms:
            if j == 0:
                return float(LEVELS[0])
            high, low = math.log(expected[j - 1]), math.log(max(expected[j], 1e-300))
            if not high > low:  # only the last bit tells them apart
                return float(LEVELS[j])
            return float(LEVELS[j - 1] + (high - math.log(alarms)) / (high - low) * (LEVELS[j] - LEVELS[j - 1]))
    return math.inf
