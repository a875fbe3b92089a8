from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import DetectorConfig
from flows.episodes import Lanes
from flows.policy import POLICY, policy_of
from flows.trials import LEVELS, N_LEVELS, Trials
from tests import naive
from tests.examples import examples
from tests.naive import Policy

TRIAL_FROM = 2.0


class Tried(NamedTuple):
    """Lanes of detectors with budgets, and what is counted of them."""

    trials: Trials
    lanes: Lanes
    lane_trial: np.ndarray
    counts: np.ndarray
    judged: np.ndarray

    def take(self, entries: list[int], times_ms: np.ndarray, scores: list[float], steps_s: list[float]) -> None:
        columns = (np.array(entries, np.int64), times_ms, np.array(scores), np.array(steps_s, np.float32))
        self.trials.take(self.lanes, self.lane_trial, *columns, self.counts, self.judged)

    def settle(self, log_ms: int) -> None:
        self.trials.settle(self.lane_trial, self.lanes[2], log_ms)


def tried(policies: list[Policy], limit: int = 100) -> Tried:
    """One entry with a lane of each detector."""
    n = len(policies)
    rows = np.zeros(n, POLICY)
    for number, policy in enumerate(policies):
        rows[number] = policy_of(
            DetectorConfig(
                name="n", kind="mad", selector="m", threshold=8.0, close_ratio=policy.close_ratio,
                quiet_s=None if policy.quiet_ms is None else policy.quiet_ms / 1000,
                min_duration_s=policy.min_duration_ms / 1000, cooldown_s=(policy.cooldown_ms or 0) / 1000,
            )
        )  # fmt: skip
        rows[number]["budget"], rows[number]["trial"] = number, TRIAL_FROM
    after = np.array([*range(1, n), -1], np.int32)
    none = np.full(n, -1, np.int32)
    lanes = Lanes((np.zeros(1, np.int32), after, np.arange(n, dtype=np.int32), none, rows))
    return Tried(Trials(limit), lanes, none.copy(), np.zeros((n, N_LEVELS)), np.zeros(n, np.int64))


POLICIES = st.builds(
    Policy,
    quiet_ms=st.sampled_from([None, 1000, 5000, 90_000]),
    close_ratio=st.sampled_from([1.0, 0.8, 0.25]),
    min_duration_ms=st.sampled_from([0, 0, 900, 10_000]),
    cooldown_ms=st.sampled_from([0, 0, 5000, 120_000]),
)
SCORES = st.one_of(st.sampled_from([math.nan, 0.0, 2.0, 4.0, 5.0, 6.25, 10.0, 300.0]), st.floats(0, 20))
VERDICTS = st.lists(st.tuples(st.sampled_from([1, 900, 5000, 61_000]), SCORES), max_size=60)


@examples(200)
@given(
    st.lists(POLICIES, min_size=1, max_size=3), VERDICTS, st.sampled_from([0.5, 15.0]),
    st.lists(st.integers(0, 60), max_size=4),
)  # fmt: skip
def test_each_level_counts_what_a_detector_with_that_threshold_would_have_opened(
    policies: list[Policy], verdicts: list[tuple[int, float]], step_s: float, cuts: list[int]
) -> None:
    """The cadence is that of the latest surprising sample, so it does not change here."""
    t = tried(policies)
    times_ms = np.cumsum([1000, *(pause for pause, _ in verdicts)], dtype=np.int64)[1:]
    n = len(verdicts)
    for a, b in pairwise([0, *sorted(min(cut, n) for cut in cuts), n]):
        t.take([0] * (b - a), times_ms[a:b], [score for _, score in verdicts[a:b]], [step_s] * (b - a))
    for number, policy in enumerate(policies):
        for level, count in zip(LEVELS.tolist(), t.counts[number].tolist(), strict=True):
            one = Policy(level, policy.quiet_ms, 5.0, policy.close_ratio, policy.min_duration_ms, policy.cooldown_ms)
            twin = naive.Episodes({0: [(0, one)]})
            events = [
                event for time_ms, (_, score) in zip(times_ms.tolist(), verdicts, strict=True)
                for event in twin.take(0, time_ms, score, step_s, 0)
            ]  # fmt: skip
            assert count == (sum(e.kind == "opened" for e in events) if level >= TRIAL_FROM else 0)
        assert t.judged[number] == sum(not math.isnan(score) for _, score in verdicts)


def test_rows_are_given_back_when_all_is_over_at_every_level() -> None:
    t = tried([Policy(quiet_ms=10_000, cooldown_ms=60_000), Policy(quiet_ms=10_000)])
    t.take([0], np.array([1000]), [5.0], [1.0])
    assert len(t.trials) == 2
    t.settle(11_000)
    assert (len(t.trials), t.lane_trial.tolist()[1]) == (1, -1)
    t.settle(61_000)
    assert len(t.trials) == 0


def test_a_row_of_a_lane_that_is_gone_is_not_that_of_the_next_one_with_its_number() -> None:
    t = tried([Policy(quiet_ms=10_000)])
    t.take([0], np.array([1000]), [5.0], [1.0])
    t.lane_trial[0] = -1  # as a lane that is hung anew
    t.settle(1000)
    assert len(t.trials) == 0
    t.take([0], np.array([2000]), [5.0], [1.0])
    t.lanes[2][0] = -1  # its detector went away
    t.settle(2000)
    assert len(t.trials) == 0


def test_at_the_limit_no_row_is_begun_and_what_is_not_counted_is() -> None:
    t = tried([Policy(quiet_ms=10_000)] * 2, limit=1)
    t.lanes[0][0] = 1  # only the second lane
    t.take([0], np.array([1000]), [5.0], [1.0])
    t.settle(1000)
    t.lanes[0][0] = 0
    t.take([0], np.array([2000]), [9.0], [1.0])
    assert t.trials.refused == 1
    assert (t.counts[0].sum(), t.counts[1].sum()) == (0, np.count_nonzero((LEVELS >= 2.0) & (LEVELS <= 9.0)))


def test_more_lanes_than_there_is_room_for_are_followed_all() -> None:
    t = tried([Policy(quiet_ms=10_000)] * 100, limit=1000)
    t.take([0, 0], np.array([1000, 2000]), [5.0, 5.0], [1.0, 1.0])
    assert len(t.trials) == 100
    assert (t.counts[:, LEVELS == 5.0] == 1).all()
    assert (t.judged == 2).all()
