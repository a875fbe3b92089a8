from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from connectors.detector import DetectorConfig, Group, Shape
from connectors.messages import MetricType
from flows import gathering as module
from flows.chunks import Types
from flows.group import GroupPlan
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.persistence import load, save
from tests.groups import Partitions
from tests.series import START_MS
from tests.streams import TOPICS, Log, anomalies, config

STEP_S = 15


def grouped(selector: str = "m", shape: Shape = Shape.RAW, **group: Any) -> DetectorConfig:
    return config("ewma", selector, group=Group(**group), shape=shape)


def log_of(made: DetectorConfig, series: int = 3, steps: int = 12) -> Log:
    log = Log()
    log.detector("d", made)
    log.control(0.0)
    for step in range(1, steps):
        log.samples(*(({"__name__": "m", "n": str(n)}, STEP_S * step - 1.0, n + 1.0) for n in range(series)))
        log.control(STEP_S * step + 5.0)
    return log


def values(log: Log) -> list[float]:
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0))
    return list(partitions.values.values())


def test_it_settles_first_and_then_tells_every_step() -> None:
    partitions = Partitions([log_of(grouped())])
    partitions.run(np.random.default_rng(0))
    times = [time_ms for _, time_ms, _ in partitions.values]
    assert times == list(range(min(times), max(times) + 1, 15_000))
    assert 60_000 <= min(times) - START_MS < 75_000
    assert set(partitions.values.values()) == {6.0}


@pytest.mark.parametrize(("bound", "limit"), [("MAX_MEMBERS", 2), ("MAX_GROUPS", 2), ("MAX_WAITING", 2)])
def test_beyond_a_bound_it_says_nothing_more_and_counts(
    bound: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, bound, limit)
    log = log_of(grouped(by=("n",)))
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0))
    assert partitions.values == {}
    (gathering,) = partitions.blocks[0].watch.gatherings.values()
    assert gathering.overflowed
    assert partitions.merges["d"].counts["gaps_overflow"] > 3
    partitions.restart()
    (gathering,) = partitions.blocks[0].watch.gatherings.values()
    assert gathering.overflowed
    assert not gathering.gathers or not any(map(len, gathering.gathers.values())) or bound == "MAX_WAITING"


@pytest.mark.parametrize(
    ("bound", "limit", "says"),
    [
        (
            "MAX_MEMBERS",
            2,
            "its groups have 2 members on a partition, the most that there may be; .*Narrow its selector",
        ),
        ("MAX_GROUPS", 2, "it has 2 groups on a partition, the most that there may be; .*Group by fewer labels"),
        ("MAX_WAITING", 2, "more than 2 samples wait for their step on a partition; .*Narrow its selector"),
    ],
)
def test_who_exceeds_a_bound_is_told_which_and_what_to_do(
    bound: str, limit: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, bound, limit)
    log = log_of(grouped(by=("n",)))
    log.detector("e", grouped('m{n="1"}'))
    block, _ = log.run()
    (notice,) = block.watch.notices()
    assert re.match(f"detector d \\('ewma'\\): {says}", notice), notice
    assert "none of its groups is judged" in notice
    assert block.watch.notices() == []


def test_a_change_of_the_config_lets_it_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    log = log_of(grouped(), steps=6)
    log.detector("d", grouped('m{n="1"}'))
    for step in range(6, 20):
        log.samples(*(({"__name__": "m", "n": str(n)}, STEP_S * step - 1.0, n + 1.0) for n in range(3)))
        log.control(STEP_S * step + 5.0)
    assert set(values(log)) == {2.0}


def test_silence_ends_a_group_and_steps_of_nothing_cost_nothing() -> None:
    log = log_of(grouped())
    log.control(86_400.0)
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0))
    last = max(time_ms for _, time_ms, _ in partitions.values)
    assert last - START_MS == pytest.approx(11 * STEP_S * 1000 + 300_000, abs=15_000)
    assert partitions.merges["d"].counts["steps"] < 100


def test_a_type_learned_later_changes_what_auto_means() -> None:
    log = Log()
    log.detector("plain", config("ewma", "switches", shape=Shape.AUTO, threshold=1.0, quiet_s=99.0))
    log.detector("group", grouped("switches", Shape.AUTO, by=()))
    log.control(0.0)
    block = log.block()
    block.take(log.chunks())
    log.records.clear()
    for step in range(1, 12):
        log.samples(({"__name__": "switches"}, STEP_S * step, 1000.0 * step * step))
        log.control(STEP_S * step + 5.0)
    raw = anomalies(block.take(log.chunks()))
    assert {event.signal.shape for event in raw} == {Shape.RAW}
    assert {key.shape for key in block.watch.programs.keys} == {Shape.RAW}
    closed = anomalies(block.take([Types("anonymous", (("switches", MetricType.COUNTER),))]))
    assert [event.closed_by for event in closed] == ["detector"]
    assert {key.shape for key in block.watch.programs.keys} == {Shape.RATE}
    assert block.take([Types("anonymous", (("switches", MetricType.COUNTER),))]) == []
    other = block.take([Types("other", (("switches", MetricType.GAUGE),))])
    assert other == []
    assert {key.shape for key in block.watch.programs.keys} == {Shape.RATE}


def test_a_long_range_need_not_wait_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 12)
    log = log_of(grouped(shape=Shape.RATE, range_s=300), steps=40)
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0), restarts=0.2)
    (gathering,) = partitions.blocks[0].watch.gatherings.values()
    assert not gathering.overflowed
    assert len(partitions.values) > 10
    assert gathering.waiting == sum(one.waiting_samples for one in gathering.gathers.values()) < 12


def test_what_waits_is_bounded_however_far_ahead_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100)
    log = log_of(grouped(), steps=6)
    for second in range(90, 150):
        log.samples(*(({"__name__": "m", "n": str(n)}, second + 500.0, 1.0) for n in range(2)))
        log.control(float(second))
    block = log.block()
    for chunk in log.chunks():
        block.take([chunk])
        (gathering,) = block.watch.gatherings.values()
        assert sum(one.waiting_samples for one in gathering.gathers.values()) <= 100
    assert gathering.overflowed


def test_what_waits_is_known_after_a_restart_and_when_members_go() -> None:
    log = log_of(grouped())
    log.samples(*(({"__name__": "m", "n": str(n)}, 176.0 + second, 1.0) for second in range(3) for n in range(3)))
    block = log.block()
    block.take(log.chunks())
    again = load(save(block), log.block())
    (before,), (after,) = block.watch.gatherings.values(), again.watch.gatherings.values()
    assert before.waiting == after.waiting >= 9
    again.watch.remove_series(np.array([0]))
    assert after.waiting == sum(one.waiting_samples for one in after.gathers.values()) <= before.waiting - 3


@pytest.mark.parametrize("step_s", [5, 15, 60])
def test_silence_of_a_group_is_as_long_as_it_was(step_s: int) -> None:
    """Raw values are looked back for over five minutes, as in Prometheus."""
    by_step = Group(by=("n",), step_s=step_s)
    made = config("missing", "m", group=by_step, params={"warmup": 5}, threshold=8.0, quiet_s=600.0)
    log, gone_s, end_s = Log(), 60 * step_s, 60 * step_s + 300 + 20 * step_s
    log.detector("d", made)
    log.control(0.0)
    for second in range(1, end_s):
        if second % step_s == step_s - 1:
            numbers = "ab" if second < gone_s else "a"
            log.samples(*(({"__name__": "m", "n": n}, float(second), 1.0) for n in numbers))
        log.control(float(second))
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0), restarts=0.02)
    (opened,) = [event for event in anomalies(partitions.out) if event.event == "opened"]
    assert opened.signal.labels == {"n": "b"}
    since_s = (opened.time_ms - START_MS) / 1000 - gone_s - 300
    assert since_s <= 8 * step_s
    assert abs(opened.value - since_s) <= 2 * step_s


def test_groups_outlast_steps_without_a_value() -> None:
    """However long the steps are; single series are given up after an hour."""
    merge = Merge(TOPICS, BlockLimits(), 1)
    for step_s, idle_s in ((15, 3600), (3600, 8 * 3600)):
        plan = GroupPlan(Group(by=("n",), step_s=step_s), Shape.RAW, ())
        assert merge.new_block(plan).limits.idle_s == idle_s
