from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.detectors.base import Scored
from flows.episodes import CLOSED, EVENTS_PER_CALL, OPENED, UPDATED, EpisodeTable, Events, Lanes
from tests import naive

KIND = {OPENED: "opened", UPDATED: "updated", CLOSED: "closed"}


class Detector(NamedTuple):
    threshold: float
    quiet_ms: int


class Watched(NamedTuple):
    """Entries with their detectors, as columns and as the twin wants them."""

    lanes: Lanes
    quiet_ms: np.ndarray
    lane_detector: np.ndarray
    twin: naive.Episodes


def watched(entries: list[list[Detector]]) -> Watched:
    """One lane per detector, hung on its entry in this order."""
    detectors = [detector for entry in entries for detector in entry]
    entry_lane, lane_next, of_entry = [], [], {}
    for entry, mine in enumerate(entries):
        first = len(lane_next)
        entry_lane.append(first if mine else -1)
        lane_next += [first + i + 1 for i in range(len(mine) - 1)] + ([-1] if mine else [])
        of_entry[entry] = [(first + i, d.threshold, d.quiet_ms) for i, d in enumerate(mine)]
    int32 = [np.array(column, np.int32) for column in (entry_lane, lane_next, range(len(detectors)))]
    thresholds = np.array([d.threshold for d in detectors], np.float64)
    quiet_ms = np.array([d.quiet_ms for d in detectors], np.int64)
    episode = np.full(len(detectors), -1, np.int32)
    return Watched(Lanes((*int32, episode, thresholds, quiet_ms)), quiet_ms, int32[2], naive.Episodes(of_entry))


def scored(scores: list[float]) -> Scored:
    score = np.array(scores, np.float64)
    return Scored(score, np.zeros(len(score)), np.full(len(score), -1.0), np.ones(len(score)))


def told(events: Events) -> list[naive.Event]:
    return [event_of(KIND[kind], state) for state, kind in events]


def event_of(kind: str, state: np.void) -> naive.Event:
    fields = ("lane", "start_ms", "time_ms", "sequence", "samples", "surprise", "peak_ms", "peak_surprise")
    return naive.Event(kind, *(state[name].item() for name in fields))


DETECTORS = st.lists(
    st.builds(Detector, st.sampled_from([3.0, 5.0, 8.0]), st.sampled_from([1000, 5000, 90_000])), max_size=4
)
SCORES = st.one_of(st.sampled_from([math.nan, 0.0, 4.0, 5.0, 8.0, 300.0]), st.floats(0, 20))
VERDICTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 900, 5000, 61_000]), SCORES), max_size=60)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.tuples(DETECTORS, DETECTORS, DETECTORS), VERDICTS, st.lists(st.integers(0, 60), max_size=4), st.integers(1, 4)
)
def test_they_agree_with_their_twin(
    entries: tuple[list[Detector], ...], verdicts: list[tuple[int, int, float]], cuts: list[int], limit: int
) -> None:
    """Batches cut anywhere; between them log time passes, quiet episodes close and the limit is looked at."""
    w = watched(list(entries))
    table, twin = EpisodeTable(limit), w.twin
    times_ms = np.cumsum([step for _, step, _ in verdicts], dtype=np.int64)
    edges = [0, *sorted(min(cut, len(verdicts)) for cut in cuts), len(verdicts)]
    for log_ms, (a, b) in enumerate(pairwise(edges)):
        part = verdicts[a:b]
        events = table.take(
            w.lanes, np.array([entry for entry, _, _ in part], np.int64), times_ms[a:b], np.arange(float(b - a)),
            scored([score for _, _, score in part]), 2000 * log_ms,
        )  # fmt: skip
        expected = [
            event for (entry, _, score), time_ms in zip(part, times_ms[a:b].tolist(), strict=True)
            for event in twin.take(entry, time_ms, score, 2000 * log_ms)
        ]  # fmt: skip
        assert told(events) == expected
        now_ms = 2000 * (log_ms + 1)
        rows = table.quiet(w.lane_detector, w.quiet_ms, now_ms)
        quiet = [lane for lane, e in twin.open.items() if now_ms - e.log_ms >= w.quiet_ms[lane]]
        closed = table.close(rows, w.lanes[3])
        assert sorted(event_of("closed", state) for state in closed) == sorted(twin.close(lane) for lane in quiet)
        table.count()
        twin.full = len(twin.open) >= limit
        assert (len(table), table.full, table.refused) == (len(twin.open), twin.full, twin.refused)


def follow(w: Watched, table: EpisodeTable, *verdicts: tuple[int, float]) -> list[naive.Event]:
    """One entry: (seconds, score) each."""
    times_ms = np.array([1000 * s for s, _ in verdicts], np.int64)
    zeros = np.zeros(len(verdicts), np.int64)
    scores = scored([score for _, score in verdicts])
    return told(table.take(w.lanes, zeros, times_ms, zeros.astype(float), scores, 0))


def test_an_episode_opens_at_the_threshold_and_closes_after_its_quiet_time() -> None:
    w, table = watched([[Detector(5.0, 10_000)]]), EpisodeTable(10)
    events = follow(w, table, (0, 4.99), (1, 5.0), (2, 5.1), (10, 0.0), (11, 5.2), (20, 0.0), (21, 0.0))
    assert [(e.kind, e.start_ms, e.time_ms, e.samples) for e in events] == [
        ("opened", 1000, 1000, 1),
        ("closed", 1000, 11_000, 3),
    ]


def test_an_update_is_told_when_surprise_grew_by_half_or_a_minute_went_by() -> None:
    w, table = watched([[Detector(5.0, 90_000)]]), EpisodeTable(10)
    events = follow(w, table, (0, 6.0), (1, 8.9), (2, 9.0), (61, 6.0), (62, 6.0), (63, 14.0))
    assert [(e.kind, e.time_ms, e.sequence, e.peak_surprise) for e in events] == [
        ("opened", 0, 0, 6.0),
        ("updated", 2000, 1, 9.0),
        ("updated", 62_000, 2, 9.0),
        ("updated", 63_000, 3, 14.0),
    ]


def test_each_detector_of_an_entry_has_its_own_episode() -> None:
    w, table = watched([[Detector(5.0, 10_000), Detector(8.0, 10_000)]]), EpisodeTable(10)
    assert [(e.kind, e.lane) for e in follow(w, table, (0, 6.0), (1, 8.0))] == [("opened", 0), ("opened", 1)]


@pytest.mark.parametrize("lanes", [EVENTS_PER_CALL, 5 * EVENTS_PER_CALL])
def test_one_sample_may_stir_more_lanes_than_one_call_has_room_for(lanes: int) -> None:
    w, table = watched([[Detector(5.0, 1000)] * lanes]), EpisodeTable(10**6)
    assert [e.kind for e in follow(w, table, (0, 6.0))] == ["opened"] * lanes
    assert [e.kind for e in follow(w, table, (5, 6.0))] == ["closed", "opened"] * lanes
    assert len(table) == lanes


def test_a_storm_of_events_is_told_in_order() -> None:
    w, table = watched([[Detector(5.0, 1000)]]), EpisodeTable(10)
    events = follow(w, table, *((2 * s, 6.0) for s in range(2000)))
    assert [e.kind for e in events] == ["opened"] + ["closed", "opened"] * 1999
    assert [e.start_ms for e in events if e.kind == "opened"] == [4000 * s // 2 for s in range(2000)]
    assert len(table.open) <= 2 * EVENTS_PER_CALL, "rows of closed episodes are used again within a batch"


def test_at_the_limit_samples_are_refused_and_counted_until_there_is_room() -> None:
    w, table = watched([[Detector(5.0, 10_000)] * 3, [Detector(5.0, 10_000)]]), EpisodeTable(3)
    follow(w, table, (0, 6.0))
    table.count()
    other = (w.lanes, np.ones(2, np.int64), np.array([1000, 2000]), np.zeros(2), scored([9.0, 9.0]), 0)
    assert told(table.take(*other)) == []
    assert table.refused == 2
    assert [e.kind for e in follow(w, table, (3, 9.0))] == ["updated"] * 3
    table.close(np.array([0]), w.lanes[3])
    table.count()
    assert [e.kind for e in told(table.take(*other))] == ["opened"]


def test_rows_of_closed_episodes_are_used_again() -> None:
    w, table = watched([[Detector(5.0, 1000)]]), EpisodeTable(10)
    for step in range(200):
        follow(w, table, (10 * step, 6.0))
    assert len(table.open) == 64
    assert len(table) == 1
