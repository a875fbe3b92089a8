"""What blocks and merges tell of their detectors: tocsin.status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from connectors.detector import Budget, DetectorConfig, Group, Period
from connectors.messages import OutRecord
from connectors.status import DetectorStatus, PartitionStatus, SignalState, SignalStatus, place_of
from flows import teller
from flows.block import Block
from flows.detectors.base import Scored
from flows.heard import Heard
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.pace import Pace
from flows.persistence import load, save
from flows.program import Judged
from flows.saved_merge import load_merge, save_merge
from flows.teller import Teller, Telling
from tests.groups import sharing_logs
from tests.series import START_MS
from tests.streams import TOPICS, Log, config, joined, pieces


def telling_block(log: Log, **limits: Any) -> Block:
    block = log.block(**limits)
    block.teller = Teller()
    return block


def records(tellings: Iterable[Telling], partition: int | None = 0) -> list[OutRecord]:
    return [telling.record(TOPICS, partition) for telling in tellings]


def of_detectors(tellings: Iterable[Telling], partition: int | None = 0) -> list[DetectorStatus | None]:
    """Each valid as typed; None where one is gone."""
    found = []
    for record in records(tellings, partition):
        place = place_of(record.key)
        assert record.topic == TOPICS.status
        assert place is not None
        if place[0]:
            found.append(None if record.value is None else DetectorStatus.decode(record.value))
    return found


def run(log: Log, **limits: Any) -> tuple[Block, list[DetectorStatus]]:
    block = telling_block(log, **limits)
    block.take(log.chunks())
    return block, [status for status in of_detectors(block.tellings()) if status is not None]


def steady(log: Log, seconds: range, series: int = 3, **odd: float) -> None:
    """Samples of so many series each second, with the second hand; ``odd`` names a value by ``n<series>``."""
    rng = np.random.default_rng(seconds.start)
    for second in seconds:
        values = rng.normal(10.0, 1.0, series)
        log.samples(
            *(({"__name__": "m", "n": str(n)}, second, odd.get(f"n{n}", float(values[n]))) for n in range(series))
        )
        log.control(second)


def longer(log: Log) -> Log:
    steady(log, range(16, 31))
    return log


def by_n(signals: Sequence[SignalStatus]) -> dict[str, SignalStatus]:
    return {signal.labels["n"]: signal for signal in signals}


def test_a_new_detector_is_told_of_at_once_and_then_every_fifteen_seconds() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(40))
    _, told = run(log)
    assert [(status.log_ms - START_MS) // 1000 for status in told] == [0, 15, 30]
    first, second, third = told
    assert (first.matched, first.warming, first.running, first.needs) == (3, 3, 0, 5)
    assert first.step_s is None
    assert (second.warming, second.running, second.needs, second.step_s) == (0, 3, 0, 1.0)
    assert (third.partition, third.revision, third.enabled, third.samples) == (0, 1, True, 90)
    assert third.last_ms == START_MS + 30_000
    assert third.state_bytes > 3 * 5 * 4
    assert third.since_ms == START_MS
    assert third.anomalies_per_day is None


def test_signals_are_told_with_their_last_verdict_once_one_was_heard() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(16))
    _, (first, second) = run(log)
    assert {(one.time_ms, one.value, one.score) for one in first.signals} == {(None, None, None)}
    assert [one.needs for one in first.signals] == [5, 5, 5]
    assert {one.state for one in first.signals} == {SignalState.WARMING}
    for one in second.signals:
        assert one.state is SignalState.RUNNING
        assert (one.last_ms, one.time_ms) == (START_MS + 15_000, START_MS + 1_000), "the first after it was told"
        assert one.score is None, "it was warming up then"
    third = run(longer(log))[1][-1]
    for one in third.signals:
        assert one.score is not None
        assert one.lower is not None
        assert one.expected is not None
        assert one.upper is not None
        assert one.lower < one.expected < one.upper
        assert one.time_ms == START_MS + 16_000
    assert second.signals[0].value != second.signals[1].value


def test_an_open_episode_comes_first_and_is_counted() -> None:
    log = Log()
    log.detector("d", config(threshold=100.0, quiet_s=100.0))
    steady(log, range(20))
    log.samples(({"__name__": "m", "n": "1"}, 20, 50_000.0))
    log.control(20)
    steady(log, range(21, 31))
    _, told = run(log)
    last = told[-1]
    assert (last.open, last.anomalies) == (1, 1)
    assert (last.signals[0].open, last.signals[0].labels["n"]) == (True, "1")
    assert last.threshold == 100.0


def test_a_series_of_which_nothing_comes_is_silent_and_the_detector_is_told_of_though_nothing_comes() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(20))
    for second in range(20, 200):
        log.samples(({"__name__": "m", "n": "0"}, second, 10.0))
        log.control(second)
    _, told = run(log)
    assert (told[-1].silent, told[-1].running) == (2, 1)
    assert {n: one.state for n, one in by_n(told[-1].signals).items()} == {"0": "running", "1": "silent", "2": "silent"}
    assert [one.labels["n"] for one in told[-1].signals][2] == "0", "silent ones come first"
    silent_since = next(status for status in told if status.silent)
    assert silent_since.log_ms - START_MS == pytest.approx(80_000, abs=16_000)


def test_what_has_not_changed_is_not_told_again() -> None:
    log = Log()
    log.detector("d", config(selector="nothing"))
    steady(log, range(100))
    _, told = run(log)
    assert [status.matched for status in told] == [0]


def test_more_signals_than_are_named_are_counted() -> None:
    log = Log()
    log.detector("d", config(threshold=100.0))
    steady(log, range(17), series=70)
    _, told = run(log)
    assert (told[0].warming, len(told[0].signals)) == (70, 50), "those that need something"
    assert (told[-1].matched, told[-1].running) == (70, 70)
    assert len(told[-1].signals) == 8 + told[-1].open < 20
    assert by_n(told[-1].signals).keys() < by_n(told[0].signals).keys(), "from telling to telling the same"


def test_places_change_hands_so_that_every_detector_names_its_share_whoever_came_first() -> None:
    log = Log()
    for n in range(3):
        log.detector(f"d{n}", config(params={"window": 5 + n}, threshold=100.0))
    steady(log, range(120), series=4)
    block = telling_block(log)
    assert block.teller is not None
    block.teller.naming.heard = Heard(limit=8)
    block.take(log.chunks())
    told: dict[str, list[DetectorStatus]] = {"d0": [], "d1": [], "d2": []}
    for status in of_detectors(block.tellings()):
        assert status is not None
        told[status.detector].append(status)
    first = [one.score for status in told.values() for one in status[0].signals]
    assert len(first) > 8, "who finds no place is named all the same"
    for status in told.values():
        assert [one.score for one in status[-1].signals].count(None) == 0
        assert len(status[-1].signals) >= 2
    log.detector("d0", None)
    steady(log, range(120, 300), series=4)
    block.take(log.chunks()[-181 * 2 :])
    last = {status.detector: status for status in of_detectors(block.tellings()) if status is not None}
    assert {name: len(status.signals) for name, status in last.items()} == {"d1": 4, "d2": 4}
    assert all(one.score is not None for status in last.values() for one in status.signals)
    assert len(block.teller.naming.heard) == 8


def test_changes_are_told_at_once_and_who_is_gone_leaves_a_tombstone() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(3))
    log.detector("d", config(name="renamed"))
    steady(log, range(3, 5))
    log.detector("d", config(params={"window": 9}))
    steady(log, range(5, 7))
    log.detector("d", config(enabled=False, params={"window": 9}))
    steady(log, range(7, 9))
    log.detector("d", None)
    steady(log, range(9, 11))
    block = telling_block(log)
    block.take(log.chunks())
    *told, gone = of_detectors(block.tellings())
    assert gone is None
    assert [(one.revision, (one.log_ms - START_MS) // 1000) for one in told if one] == [(1, 0), (2, 3), (3, 5), (4, 7)]
    assert told[1] is not None
    assert told[1].since_ms == START_MS, "it goes on"
    assert told[2] is not None
    assert told[2].since_ms == START_MS + 5_000, "it computes something else"
    assert told[3] is not None
    assert (told[3].enabled, told[3].matched) == (False, 0)


def test_a_number_that_is_used_again_tells_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    log.detector("a", config())
    steady(log, range(3))
    log.detector("a", None)
    log.detector("b", config(params={"window": 7}))
    steady(log, range(3, 5))
    block = telling_block(log)
    block.take(log.chunks())
    keys = [(record.key, record.value is None) for record in records(block.tellings()) if b"detector" in record.key]
    assert keys == [(b"detector/a/0", False), (b"detector/a/0", True), (b"detector/b/0", False)]


def test_of_many_detectors_each_has_its_turn_a_few_at_a_control_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "PER_CONTROL", 3)
    log = Log()
    for n in range(20):
        log.detector(f"d{n}", config(params={"window": 5 + n}))
    steady(log, range(22), series=1)
    _, told = run(log)
    times: dict[int, int] = {}
    for status in told:
        times[status.log_ms] = times.get(status.log_ms, 0) + 1
    assert max(times.values()) == 3
    assert len({status.detector for status in told[:20]}) == 20, "all, before any comes again"
    assert len(told) > 30


def test_who_catches_up_tells_at_the_pace_of_its_own_clock() -> None:
    clock_s, log = 0.0, Log()
    for n in range(20):
        log.detector(f"d{n}", config(params={"window": 5 + n}))
    steady(log, range(200), series=1)
    block, chunks = telling_block(log), list(log.chunks())
    block.teller = Teller(pace=Pace(5, lambda: clock_s))
    told: list[str] = []
    for at in range(4):
        block.take(chunks[at * len(chunks) // 4 : (at + 1) * len(chunks) // 4])
        told += [status.detector for status in of_detectors(block.tellings()) if status is not None]
        assert len(told) == 5 * (at + 1), "fifty seconds of log time"
        clock_s += 1.0
    assert len(set(told)) == 20, "who has waited longest is first"


def test_a_detector_of_very_many_series_is_told_of_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "MAX_LANES", 5)
    log = Log()
    for n in range(4):
        log.detector(f"d{n}", config(params={"window": 5 + n}))
    steady(log, range(10), series=8)
    _, told = run(log)
    watching = [status.log_ms for status in told if status.matched]
    assert len(watching) == len(set(watching)) == 4


def test_series_refused_are_told() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(17), series=5)
    _, told = run(log, max_keys=2)
    assert (told[-1].matched, told[-1].drops) == (2, {"series_refused": 3})


@pytest.mark.parametrize(
    ("most", "limits", "drops"),
    [(2, {}, {"models_refused": 3}), (50, {"max_models": 2}, {"partition_models_refused": 3})],
)
def test_series_that_find_no_room_for_a_model_are_told_after_a_restart_too(
    most: int, limits: dict[str, int], drops: dict[str, int]
) -> None:
    log = Log()
    log.detector("d", config("river", params={"model": "StandardAbsoluteDeviation", "warmup": 5, "max_keys": most}))
    steady(log, range(17), series=5)
    block, told = run(log, **limits)
    assert (told[-1].matched, told[-1].drops) == (2, drops)
    again = load(save(block), telling_block(log, **limits))
    steady(log, range(17, 120), series=5)
    again.take(log.chunks()[-103 * 2 :])
    after = of_detectors(again.tellings())[-1]
    assert after is not None
    assert (after.matched, after.drops) == (2, drops)


def test_series_refused_are_told_after_a_restart_too() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(17), series=5)
    again = load(save(run(log, max_keys=2)[0]), telling_block(log, max_keys=2))
    steady(log, range(17, 120), series=5)
    again.take(log.chunks()[-103 * 2 :])
    after = of_detectors(again.tellings())[-1]
    assert after is not None
    assert (after.matched, after.drops) == (2, {"series_refused": 3})


def test_a_budget_tells_its_threshold_once_it_is_set() -> None:
    log = Log()
    log.detector("d", config(budget=Budget(per=Period.DAY, alarms=5)))
    steady(log, range(2))
    _, told = run(log)
    assert told[0].threshold is None


def test_the_rate_counts_what_was_told_lately() -> None:
    log = Log()
    log.detector("d", config(threshold=6.0, quiet_s=1.0))
    for minute in range(180):
        odd = minute > 60 and minute % 10 == 0
        for second in (0, 20, 40):
            value = 500.0 if odd and second == 20 else 10.0 + (minute * 7 + second) % 11
            log.samples(({"__name__": "m", "n": "0"}, 60 * minute + second, value))
        log.control(60 * minute + 59)
    _, told = run(log)
    last = told[-1]
    assert last.anomalies >= 10
    assert last.anomalies_per_day == pytest.approx(last.anomalies * 24 / 3, rel=0.1)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_however_the_input_is_cut_the_same_is_told(size: int) -> None:
    log = Log()
    log.detector("d", config(threshold=4.0))
    log.detector("e", config(kind="ewma", selector='m{n="1"}', threshold=4.0))
    steady(log, range(50), n2=10.0)
    chunks = [piece for chunk in log.chunks() for piece in pieces(chunk)]
    block = telling_block(log)
    told: list[Telling] = []
    for at in range(0, len(chunks), size):
        block.take(joined(chunks[at : at + size]))
        told += block.tellings()
    whole = telling_block(log)
    whole.take(log.chunks())
    assert told == whole.tellings()


def test_a_block_that_was_saved_tells_all_anew_and_its_counts_go_on() -> None:
    log = Log()
    log.detector("d", config(threshold=100.0, quiet_s=3.0))
    log.detector("gone", config(params={"window": 8}))
    steady(log, range(20))
    log.samples(({"__name__": "m", "n": "1"}, 20, 50_000.0))
    steady(log, range(21, 31))
    block = telling_block(log)
    chunks = log.chunks()
    block.take(chunks)
    before = of_detectors(block.tellings())[-1]
    assert before is not None
    saved = save(block)
    log.detector("gone", None)
    steady(log, range(31, 34))
    after = load(saved, telling_block(log))
    after.take(log.chunks()[len(chunks) :])
    told = of_detectors(after.tellings())
    assert None in told, "the tombstone"
    again = next(one for one in told if one is not None and one.detector == "d")
    assert (again.anomalies, again.since_ms) == (1, START_MS)
    assert (again.samples, again.running) == (block.counts["judged"] // 2 + 3, 3)
    assert again.log_ms == START_MS + 31_000


def test_a_snapshot_of_a_block_that_told_nothing_is_read() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(5))
    block = log.block()
    block.take(log.chunks())
    again = load(save(block), telling_block(log))
    again.take(log.chunks()[-1:])
    assert [one and one.matched for one in of_detectors(again.tellings())] == [3]


def test_a_partition_gives_a_sign_of_life_with_its_drops() -> None:
    log = Log()
    log.detector("d", config())
    steady(log, range(12))
    log.samples(({"__name__": "m", "n": "0"}, 3, 1.0))
    steady(log, range(12, 32))
    block = telling_block(log)
    block.take(log.chunks())
    found = [record for record in records(block.tellings(), 7) if record.key == b"partition/7"]
    told = [PartitionStatus.decode(record.value or b"") for record in found]
    assert [(one.log_ms - START_MS) // 1000 for one in told] == [0, 30]
    last = told[-1]
    assert (last.partition, last.detectors, last.series, last.lanes, last.detectors_offset) == (7, 1, 3, 3, 1)
    assert (last.samples, last.judged, last.drops) == (94, 90, {"out_of_order": 1})
    assert last.looked_ms == START_MS + 30_000


def grouped(**changes: Any) -> DetectorConfig:
    group = Group(**{"by": ("x",), "step_s": 5, "grace_s": 1, **changes})
    return config("ewma", "m", group=group)


def test_groups_are_told_where_they_are_judged_and_their_members_where_they_are() -> None:
    logs = sharing_logs(2)
    logs[0].detector("g", grouped())
    merge = Merge(TOPICS, BlockLimits(), 2)
    blocks = [telling_block(log) for log in logs]
    for second in range(240):
        for p, log in enumerate(logs):
            log.samples(*(({"__name__": "m", "x": x, "p": str(p)}, second, 5.0 + second % 3) for x in "ab"))
            log.control(second)
    told: list[Telling] = []
    for first in range(0, 480, 40):
        for p, block in enumerate(blocks):
            block.take(logs[p].chunks()[first : first + 40])
            merge.take([(p, part) for part in block.parts()])
        told += merge.tellings()
    members = of_detectors(blocks[1].tellings(), 1)[-1]
    assert members is not None
    assert (members.partition, members.matched, members.members, members.running) == (1, 2, 2, 0)
    assert members.signals == []
    groups = of_detectors(told, None)
    last = groups[-1]
    assert last is not None
    assert (last.partition, last.matched, last.members, last.running) == (None, 2, 0, 2)
    assert {one.labels["x"]: one.value for one in last.signals}.keys() == {"a", "b"}
    assert all(one.expected is not None for one in last.signals)
    restored = load_merge(save_merge(merge), Merge(TOPICS, BlockLimits(), 2))
    logs[0].detector("g", None)
    for log in logs:
        log.control(241)
    for p, block in enumerate(blocks):
        block.take(logs[p].chunks()[480:])
        parts = [(p, part) for part in block.parts()]
        merge.take(parts)
        restored.take(parts)
    for one in (merge, restored):
        assert one.over
        assert [record.key for record in records(one.tellings(), None)] == [b"detector/g/groups"]
        assert records(one.tellings(), None)[0].value is None


def test_entities_are_signals_and_their_members_are_not() -> None:
    logs = sharing_logs(1)
    logs[0].detector("g", config("mad", "m", group=Group(by=("x",), aggregate="members", step_s=1, grace_s=0)))
    merge = Merge(TOPICS, BlockLimits(), 1)
    block = telling_block(logs[0])
    for second in range(200):
        logs[0].samples(*(({"__name__": "m", "x": x, "n": n}, second, 5.0 + second % 3) for x in "ab" for n in "123"))
        logs[0].control(second)
    told: list[Telling] = []
    for chunk in logs[0].chunks():
        block.take([chunk])
        merge.take([(0, part) for part in block.parts()])
        told += merge.tellings()
    last = of_detectors(told, None)[-1]
    assert last is not None
    assert (last.matched, last.members, last.running, last.warming) == (8, 6, 2, 0)
    assert {one.labels["x"] for one in last.signals} == {"a", "b"}


def test_what_is_heard_is_bounded_and_given_back() -> None:
    heard = Heard(limit=2)
    entries, labels = np.arange(3), [b""] * 3
    signals = np.array([11, 12, 13], np.uint64)
    assert heard.listen(entries, signals, labels, 5).tolist() == [0, 1, -1]
    heard.hear(np.array([0, 1]), np.array([1, 2]), verdicts(2), 9)
    assert np.isnan(heard.verdicts[:2]).all(), "nothing is waited for"
    heard.wait(np.array([0, 1]))
    heard.hear(np.array([0, 1, 1, 4]), np.array([1, 2, 3, 4]), verdicts(4), 9)
    heard.hear(np.array([0, 1]), np.array([8, 9]), verdicts(2), 9)
    assert heard.verdicts[:2, :2].tolist() == [[1.0, 0.0], [2.0, 1.0]], "the first of each"
    heard.listen(entries[:1], np.array([99], np.uint64), labels, 5)
    assert np.isnan(heard.verdicts[0]).all(), "the entry stands for another series now"
    heard.release(entries[:2])
    assert len(heard) == 1, "claimed twice"
    heard.release(entries[:1])
    assert len(heard) == 0
    assert heard.listen(entries[2:], signals[2:], labels, 5).tolist() == [0]
    assert np.isnan(heard.verdicts[0]).all()


def verdicts(n: int) -> Judged:
    ones = np.ones(n)
    return Judged(np.arange(float(n)), Scored(ones, ones, ones, ones), np.zeros(n, np.int32))


def test_who_is_old_is_told_of_every_minute_and_who_is_large_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    log.detector("d", config(threshold=100.0))
    steady(log, range(430))
    assert [(status.log_ms - START_MS) // 1000 for status in run(log)[1]][-3:] == [300, 360, 420]
    monkeypatch.setattr(teller, "LANES_PER_TURN", 3)
    assert [(status.log_ms - START_MS) // 1000 for status in run(log)[1]][-2:] == [300, 420]
