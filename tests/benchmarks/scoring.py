"""How good alarms and scores are against labels: event recall at a false-alarm budget, as shipped, and Numenta's score.

An *event* is a run of label 1. An alarm hits an event from the event's first point until ``slack`` points after its
last, or until the next event begins; any other alarm is false. No point is adjusted: many alarms in one event hit it
once, and a false alarm counts each time.

Numenta's score: Lavin & Ahmad (2015), *Evaluating real-time anomaly detection algorithms – the Numenta anomaly
benchmark*, and NAB's ``sweeper.py``; standard profile (true positive 1, false positive 0.11, false negative 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEEK_MS = 7 * 86_400_000
REST_POINTS = 60
"""After an alarm a series stays silent for so many points …"""
REST_GROWTH = 1.5
"""… unless its score reaches this multiple of the alarm's. Both are part of the measure, not of the product."""
FALSE_POSITIVE = 0.11
"""Weight of a false positive in the standard profile of NAB."""

Alarms = Callable[["Series"], NDArray[np.int64]]


@dataclass(frozen=True)
class Series:
    """The scored part of one series: (n,) each; scores that are missing are 0."""

    label: NDArray[np.bool_]
    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    weeks: float
    slack: int

    @classmethod
    def cut(
        cls, times_ms: NDArray[np.float64], label: NDArray[np.float64], score: NDArray[np.float64],
        alert: NDArray[np.float64], skip: float, slack: int,
    ) -> Series:  # fmt: skip
        """Leave out the first ``skip`` points, or that fraction of them if it is below 1."""
        begin = int(skip * len(times_ms)) if skip < 1 else int(skip)
        weeks = (times_ms[-1] - times_ms[begin]) / WEEK_MS
        return cls(label[begin:] == 1, np.nan_to_num(score[begin:]), alert[begin:] == 1, float(weeks), slack)

    @cached_property
    def events(self) -> list[tuple[int, int]]:
        """First point and the one after the last, of each event."""
        edges = np.flatnonzero(np.diff(self.label, prepend=False, append=False))
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def hit_by(self, alarms: NDArray[np.int64]) -> tuple[set[int], int]:
        """Which events these alarms hit, by number, and how many hit none."""
        begins, ends = np.array(self.events, np.int64).reshape(-1, 2).T
        latest = np.searchsorted(begins, alarms, side="right") - 1  # the event that began last before each alarm
        hits = latest >= 0
        hits[hits] = alarms[hits] < ends[latest[hits]] + self.slack
        return set(latest[hits].tolist()), int((~hits).sum())


class Counted(NamedTuple):
    """What alarms are worth over all series of a set."""

    recall: float
    precision: float
    false_per_series_week: float
    alarms: int


def count(series: Sequence[Series], alarms_of: Alarms) -> Counted:
    """Event recall, precision of alarms and false alarms per series-week."""
    events = hit = false = alarms = 0
    for one in series:
        found = alarms_of(one)
        hits, misses = one.hit_by(found)
        events, hit = events + len(one.events), hit + len(hits)
        alarms, false = alarms + len(found), false + misses
    weeks = sum(one.weeks for one in series)
    return Counted(hit / max(events, 1), (alarms - false) / max(alarms, 1), false / weeks, alarms)


def shipped(series: Series) -> NDArray[np.int64]:
    """Alarms as they came."""
    return np.flatnonzero(series.alert)


def rested(series: Series, threshold: float) -> NDArray[np.int64]:
    """Alarms that a threshold on the score would give, with the rest that follows each."""
    alarms: list[int] = []
    for at in np.flatnonzero(series.score >= threshold).tolist():
        resting = alarms and at - alarms[-1] <= REST_POINTS
        if not resting or series.score[at] > REST_GROWTH * series.score[alarms[-1]]:
            alarms.append(at)
    return np.array(alarms, np.int64)


def at_budget(series: Sequence[Series], false_per_series_week: float) -> Counted:
    """The same at the lowest threshold, one for all series, whose false alarms keep the budget; found by bisection."""
    thresholds = np.unique(np.concatenate([one.score[one.score > 0] for one in series]))
    best = Counted(0.0, 0.0, 0.0, 0)
    low, high = 0, len(thresholds)
    while low < high:
        middle = (low + high - 1) // 2
        threshold = float(thresholds[middle])
        counted = count(series, lambda one, threshold=threshold: rested(one, threshold))  # type: ignore[misc]
        if counted.false_per_series_week <= false_per_series_week:
            best, high = counted, middle
        else:
            low = middle + 1
    return best


class Nab(NamedTuple):
    """Numenta's score, 0 for silence, 100 for perfection."""

    best_threshold: float
    shipped: float


def nab(series: Sequence[Series]) -> Nab:
    """Over all series together, as NAB does: at the best single threshold, and with the alarms as they came."""
    windows = sum(len(one.events) for one in series)
    worths = [_worths(one) for one in series]
    thresholds = np.unique(np.concatenate([one.score for one in series]))
    points = [_Sweep(one.score, *worth) for one, worth in zip(series, worths, strict=True)]
    raw = np.sum([sweep.totals(thresholds) for sweep in points], axis=0)
    alerts = [_Sweep(one.alert.astype(float), *worth) for one, worth in zip(series, worths, strict=True)]
    as_shipped = sum(float(sweep.totals(np.array([1.0]))[0]) for sweep in alerts)
    best = max(float(raw.max()), -windows)
    return Nab(*(100.0 * (total + windows) / (2.0 * windows) for total in (best, as_shipped)))


def _worths(series: Series) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What a detection at each point is worth, and the window it lies in, −1 for none."""
    worth = np.full(len(series.label), -FALSE_POSITIVE)
    window = np.full(len(series.label), -1)
    begins = [begin for begin, _ in series.events]
    for number, (begin, end) in enumerate(series.events):
        width = end - begin
        for at in range(begin, end):
            worth[at] = _sigmoid(-(end - at) / width) / _sigmoid(-1.0)
            window[at] = number
        following = begins[number + 1] if number + 1 < len(begins) else len(series.label)
        for at in range(end, following):
            worth[at] = FALSE_POSITIVE * _sigmoid((at - end + 1) / max(width - 1, 1))
    return worth, window


def _sigmoid(position: float) -> float:
    """NAB's scaled sigmoid: position −1 is the begin of the window, 0 its end."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


class _Sweep:
    """Raw score of one series for every threshold: what a point adds counts for all thresholds up to its score."""

    def __init__(self, score: NDArray[np.float64], worth: NDArray[np.float64], window: NDArray[np.int64]) -> None:
        outside = window < 0
        scores, gains = [score[outside]], [worth[outside]]
        for number in range(int(window.max(initial=-1)) + 1):
            inside = np.flatnonzero(window == number)
            inside = inside[np.argsort(-score[inside], kind="stable")]
            best = np.maximum.accumulate(worth[inside])
            scores.append(score[inside])
            gains.append(np.diff(best, prepend=-1.0))  # an undetected window is worth −1
        self._windows = int(window.max(initial=-1)) + 1
        every = np.concatenate(scores)
        order = np.argsort(every, kind="stable")
        self._scores = every[order]
        self._from = np.append(np.cumsum(np.concatenate(gains)[order][::-1])[::-1], 0.0)

    def totals(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """(thresholds,) raw scores."""
        found: NDArray[np.float64] = self._from[np.searchsorted(self._scores, thresholds)] - self._windows
        return found
