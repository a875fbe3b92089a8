from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import DetectorConfig
from flows.detectors.base import Scored
from flows.episode import CLOSED, ESCALATED, OPENED, REMINDED, UPDATED
from flows.episodes import EVENTS_PER_CALL, EpisodeTable, Events, Lanes
from flows.policy import POLICY, UNLIMITED, policy_of
from tests import naive
from tests.examples import examples
from tests.naive import Policy

KIND = {OPENED: "opened", UPDATED: "updated", ESCALATED: "escalated", REMINDED: "reminded", CLOSED: "closed"}


class Watched(NamedTuple):
    """Entries with their detectors, as columns and as the twin wants them."""

    lanes: Lanes
    twin: naive.Episodes


def row_of(policy: Policy) -> np.void:
    """Through a config, as an operator would write it."""
    by_chance = {"chance_per_week": policy.chance_per_week} if policy.threshold is None else {}
    return policy_of(
        DetectorConfig(
            name="n", kind="mad", selector="m", threshold=policy.threshold, **by_chance,
            quiet_s=None if policy.quiet_ms is None else policy.quiet_ms / 1000, close_ratio=policy.close_ratio,
            min_duration_s=policy.min_duration_ms / 1000, min_change=policy.min_change,
            cooldown_s=None if policy.cooldown_ms is None else policy.cooldown_ms / 1000,
        )
    )  # fmt: skip


def watched(entries: list[list[Policy]]) -> Watched:
    """One lane per detector, hung on its entry in this order."""
    detectors = [detector for entry in entries for detector in entry]
    entry_lane, lane_next, of_entry = [], [], {}
    for entry, mine in enumerate(entries):
        first = len(lane_next)
        entry_lane.append(first if mine else -1)
        lane_next += [first + i + 1 for i in range(len(mine) - 1)] + ([-1] if mine else [])
        of_entry[entry] = [(first + i, policy) for i, policy in enumerate(mine)]
    int32 = [np.array(column, np.int32) for column in (entry_lane, lane_next, range(len(detectors)))]
    policies = np.zeros(len(detectors), POLICY)
    for number, policy in enumerate(detectors):
        policies[number] = row_of(policy)
    episode = np.full(len(detectors), -1, np.int32)
    return Watched(Lanes((*int32, episode, policies)), naive.Episodes(of_entry))


def scored(scores: list[float]) -> Scored:
    score = np.array(scores, np.float64)
    return Scored(score, np.zeros(len(score)), np.full(len(score), -1.0), np.ones(len(score)))


def steps(n: int, step_s: float = 1.0) -> np.ndarray:
    return np.full(n, step_s, np.float32)


def after(n: int, seen: int = UNLIMITED) -> np.ndarray:
    return np.full(n, seen, np.int32)


def told(events: Events) -> list[naive.Event]:
    return [event_of(KIND[kind], state) for state, kind in events]


def event_of(kind: str, state: np.void) -> naive.Event:
    fields = ("lane", "start_ms", "time_ms", "sequence", "samples", "surprise", "peak_ms", "peak_surprise")
    return naive.Event(kind, *(state[name].item() for name in fields))


POLICIES = st.builds(
    Policy,
    threshold=st.sampled_from([None, 3.0, 5.0, 8.0]),
    quiet_ms=st.sampled_from([None, 1000, 5000, 90_000]),
    chance_per_week=st.sampled_from([5.0, 1000.0]),
    close_ratio=st.sampled_from([1.0, 0.8, 0.25]),
    min_duration_ms=st.sampled_from([0, 0, 900, 10_000]),
    cooldown_ms=st.sampled_from([0, 0, 5000, 120_000]),
    min_change=st.sampled_from([0.0, 0.0, 3.0]),
)
SCORES = st.one_of(st.sampled_from([math.nan, 0.0, 4.0, 5.0, 6.25, 8.0, 10.0, 300.0]), st.floats(0, 20))
PAUSES_MS, STEPS_S = st.sampled_from([1, 900, 5000, 61_000]), st.sampled_from([0.0, 0.5, 15.0])
SEEN = st.sampled_from([UNLIMITED, UNLIMITED, 0, 60, 300, 100_000])
VERDICTS = st.lists(st.tuples(st.integers(0, 2), PAUSES_MS, SCORES, SEEN, STEPS_S), max_size=60)
ENTRIES = st.tuples(*(st.lists(POLICIES, max_size=4) for _ in range(3)))


@pytest.mark.long
@examples(200)
@given(ENTRIES, VERDICTS, st.lists(st.integers(0, 60), max_size=4), st.integers(1, 4), st.sets(st.integers(0, 9)))
def test_they_agree_with_their_twin(
    entries: tuple[list[Policy], ...],
    verdicts: list[tuple[int, int, float, int, float]],
    cuts: list[int],
    limit: int,
    ends: set[int],
) -> None:
    """Batches cut anywhere; between them log time passes, quiet episodes close, the limit is looked at, lanes end."""
    w = watched(list(entries))
    table, twin = EpisodeTable(limit), w.twin
    times_ms = np.cumsum([pause for _, pause, *_ in verdicts], dtype=np.int64)
    edges = [0, *sorted(min(cut, len(verdicts)) for cut in cuts), len(verdicts)]
    for log_ms, (a, b) in enumerate(pairwise(edges)):
        part = verdicts[a:b]
        events = table.take(
            w.lanes, np.array([entry for entry, *_ in part], np.int64), times_ms[a:b], np.arange(float(b - a)),
            scored([score for _, _, score, *_ in part]), np.array([seen for *_, seen, _ in part], np.int32),
            np.array([step_s for *_, step_s in part], np.float32), 2000 * log_ms,
        )  # fmt: skip
        expected = [
            event for i, (entry, _, score, seen, step_s) in enumerate(part)
            for event in twin.take(entry, times_ms[a + i].item(), score, step_s, 2000 * log_ms, seen, float(i))
        ]  # fmt: skip
        assert told(events) == expected
        now_ms = 2000 * (log_ms + 1)
        calmed = [event_of("closed", state) for state in table.calm(w.lanes, now_ms)]
        assert sorted(calmed) == sorted(twin.calm(now_ms))
        rows = np.flatnonzero(np.isin(table.open["lane"], sorted(ends)))
        ended = [event_of("closed", state) for state in table.end(rows, w.lanes[3])]
        assert sorted(ended) == sorted(event for lane in ends for event in twin.end(lane))
        table.count()
        twin.full = len(twin) >= limit
        assert (len(table), table.full, table.refused) == (len(twin), twin.full, twin.refused)
        assert table.told == sum(episode.told for episode in twin.open.values())


@examples(60)
@given(ENTRIES, VERDICTS, st.lists(st.integers(0, 60), max_size=6))
def test_batches_may_be_cut_anywhere(
    entries: tuple[list[Policy], ...], verdicts: list[tuple[int, int, float, int, float]], cuts: list[int]
) -> None:
    def run(edges: list[int]) -> list[naive.Event]:
        w, table = watched(list(entries)), EpisodeTable(10)
        times_ms = np.cumsum([pause for _, pause, *_ in verdicts], dtype=np.int64)
        out = []
        for a, b in pairwise(edges):
            columns = [np.array(column[a:b]) for column in zip(*verdicts, strict=True)] or 5 * [np.zeros(0)]
            found, _, scores, seen, steps_s = columns
            batch = (found.astype(np.int64), times_ms[a:b], np.zeros(b - a), scored(scores.tolist()))
            out += told(table.take(w.lanes, *batch, seen.astype(np.int32), steps_s.astype(np.float32), 0))
        return out

    n = len(verdicts)
    assert run([0, *sorted(min(cut, n) for cut in cuts), n]) == run([0, n])


def follow(
    w: Watched, table: EpisodeTable, *verdicts: tuple[int, float], seen: int = UNLIMITED, step_s: float = 1.0
) -> list[naive.Event]:
    """One entry: (seconds, score) each, after so many samples."""
    times_ms = np.array([1000 * s for s, _ in verdicts], np.int64)
    zeros = np.zeros(len(verdicts), np.int64)
    scores = scored([score for _, score in verdicts])
    n = len(verdicts)
    return told(table.take(w.lanes, zeros, times_ms, zeros.astype(float), scores, after(n, seen), steps(n, step_s), 0))


def test_of_samples_that_surprise_alike_the_farthest_from_the_expected_is_the_peak() -> None:
    """Surprises end at 300: a first step out and all that is beyond it surprise alike."""
    w, table = watched([[Policy(5.0, 10_000)]]), EpisodeTable(10)
    times_ms, values = np.arange(5) * 1000, np.array([-2.0, 7.0, 30.0, 9.0, 0.0])
    scores = scored([300.0, 300.0, 300.0, 300.0, 0.0])
    ((opened, _),) = table.take(w.lanes, np.zeros(5, np.int64), times_ms, values, scores, after(5), steps(5), 0)
    assert (opened["peak_value"], opened["direction"]) == (-2.0, -1)
    (state,) = table.calm(w.lanes, 60_000)
    assert (state["peak_value"], state["peak_ms"], state["direction"], state["peak_size"]) == (30.0, 2000, 1, 30.0)


def test_what_is_near_the_expected_is_no_anomaly_however_surprising() -> None:
    """Neither begins an episode nor keeps one open, on either side."""
    w, table = watched([[Policy(5.0, 2_000, min_change=7.0)]]), EpisodeTable(10)
    values = np.array([6.9, -6.9, 7.0, -8.0, 6.9, -6.9, 6.9, 0.0])
    times_ms, scores = np.arange(8) * 1000, scored(8 * [300.0])
    events = told(table.take(w.lanes, np.zeros(8, np.int64), times_ms, values, scores, after(8), steps(8), 0))
    assert [(e.kind, e.start_ms, e.time_ms, e.samples) for e in events] == [
        ("opened", 2000, 2000, 1),
        ("closed", 2000, 3000, 2),
    ]


def test_an_episode_opens_at_the_threshold_and_closes_after_its_quiet_time() -> None:
    w, table = watched([[Policy(5.0, 10_000)]]), EpisodeTable(10)
    events = follow(w, table, (0, 4.99), (1, 5.0), (2, 5.1), (10, 0.0), (11, 5.2), (20, 0.0), (21, 0.0))
    assert [(e.kind, e.start_ms, e.time_ms, e.samples) for e in events] == [
        ("opened", 1000, 1000, 1),
        ("closed", 1000, 11_000, 3),
    ]


def test_an_episode_escalates_by_a_quarter_over_what_was_told_and_is_told_each_minute_else() -> None:
    w, table = watched([[Policy(5.0, 90_000)]]), EpisodeTable(10)
    verdicts = ((0, 8.0), (1, 9.9), (2, 10.0), (61, 6.0), (62, 12.4), (122, 12.5), (123, 12.5))
    assert [(e.kind, e.time_ms // 1000, e.sequence, e.peak_surprise) for e in follow(w, table, *verdicts)] == [
        ("opened", 0, 0, 8.0),
        ("escalated", 2, 1, 10.0),
        ("updated", 62, 2, 12.4),
        ("escalated", 122, 3, 12.5),  # a quarter over the 10 of the last escalation, not over an update's peak
    ]


def test_of_an_episode_that_goes_on_people_are_reminded_after_each_cool_down() -> None:
    w, table = watched([[Policy(5.0, 90_000, cooldown_ms=100_000)]]), EpisodeTable(10)
    verdicts = ((0, 8.0), (50, 5.0), (99, 5.0), (101, 9.0), (140, 10.0), (202, 6.0), (241, 6.0))
    assert kinds(follow(w, table, *verdicts)) == [
        ("opened", 0), ("updated", 99), ("reminded", 101), ("escalated", 140), ("updated", 202), ("reminded", 241),
    ]  # fmt: skip


def test_what_does_not_last_cannot_escalate() -> None:
    w, table = watched([[Policy(5.0, 10_000, min_duration_ms=3000)]]), EpisodeTable(9)
    assert kinds(follow(w, table, (0, 6.0), (1, 9.0), (3, 5.0), (4, 11.2), (5, 11.25))) == [
        ("opened", 3),
        ("escalated", 5),
    ]


def test_each_detector_of_an_entry_has_its_own_episode() -> None:
    w, table = watched([[Policy(5.0, 10_000), Policy(8.0, 10_000)]]), EpisodeTable(10)
    assert [(e.kind, e.lane) for e in follow(w, table, (0, 7.0), (1, 8.0))] == [("opened", 0), ("opened", 1)]


@pytest.mark.parametrize("lanes", [EVENTS_PER_CALL, 5 * EVENTS_PER_CALL])
def test_one_sample_may_stir_more_lanes_than_one_call_has_room_for(lanes: int) -> None:
    w, table = watched([[Policy(5.0, 1000)] * lanes]), EpisodeTable(10**6)
    assert [e.kind for e in follow(w, table, (0, 6.0))] == ["opened"] * lanes
    assert [e.kind for e in follow(w, table, (5, 6.0))] == ["closed", "opened"] * lanes
    assert len(table) == lanes


def test_a_storm_of_events_is_told_in_order() -> None:
    w, table = watched([[Policy(5.0, 1000)]]), EpisodeTable(10)
    events = follow(w, table, *((2 * s, 6.0) for s in range(2000)))
    assert [e.kind for e in events] == ["opened"] + ["closed", "opened"] * 1999
    assert [e.start_ms for e in events if e.kind == "opened"] == [4000 * s // 2 for s in range(2000)]
    assert len(table.open) <= 2 * EVENTS_PER_CALL, "rows of closed episodes are used again within a batch"


def test_at_the_limit_samples_are_refused_and_counted_until_there_is_room() -> None:
    w, table = watched([[Policy(5.0, 10_000)] * 3, [Policy(5.0, 10_000)]]), EpisodeTable(3)
    follow(w, table, (0, 6.0))
    table.count()
    other = (
        w.lanes,
        np.ones(2, np.int64),
        np.array([1000, 2000]),
        np.zeros(2),
        scored([9.0, 9.0]),
        after(2),
        steps(2),
        0,
    )
    assert told(table.take(*other)) == []
    assert table.refused == 2
    assert [e.kind for e in follow(w, table, (3, 9.0))] == ["escalated"] * 3
    table.end(np.array([0]), w.lanes[3])
    table.count()
    assert [e.kind for e in told(table.take(*other))] == ["opened"]


def test_rows_of_closed_episodes_are_used_again() -> None:
    w, table = watched([[Policy(5.0, 1000)]]), EpisodeTable(10)
    for step in range(200):
        follow(w, table, (10 * step, 6.0))
    assert len(table.open) == 64
    assert len(table) == 1


HOUR_S = 3600


def kinds(events: list[naive.Event]) -> list[tuple[str, int]]:
    return [(event.kind, event.time_ms // 1000) for event in events]


def test_an_open_episode_goes_on_at_a_share_of_the_threshold() -> None:
    verdicts = ((0, 8.0), (8, 4.1), (16, 4.1), (24, 3.9), (32, 4.1))
    firm, lenient = Policy(8.0, 10_000), Policy(8.0, 10_000, close_ratio=0.5)
    assert kinds(follow(watched([[firm]]), EpisodeTable(9), *verdicts)) == [("opened", 0), ("closed", 0)]
    w, table = watched([[lenient]]), EpisodeTable(9)
    assert kinds(follow(w, table, *verdicts)) == [("opened", 0), ("closed", 16)]
    assert kinds(follow(w, table, (33, 7.9), (34, 8.0))) == [("opened", 34)], "none is begun below the threshold"


def test_what_does_not_last_is_never_told() -> None:
    w, table = watched([[Policy(5.0, 10_000, min_duration_ms=3000)]]), EpisodeTable(9)
    assert follow(w, table, (0, 9.0), (1, 9.0), (20, 0.0)) == []
    assert len(table) == 0
    events = follow(w, table, (30, 9.0), (32, 6.0), (33, 6.0), (60, 0.0))
    assert [(e.kind, e.start_ms, e.time_ms, e.sequence, e.samples) for e in events] == [
        ("opened", 30_000, 33_000, 0, 3),
        ("closed", 30_000, 33_000, 1, 3),
    ]


def test_a_lane_rests_after_an_episode_unless_something_worse_comes() -> None:
    w, table = watched([[Policy(5.0, 10_000, cooldown_ms=100_000)]]), EpisodeTable(9)
    verdicts = ((0, 8.0), (20, 9.9), (40, 5.0), (60, 10.0), (75, 12.4), (159, 12.4), (161, 5.0))
    events = follow(w, table, *verdicts)
    assert kinds(events) == [("opened", 0), ("closed", 0), ("opened", 60), ("closed", 60), ("opened", 161)]
    assert table.told == len(table) == 1


def test_what_comes_in_a_rest_is_compared_with_what_was_told_last() -> None:
    w, table = watched([[Policy(5.0, 10_000, cooldown_ms=100_000)]]), EpisodeTable(9)
    events = follow(w, table, (0, 8.0), (1, 10.0), (2, 12.0), (40, 12.4), (60, 12.5))
    assert kinds(events) == [("opened", 0), ("escalated", 1), ("closed", 2), ("opened", 60)]


def test_rest_ends_by_the_log_clock_too() -> None:
    w, table = watched([[Policy(5.0, 10_000, cooldown_ms=100_000)]]), EpisodeTable(9)
    follow(w, table, (0, 8.0))
    assert [table.calm(w.lanes, ms).size for ms in (9_999, 10_000, 99_999)] == [0, 1, 0]
    assert (table.told, len(table)) == (0, 1)
    table.calm(w.lanes, 100_000)
    assert len(table) == 0
    assert kinds(follow(w, table, (30, 5.0))) == [("opened", 30)]


def test_quiet_time_and_rest_follow_the_cadence() -> None:
    w = watched([[Policy(5.0, None, cooldown_ms=None)]])
    for step_s, closes_s in ((1.0, 60), (10.0, 60), (300.0, 1800)):
        table = EpisodeTable(9)
        w.lanes[3][:] = -1
        times_ms = np.array([0, 1000 * closes_s - 1, 2000 * closes_s - 1])
        scores = scored([9.0, 5.0, 0.0])
        events = table.take(
            w.lanes, np.zeros(3, np.int64), times_ms, np.zeros(3), scores, after(3), steps(3, step_s), 0
        )
        assert [(e.kind, e.samples) for e in told(events) if e.kind != "updated"] == [("opened", 1), ("closed", 2)]


def test_a_threshold_by_chance_follows_the_cadence() -> None:
    """One a week of samples that come every 6.048 s is 1 in 100,000."""
    w = watched([[Policy(None, 10_000, chance_per_week=1.0)]])
    for step_s, score, opens in ((6.048, 4.99, False), (6.048, 5.01, True), (60.48, 4.01, True), (0.0, 300.0, False)):
        w.lanes[3][:] = -1
        one = np.zeros(1, np.int64)
        events = EpisodeTable(9).take(w.lanes, one, one, np.zeros(1), scored([score]), after(1), steps(1, step_s), 0)
        assert len(told(events)) == opens


ONE_IN_100_000 = Policy(None, 60_000, chance_per_week=1.0, cooldown_ms=100_000)
"""At a sample every 6.048 s: a threshold of 5."""


def test_a_sample_counts_no_more_than_its_past_bears_out_and_those_in_a_row_add_up() -> None:
    """After 99 samples the ceiling is 3: no sample alone, but any two in a row."""
    w, table = watched([[ONE_IN_100_000]]), EpisodeTable(9)
    assert follow(w, table, (0, 300.0), (6, 2.9), (12, 300.0), (18, 0.0), seen=99, step_s=6.048) == []
    assert len(table) == 0, "what was only suspected is forgotten"
    (opened,) = follow(w, table, (24, 3.1), (30, 3.1), seen=99, step_s=6.048)
    assert (opened.kind, opened.start_ms, opened.samples) == ("opened", 24_000, 2)
    assert kinds(follow(w, table, (36, 3.0), (100, 0.0), seen=99, step_s=6.048)) == [("closed", 36)]


@pytest.mark.parametrize(("seen", "opens"), [(9_998, False), (10_000, True), (UNLIMITED, True)])
def test_one_sample_is_enough_once_so_much_was_seen(seen: int, opens: bool) -> None:
    events = follow(watched([[ONE_IN_100_000]]), EpisodeTable(9), (0, 5.1), seen=seen, step_s=6.048)
    assert [event.kind for event in events] == ["opened"] * opens


def test_a_stated_threshold_has_no_ceiling() -> None:
    assert kinds(follow(watched([[Policy(8.0)]]), EpisodeTable(9), (0, 8.0), seen=0)) == [("opened", 0)]


def test_a_rest_is_ended_by_samples_in_a_row_as_well() -> None:
    w, table = watched([[ONE_IN_100_000]]), EpisodeTable(9)
    flashes = ((0, 4.0), (6, 4.0), (70, 300.0), (76, 0.0), (82, 300.0), (88, 4.9))
    assert kinds(follow(w, table, *flashes, seen=99, step_s=6.048)) == [("opened", 6), ("closed", 6)]
    (opened,) = follow(w, table, (94, 5.0), (100, 5.0), seen=99, step_s=6.048)
    assert (opened.kind, opened.start_ms) == ("opened", 100_000)
