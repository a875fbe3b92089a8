"""The measure of quality, by examples whose figures can be found by hand, and against slow, obvious twins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.benchmarks.scoring import FALSE_POSITIVE, WEEK_MS, Series, at_budget, count, nab, rested, shipped


def series(
    n: int, events: list[tuple[int, int]], scores: dict[int, float] | None = None, alarms: tuple[int, ...] = (),
    slack: int = 2, weeks: float = 1.0,
) -> Series:  # fmt: skip
    label, score, alert = np.zeros(n), np.zeros(n), np.zeros(n)
    for begin, end in events:
        label[begin:end] = 1
    for at, value in (scores or {}).items():
        score[at] = value
    alert[list(alarms)] = 1
    times_ms = np.linspace(0.0, weeks * WEEK_MS, n)
    return Series.cut(times_ms, label, score, alert, 0, slack)


@pytest.mark.parametrize(
    ("alarm", "hit"), [(4, None), (5, 0), (7, 0), (9, 0), (10, None), (12, 1), (13, 2), (14, 2), (15, 2), (16, None)]
)
def test_an_alarm_hits_from_the_first_point_until_slack_after_the_last(alarm: int, hit: int | None) -> None:
    """Events are [5, 8), [11, 12) and [13, 14): the slack of the second ends where the third begins."""
    one = series(20, [(5, 8), (11, 12), (13, 14)])
    assert one.events == [(5, 8), (11, 12), (13, 14)]
    assert one.hit_by(np.array([alarm])) == (set() if hit is None else {hit}, int(hit is None))


def test_as_shipped() -> None:
    """Two alarms in one event hit it once; each false one counts."""
    one = series(100, [(10, 20), (50, 60)], alarms=(11, 12, 30, 40, 41), weeks=2.0)
    other = series(100, [], alarms=(5,), weeks=1.0)
    counted = count([one, other], shipped)
    assert counted == (0.5, pytest.approx(2 / 6), pytest.approx(4 / 3), 6)


def test_the_beginning_is_left_out() -> None:
    n = 100
    times_ms = WEEK_MS / 10 * np.arange(n)
    label = np.isin(np.arange(n), (5, 50)).astype(float)
    nothing = np.full(n, np.nan)
    for skip in (20, 0.2):
        one = Series.cut(times_ms, label, nothing, nothing, skip, 2)
        assert one.events == [(30, 31)]
        assert one.weeks == pytest.approx(7.9)
        assert not one.score.any()
        assert not one.alert.any()


def test_a_series_rests_after_an_alarm_unless_its_score_grows_by_half() -> None:
    scores = {10: 4.0, 11: 6.0, 12: 6.1, 13: 9.1, 14: 9.2, 74: 9.0, 75: 5.0, 200: 4.0, 260: 5.0, 261: 3.9, 262: 4.0}
    one = series(300, [], scores)
    assert rested(one, 4.0).tolist() == [10, 12, 14, 75, 200, 262]
    assert rested(one, 6.1).tolist() == [12, 14]


def test_the_budget_chooses_the_threshold() -> None:
    """False alarms at 9 and 5, events at 8, 6 and 4: one false alarm a week lets 8 and 6 through, none nothing."""
    one = series(1000, [(200, 201), (400, 401), (600, 601)], {100: 9.0, 200: 8.0, 400: 6.0, 500: 5.0, 600: 4.0})
    assert at_budget([one], 1.0).recall == pytest.approx(2 / 3)
    assert at_budget([one], 2.0).recall == 1.0
    assert at_budget([one], 0.2).recall == 0.0
    assert at_budget([one], 1.0).false_per_series_week == 1.0
    assert at_budget([series(10, [(1, 2)])], 1.0).recall == 0.0


def test_numenta_on_single_detections() -> None:
    """Silence 0, the first point of each window 100, later in the window less, a far false positive costs 0.11."""
    window = [(100, 140)]
    assert nab([series(400, window)]).shipped == 0.0
    assert nab([series(400, window, alarms=(100,))]).shipped == pytest.approx(100.0)
    later = nab([series(400, window, alarms=(120,))]).shipped
    assert later == pytest.approx(50 * (1 + (2 / (1 + math.exp(-2.5)) - 1) / (2 / (1 + math.exp(-5)) - 1)))
    assert nab([series(400, window, alarms=(100, 120, 139))]).shipped == pytest.approx(100.0), "the best one counts"
    assert nab([series(400, window, alarms=(50, 100))]).shipped == pytest.approx(100.0 - 50 * FALSE_POSITIVE)
    assert nab([series(400, window, alarms=(100, 390))]).shipped == pytest.approx(100.0 - 50 * FALSE_POSITIVE)
    assert nab([series(400, window, alarms=(100, 140))]).shipped > 99.0, "just past the window costs next to nothing"


def naive_nab(all_series: list[Series], threshold: float) -> float:
    raw, windows = 0.0, 0
    for one in all_series:
        windows += len(one.events)
        detected = [at for at in range(len(one.label)) if one.score[at] >= threshold]
        for begin, end in one.events:
            worths = [sigmoid(-(end - at) / (end - begin)) / sigmoid(-1) for at in detected if begin <= at < end]
            raw += max(worths, default=-1.0)
        for at in detected:
            before = [(begin, end) for begin, end in one.events if begin <= at]
            if not before:
                raw -= FALSE_POSITIVE
            elif at >= before[-1][1]:
                begin, end = before[-1]
                raw += FALSE_POSITIVE * sigmoid((at - end + 1) / max(end - begin - 1, 1))
    return 100 * (raw + windows) / (2 * windows)


def sigmoid(x: float) -> float:
    return -1.0 if x > 3 else 2 / (1 + math.exp(5 * x)) - 1


@pytest.mark.parametrize("seed", range(5))
def test_numenta_against_its_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    every = []
    for _ in range(3):
        n = 300
        label = np.zeros(n)
        for begin in rng.integers(0, n, 3).tolist():
            label[begin : begin + int(rng.integers(1, 40))] = 1
        score = np.round(rng.exponential(2.0, n) + 3 * label * rng.random(n), 1)
        every.append(Series.cut(np.linspace(0, WEEK_MS, n), label, score, (score > 5).astype(float), 0, 0))
    thresholds = sorted({value for one in every for value in one.score.tolist()})
    found = nab(every)
    silent = 0.0
    assert found.best_threshold == pytest.approx(max(silent, *(naive_nab(every, value) for value in thresholds)))
    assert found.shipped == pytest.approx(naive_nab(every, 5.05))
