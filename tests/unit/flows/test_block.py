from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.anomaly import Anomaly, ClosedBy, EventType
from connectors.codec.encode import encode_labels
from connectors.detector import Shape
from connectors.kafka_clients import MAX_REQUEST_BYTES
from connectors.messages import (
    DEAD_LETTER_BYTES_HEADER,
    DEAD_LETTER_ORIGIN_HEADER,
    DEAD_LETTER_REASON_HEADER,
    MetricType,
)
from flows.chunks import Chunk, NewSeries, Samples, Types
from flows.persistence import load, save
from flows.program import Program
from tests.examples import examples
from tests.series import START_MS, labelled
from tests.streams import TOPICS, Log, anomalies, busy_log, by_id, config, joined, pieces, sample_bits, write_request

SEEDS = range(4)
LIMITS: list[dict[str, Any]] = [{"idle_s": 60}, {"idle_s": 60, "max_episodes": 2}, {"idle_s": 60, "max_series": 4}]
CUTS = st.lists(st.integers(0, 600), max_size=12)
EXAMPLES = examples(9)
M = {"__name__": "m", "n": "0"}


@cache
def log_of(seed: int) -> tuple[Log, list[Chunk]]:
    log = busy_log(seed)
    return log, [piece for chunk in log.chunks() for piece in pieces(chunk)]


@cache
def whole(seed: int, limits: int) -> tuple[dict[str, list[Any]], dict[str, int], dict[str, int]]:
    """What one record after the other gives."""
    log, _ = log_of(seed)
    block, events = log.run(**LIMITS[limits])
    return by_id(events), dict(block.counts), block.intake.drops()


def parts(chunks: list[Chunk], cuts: Iterable[int]) -> list[list[Chunk]]:
    edges = [0, *sorted(min(cut, len(chunks)) for cut in cuts), len(chunks)]
    return [joined(chunks[a:b]) for a, b in pairwise(edges)]


@pytest.mark.long
def test_the_busy_log_is_busy() -> None:
    """What the properties below are worth: together the seeds have episodes of all ends; each has drops and limits."""
    told = [event for seed in SEEDS for episode in whole(seed, 0)[0].values() for event in episode]
    assert {event["closed_by"] for event in told} == {None, "quiet", "detector", "series_gone"}
    assert {event["event"] for event in told} == {"opened", "updated", "closed"}
    assert {event["detector"]["kind"] for event in told} == {"mad", "zscore", "ewma"}
    assert {event["tenant"] for event in told} == {"anonymous", "other"}
    for seed in SEEDS:
        events, counts, drops = whole(seed, 0)
        assert len(events) > 30
        assert min(drops[reason] for reason in ("out_of_order", "too_old", "too_new")) > 0
        assert counts["poison_poison"] > 0
        assert counts["series_gone"] > 0
        assert {name for name in counts if name.startswith("revisions_")} == {
            "revisions_applied", "revisions_duplicate", "revisions_invalid", "revisions_stale", "revisions_unreadable",
        }  # fmt: skip
        assert whole(seed, 1)[0] != events
        assert whole(seed, 2)[1]["series_refused"] > 0


@pytest.mark.long
@pytest.mark.parametrize("limits", range(len(LIMITS)))
@EXAMPLES
@given(seed=st.sampled_from(SEEDS), cuts=CUTS)
def test_the_input_may_be_cut_anywhere(limits: int, seed: int, cuts: list[int]) -> None:
    """Records joined and split into other chunks: every episode has the same events, every count is the same."""
    log, chunks = log_of(seed)
    block = log.block(**LIMITS[limits])
    events = [event for part in parts(chunks, cuts) for event in anomalies(block.take(part))]
    assert (by_id(events), dict(block.counts), block.intake.drops()) == whole(seed, limits)


@pytest.mark.long
@pytest.mark.parametrize("limits", range(len(LIMITS)))
@EXAMPLES
@given(seed=st.sampled_from(SEEDS), cuts=CUTS)
def test_it_may_be_saved_and_loaded_anywhere(limits: int, seed: int, cuts: list[int]) -> None:
    log, chunks = log_of(seed)
    block = log.block(**LIMITS[limits])
    events = []
    for part in parts(chunks, cuts):
        events += anomalies(block.take(part))
        block = load(save(block), log.block(**LIMITS[limits]))
    assert by_id(events) == whole(seed, limits)[0]


@pytest.mark.long
@EXAMPLES
@given(seed=st.sampled_from(SEEDS), cuts=CUTS)
def test_a_block_that_was_saved_goes_on_and_is_saved_again(seed: int, cuts: list[int]) -> None:
    """As in a flow that is not killed: every later snapshot is as good as the first."""
    log, chunks = log_of(seed)
    block = log.block(**LIMITS[0])
    events, saved = [], b""
    for part in parts(chunks, cuts):
        events += anomalies(block.take(part))
        saved = save(block)
    assert by_id(events) == whole(seed, 0)[0]
    rest = [piece for chunk in busy_log(seed + 100).chunks() for piece in pieces(chunk)]
    assert by_id(anomalies(load(saved, log.block(**LIMITS[0])).take(rest))) == by_id(anomalies(block.take(rest)))


@pytest.mark.long
@EXAMPLES
@given(seed=st.sampled_from(SEEDS), points=st.tuples(st.integers(0, 600), st.integers(0, 600)))
def test_a_replay_after_a_crash_tells_the_same(seed: int, points: tuple[int, int]) -> None:
    """Saved at one point, killed at a later one, gone on from the first: the same events, some of them twice."""
    log, chunks = log_of(seed)
    saved_at, killed_at = sorted(points)
    block = log.block(**LIMITS[0])
    events = anomalies(block.take(chunks[:saved_at]))
    saved = save(block)
    events += anomalies(block.take(chunks[saved_at:killed_at]))
    events += anomalies(load(saved, log.block(**LIMITS[0])).take(chunks[saved_at:]))
    kept: dict[str, dict[int, Any]] = {}
    for event in events:
        known = kept.setdefault(event.id, {}).setdefault(event.sequence, event)
        assert known == event, "the replay tells another story"
    told = {key: [json.loads(e.encode()) for _, e in sorted(episode.items())] for key, episode in kept.items()}
    assert told == whole(seed, 0)[0]


def many_at_once() -> Log:
    """Two hundred detectors announced by one control record, renamed and in part deleted by a later one."""
    log = Log()
    steady(log, first=-8, n=8)
    for number in range(200):
        log.detector(f"d{number}", config("ewma", "m" if number % 2 else '{n=~"0|1"}', threshold=3.0 + number / 100))
    steady(log, n=20)
    log.samples((M, 20.5, 500.0))
    for number in range(0, 200, 3):
        log.detector(f"d{number}", None if number % 2 else config("ewma", '{n="0"}', threshold=2.0 + number / 100))
    steady(log, first=21, n=20)
    return log


def test_what_is_announced_is_applied_in_bounded_slices() -> None:
    log = many_at_once()
    block, offsets = log.block(max_work=1), list[int]()
    for chunk in log.chunks():
        block.take([chunk])
        offsets.append(block.configuration.offset)
    assert [offset for offset, _ in groupby(offsets)] == [0, 1, 128, 200, 201, 256, 267]
    assert block.configuration.announced == 267
    at_once, _ = log.run(max_work=10**9)
    assert block.revisions.detectors == at_once.revisions.detectors
    assert len(block.watch.routes.lanes) == len(at_once.watch.routes.lanes) > 80


def test_the_first_control_record_applies_all() -> None:
    log = many_at_once()
    log.records = log.records[-1:]
    block, _ = log.run(max_work=1)
    assert block.configuration.offset == 267


@pytest.mark.long
@pytest.mark.parametrize("every", [1, 3, 7])
def test_slices_depend_on_the_log_alone(every: int) -> None:
    """Saved and loaded again and again while revisions wait: the same events."""
    log = many_at_once()
    _, events = log.run(max_work=1)
    assert len(by_id(events)) > 50
    block, told = log.block(max_work=1), []
    for number, chunk in enumerate(log.chunks()):
        told += anomalies(block.take([chunk]))
        if number % every == 0:
            block = load(save(block), log.block(max_work=1))
    assert by_id(told) == by_id(events)


# one thing at a time


def steady(log: Log, first: int = 0, n: int = 20, value: float = 10.0, labels: dict[str, str] = M) -> None:
    """A sample and a control record each second: a little noise about ``value``."""
    for step in range(first, first + n):
        log.samples((labels, step, value + 0.1 * (step % 3)))
        log.control(step)


def watched(**changes: Any) -> Log:
    log = Log()
    log.detector("d", config(**changes))
    log.control(-1)
    steady(log)
    return log


def kinds(events: Iterable[Anomaly]) -> list[str]:
    return [event.event.value for event in events]


def test_every_fault_is_found_and_nothing_else() -> None:
    """On labelled series, with the default parameters of each kind."""
    for kind in ("mad", "zscore", "ewma"):
        log = Log()
        log.detector("d", config(kind, "demo_value", params={}))
        series = [labelled(seed, 500, 2, first=80) for seed in range(2)]
        for step in range(500):
            log.samples(*((s.labels, step, s.values[step]) for s in series))
            log.control(step)
        log.control(600)
        _, events = log.run()
        for one in series:
            mine = [e for e in events if e.signal.labels == one.labels and e.event is EventType.CLOSED]
            assert len(mine) == len(one.faults), kind
            for episode, fault in zip(mine, one.faults, strict=True):
                assert episode.start_ms == fault.begin_ms
                assert fault.begin_ms <= (episode.end_ms or 0) <= fault.end_ms


def test_series_that_came_before_the_first_control_record_are_known() -> None:
    log = Log()
    log.samples((M, 0, 1.0), ({**M, "n": "1"}, 10**9, 1.0))
    log.detector("d", config())
    log.control(0)
    steady(log, 1)
    steady(log, 1, labels={**M, "n": "1"})
    log.samples((M, 30, 99.0), ({**M, "n": "1"}, 30, 99.0))
    block, events = log.run()
    assert len(block.series) == 2
    assert sorted(e.signal.labels["n"] for e in events) == ["0", "1"], "a time far ahead does not blind a series"
    assert (block.counts["samples"], block.counts["judged"]) == (44, 42)


def test_an_idle_series_that_came_before_the_first_control_record_is_not_given_up_at_once() -> None:
    log = Log()
    log.samples((M, 0, 1.0))
    log.control(0)
    log.control(100)
    block, _ = log.run(idle_s=120)
    assert len(block.series) == 1


def test_a_new_detector_judges_from_its_control_record_on() -> None:
    log = Log()
    steady(log, 0, 10)
    log.detector("d", config())
    steady(log, 10, 3)
    block, _ = log.run()
    assert block.counts["judged"] == 2


def test_revisions_beyond_the_announced_offset_wait() -> None:
    log = Log()
    log.detector("d", config())
    log.detector("e", config(threshold=2.0))
    log.control(0, detectors_offset=1)
    block, _ = log.run()
    assert set(block.revisions.detectors) == {"d"}
    assert block.configuration.offset == 1
    log.control(1)
    log.control(2, detectors_offset=1)
    block, _ = log.run()
    assert set(block.revisions.detectors) == {"d", "e"}
    assert block.configuration.offset == 2


def test_a_renamed_detector_goes_on_with_its_episode() -> None:
    log = watched()
    log.control(29)
    log.samples((M, 30, 12.0))
    log.detector("d", config(name="renamed"))
    log.control(30)
    log.samples((M, 31, 999.0))
    log.control(60)
    _, events = log.run()
    assert kinds(events) == ["opened", "updated", "closed"]
    assert [e.detector.name for e in events] == ["mad", "renamed", "renamed"]
    assert [e.detector.revision for e in events] == [1, 2, 2]
    assert len({e.id for e in events}) == 1


@pytest.mark.parametrize(
    "change", [config(threshold=9.0), config(quiet_s=6.0), config(params={"window": 6}), config(enabled=False), None]
)
def test_a_detector_that_computes_otherwise_closes_its_episodes(change: Any) -> None:
    log = watched()
    log.samples((M, 30, 99.0))
    log.detector("d", change)
    log.control(30)
    log.samples((M, 31, 999.0))
    log.control(31)
    _, events = log.run()
    assert kinds(events) == ["opened", "closed"]
    assert events[-1].closed_by is ClosedBy.DETECTOR
    assert events[-1].end_ms == events[-1].time_ms == START_MS + 30_000


def test_a_sharper_threshold_keeps_what_was_learned_by_a_shared_program() -> None:
    """Two detectors of one computation share its state; the second is ready at once."""
    log = watched()
    log.detector("e", config(threshold=4.0))
    log.control(30)
    log.samples((M, 31, 99.0))
    block, events = log.run()
    assert sorted(e.detector.id for e in events) == ["d", "e"]
    assert len({e.id for e in events}) == 2
    assert len(list(block.watch.programs.keys)) == 1


def test_stopping_and_starting_begins_anew() -> None:
    log = watched()
    log.detector("d", config(enabled=False))
    log.control(30)
    log.samples((M, 31, 99.0))
    log.detector("d", config())
    log.control(31)
    steady(log, 32, 5, value=99.0)
    block, events = log.run()
    assert events == []
    assert block.counts["judged"] == 25


def test_samples_are_dropped_by_reason_and_never_scored_twice() -> None:
    log = watched()
    log.samples((M, 19, 99.0), (M, 18.5, 99.0), (M, 19 - 90_000, 99.0), (M, 19 + 601, 99.0))
    log.samples((M, 20, 99.0), (M, 20, 99.0))
    block, events = log.run()
    assert block.intake.drops() == {"unlabelled": 0, "duplicate": 2, "out_of_order": 1, "too_old": 1, "too_new": 1}
    assert kinds(events) == ["opened"]
    assert block.counts["judged"] == 21
    assert block.counts["samples"] == 26


def test_the_edges_of_the_believed_times_are_inside() -> None:
    log = watched()
    log.samples(({"__name__": "m", "n": "1"}, 19 - 86_400, 1.0), (M, 19 + 600, 99.0))
    block, events = log.run()
    assert sum(block.intake.drops().values()) == 0
    assert kinds(events) == ["opened"]


def test_a_stale_marker_is_counted_and_ends_the_run_of_a_counter() -> None:
    stale, other_nan = 0x7FF0000000000002, 0x7FF8000000000001
    log = Log()
    log.detector("d", config(shape=Shape.RATE))
    log.control(0)
    log.samples((M, 1, 100.0))
    log.append(sample_bits(encode_labels(M), START_MS + 2000, stale))
    log.append(sample_bits(encode_labels(M), START_MS + 3000, other_nan))
    log.samples((M, 4, 7.0), (M, 5, 9.0))
    block, _ = log.run()
    assert block.intake.stale_markers == 1
    program, _, slots = block.watch.programs.slots(next(iter(block.watch.programs.keys)))
    assert program.state["seen"][slots].tolist() == [1], "one rate: from 7 to 9, none across the markers"
    assert program.state["origin"][slots].tolist() == [2.0]


@pytest.mark.long
def test_what_was_learned_is_told_alike_however_the_input_is_cut() -> None:
    """A record holds an hour: by the time an anomaly is told, the state has learned what came after it."""
    log = Log()
    log.detector("d", config("auto", "m", params={}, threshold=3.0, quiet_s=400.0))
    values = np.random.default_rng(1).normal(10.0, 1.0, (200, 12)).round(1)
    values[::9, 5] = 60.0
    for hour, row in enumerate(values.tolist()):
        log.control(3600.0 * hour)
        log.samples(*((M, 3600.0 * hour + 300.0 * at, value) for at, value in enumerate(row)))
    log.control(3600.0 * 201)
    chunks = log.chunks()
    together = anomalies(log.block(idle_s=7200, too_new_ms=3_600_000).take(joined(chunks)))
    block = log.block(idle_s=7200, too_new_ms=3_600_000)
    apart = [event for chunk in chunks for piece in pieces(chunk) for event in anomalies(block.take([piece]))]
    assert by_id(together) == by_id(apart)
    assert len({event.learned for event in together}) > 5
    assert all(event.learned and "predicted best by" in event.learned for event in together)


def test_an_episode_closes_by_sample_time_or_by_log_time() -> None:
    log = watched()
    log.samples((M, 30, 99.0))
    log.control(30)
    log.samples((M, 35, 10.0))
    _, events = log.run()
    assert kinds(events) == ["opened", "closed"]
    log = watched()
    log.control(30)
    log.samples((M, 30, 99.0))
    log.control(34.9)
    assert kinds(log.run()[1]) == ["opened"]
    log.control(35)
    _, events = log.run()
    assert kinds(events) == ["opened", "closed"]
    assert events[-1].closed_by is ClosedBy.QUIET


def test_a_series_that_went_away_gives_its_row_back_and_may_return() -> None:
    log = watched(quiet_s=86_400.0)
    log.samples((M, 20, 99.0))
    log.control(20)
    log.control(150)
    log.control(200)
    block, events = log.run(idle_s=120)
    assert kinds(events) == ["opened", "closed"]
    assert events[-1].closed_by is ClosedBy.SERIES_GONE
    assert (len(block.series), len(block.watch.routes.lanes), block.counts["series_gone"]) == (0, 0, 1)
    # the decoder of this log announced the series once; after its pause it is announced again
    again = Log()
    again.revisions = log.revisions
    steady(again, 300)
    again.samples((M, 330, 99.0))
    back = anomalies(block.take(again.chunks()))
    assert kinds(back) == ["opened"]
    assert len(block.series.labels) == 1, "the row is used again"
    assert back[0].id != events[0].id


def test_idle_series_are_looked_for_once_a_minute_of_log_time() -> None:
    log = watched()
    log.control(58)
    assert len(log.run(idle_s=30)[0].series) == 1
    log.control(59)
    block, _ = log.run(idle_s=30)
    assert (len(block.series), block.swept_s) == (0, START_MS // 1000 + 59)


def test_labels_of_series_that_went_away_leave_the_next_snapshot() -> None:
    log = watched()
    log.control(50)
    log.samples(({"__name__": "m", "n": "1"}, 50, 1.0))
    block, _ = log.run(idle_s=30)
    save(block)
    log.control(75)
    assert block.take(log.chunks()[-1:]) == []
    copy = load(save(block), log.block())
    assert [copy.series.labels_of(row)["n"] for row in copy.series.live().tolist()] == ["1"]


def test_samples_of_a_series_that_was_never_announced_are_counted() -> None:
    log = watched()
    block, _ = log.run()
    stranger = Samples(np.array([42], np.uint64), np.array([START_MS]), np.array([1.0]), None)
    assert block.take([stranger]) == []
    assert block.intake.drops()["unlabelled"] == 1


def test_series_beyond_the_bound_are_refused_and_counted() -> None:
    log = watched()
    log.samples(({"__name__": "m", "n": "1"}, 30, 1.0), ({"__name__": "m", "n": "2"}, 30, 1.0))
    block, _ = log.run(max_series=2)
    assert (len(block.series), block.counts["series_refused"], block.intake.drops()["unlabelled"]) == (2, 1, 1)


def test_series_beyond_the_bytes_of_labels_are_refused_and_counted() -> None:
    """Smaller ones still find room, and what a series that went held is free again."""
    log, large, small = watched(), {"__name__": "m", "n": "x" * 2000}, {"__name__": "m", "n": "1"}
    log.samples((large, 30, 1.0), ({**large, "o": "1"}, 30, 1.0), (small, 30, 1.0))
    block, _ = log.run(max_label_bytes=2500, idle_s=60)
    assert (len(block.series), block.counts["series_refused"], block.counts["labels_refused"]) == (3, 1, 1)
    assert block.series.label_bytes <= 2500
    assert block.intake.drops()["unlabelled"] == 1
    log.control(3600.0)
    log.samples(({"__name__": "m", "n": "y" * 2000}, 3601, 1.0))
    block, _ = log.run(max_label_bytes=2500, idle_s=60)
    assert (len(block.series), block.counts["series_refused"]) == (1, 1)


def test_labels_that_cannot_be_read_are_counted_and_the_rest_goes_on() -> None:
    log = watched()
    block, _ = log.run()
    new = NewSeries(7, "anonymous", b"\x0a\x05\x0a\x03\xff\xfe\xfd")
    samples = Samples(np.array([7], np.uint64), np.array([START_MS + 30_000]), np.array([1.0]), None, (new,))
    assert block.take([samples]) == []
    assert block.counts["labels_unreadable"] == 1
    assert block.intake.drops()["unlabelled"] == 1


def test_tenants_are_apart() -> None:
    log = Log()
    log.detector("d", config())
    log.detector("e", config(tenant="other"))
    log.control(0)
    for step in range(20):
        log.samples((M, step, 10.0 + 0.1 * (step % 3)))
        log.samples((M, step, 20.0 + 0.1 * (step % 3)), tenant="other")
    log.samples((M, 21, 99.0))
    log.samples((M, 22, 99.0), tenant="other")
    block, events = log.run()
    assert [(e.tenant, e.detector.id, e.expected) for e in events] == [
        ("anonymous", "d", pytest.approx(10.1, abs=0.11)),
        ("other", "e", pytest.approx(20.1, abs=0.11)),
    ]
    assert len(block.series) == 2
    assert load(save(block), log.block()).series.tenants[:2] == ["anonymous", "other"]


@pytest.mark.parametrize(("value", "headers", "reason"), [
    (b"\xff\xff", [], b"poison: "),
    (b"{}", [("tocsin-control", b"1")], b"bad_json: ControlRecord: time_ms"),
    (b'{"time_ms":9000000000000000,"detectors_offset":0,"feedback_offset":0}', [("tocsin-control", b"1")], b"bad_json"),
    (None, [("tocsin-control", b"1")], b"bad_json"),
])  # fmt: skip
def test_poison_goes_to_the_dead_letter_and_the_block_goes_on(value: bytes | None, headers: Any, reason: bytes) -> None:
    log = watched()
    log.append(value, headers=headers)
    at = len(log.records) - 1
    log.samples((M, 30, 99.0))
    block = log.block()
    out = block.take(log.chunks())
    dead = [record for record in out if record.topic == TOPICS.dead_letter]
    assert [record.value for record in dead] == [value]
    assert dict(dead[0].headers)[DEAD_LETTER_ORIGIN_HEADER] == f"tocsin.metrics/0/{at}".encode()
    assert dict(dead[0].headers)[DEAD_LETTER_REASON_HEADER].startswith(reason)
    assert set(headers) <= set(dead[0].headers)
    assert dead[0].key == log.records[at].key
    assert kinds(anomalies(out)) == ["opened"]
    assert sum(n for name, n in block.counts.items() if name.startswith("poison_")) == 1


def test_of_long_poison_the_beginning_is_kept() -> None:
    """A record as long as Kafka takes would otherwise be one that the sink can never deliver."""
    log = watched()
    long = b"\xff" * (MAX_REQUEST_BYTES + 48_588)
    log.append(long)
    (dead,) = [record for record in log.block().take(log.chunks()) if record.topic == TOPICS.dead_letter]
    assert dead.value
    assert long.startswith(dead.value)
    headers = sum(len(name) + len(value) for name, value in dead.headers)
    assert 800_000 < len(dead.value) < MAX_REQUEST_BYTES - headers - 1000
    assert dict(dead.headers)[DEAD_LETTER_BYTES_HEADER] == str(len(long)).encode()


def test_poison_with_very_much_beside_its_value_is_cut_too() -> None:
    log = watched()
    log.append(b"\xff", headers=[("tocsin-x", b"y" * 20_000)])
    (dead,) = [record for record in log.block().take(log.chunks()) if record.topic == TOPICS.dead_letter]
    assert dict(dead.headers)[DEAD_LETTER_BYTES_HEADER] == b"1"
    assert (dead.key, sum(len(value) for _, value in dead.headers) < 1000) == (None, True)


def test_a_key_that_is_no_tenant_is_poison() -> None:
    log = watched()
    log.append(log.records[1].value, key=b"\xff")
    out = log.block().take(log.chunks())
    assert [record.value for record in out] == [log.records[1].value]


def test_revisions_that_cannot_be_read_or_applied_are_skipped_and_counted() -> None:
    log = Log()
    log.revisions.append(None)
    log.detector("d", config(selector="{"))
    log.detector("e", config())
    log.detector("f", config())
    log.control(0)
    block, _ = log.run()
    assert set(block.revisions.detectors) == {"e"}
    assert {n: c for n, c in block.counts.items() if "revisions" in n} == {
        "revisions_unreadable": 1, "revisions_invalid": 1, "revisions_applied": 1, "revisions_duplicate": 1,
    }  # fmt: skip


def test_log_time_never_goes_back() -> None:
    log = watched()
    log.control(5)
    block, _ = log.run()
    assert block.log_ms == START_MS + 19_000


def test_the_largest_values_make_no_anomaly_that_json_cannot_hold() -> None:
    log = Log()
    log.detector("d", config())
    log.control(0)
    for step in range(10):
        log.samples((M, step, 1.7976931348623157e308))
    steady(log, 10)
    log.samples((M, 40, -1e38), (M, 41, 1.7976931348623157e308), (M, 42, math.inf))
    _, events = log.run()
    assert [e.value for e in events] == [-1e38]


def test_its_size_follows_what_it_holds() -> None:
    log = watched()
    small = log.run()[0].size_bytes
    log.samples(*(({"__name__": "m", "n": str(n)}, 30, 1.0) for n in range(1, 200)))
    assert log.run()[0].size_bytes > small + 199 * 5 * 8


def test_a_restart_of_a_counter_is_no_anomaly() -> None:
    """A minute away in a cadence of 5 s, then counting from zero as before."""
    log = Log()
    log.detector("d", config("mad", "requests_total", params={"window": 20}, shape=Shape.RATE))
    log.control(0.0)
    rng, value = np.random.default_rng(1), 0.0
    at_s = [5.0 * i for i in range(30)] + [205.0 + 5.0 * i for i in range(30)]
    for i, second in enumerate(at_s):
        value = 500.0 if i == 30 else value + 1000.0 + rng.normal(0.0, 10.0)
        log.samples(({"__name__": "requests_total"}, second, value))
        log.control(second)
    assert log.run()[1] == []
    log.samples(({"__name__": "requests_total"}, 355.0, value + 9000.0))
    assert len(log.run()[1]) == 1, "and it does watch"


def test_a_type_that_says_what_was_known_of_a_series_lets_its_detectors_go_on() -> None:
    """``http: counter`` makes another thing of a series named http, and nothing of http_total."""
    log = Log()
    log.detector("a", config("ewma", '{__name__=~"http.*"}', shape=Shape.AUTO))
    log.control(0)
    for step in range(1, 9):
        log.samples(*(({"__name__": name, "n": "0"}, step, float(step)) for name in ("http", "http_total")))
    block, _ = log.run()
    block.take([Types("anonymous", (("http", MetricType.COUNTER),))])
    seen = {}
    for key in block.watch.programs.keys:
        program, rows, slots = block.watch.programs.slots(key)
        assert isinstance(program, Program)
        names = (block.series.labels_of(row)["__name__"] for row in rows.tolist())
        seen |= zip(names, program.counts["known"][slots].tolist(), strict=True)
    assert {key.shape for key in block.watch.programs.keys} == {Shape.RATE}
    assert seen == {"http": 0, "http_total": 7}


LONG_AGO_MS, FAR_AHEAD_MS = -(1 << 63) + 1, (1 << 63) - 1


@pytest.mark.parametrize("absurd_ms", [(LONG_AGO_MS, FAR_AHEAD_MS), (LONG_AGO_MS, START_MS - 1000), (LONG_AGO_MS,)])
def test_absurd_times_before_the_first_control_record_leave_no_cadence(absurd_ms: tuple[int, ...]) -> None:
    log = Log()
    for time_ms in absurd_ms:
        log.append(write_request([(M, [(time_ms, 1.0)])]))
    log.control(0)
    log.samples(*((M, 5.0 * step, 1.0) for step in range(1, 4)))
    block, _ = log.run()
    assert block.series.table["step_s"][0] == pytest.approx(5.0, abs=1.0)
