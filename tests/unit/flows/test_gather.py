from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.messages import DetectorConfig, Group, MetricType, Shape
from flows import gather
from flows.chunks import Types
from tests.groups import Partitions
from tests.series import START_MS
from tests.streams import Log, anomalies, config

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


@pytest.mark.parametrize(("bound", "limit"), [("MAX_MEMBERS", 2), ("MAX_GROUPS", 2), ("MAX_WAITING", 8)])
def test_beyond_a_bound_it_says_nothing_more_and_counts(
    bound: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, bound, limit)
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


def test_a_change_of_the_config_lets_it_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MAX_MEMBERS", 2)
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
    assert {key.shape for key in block.watch.program_keys()} == {Shape.RAW}
    closed = anomalies(block.take([Types("anonymous", (("switches", MetricType.COUNTER),))]))
    assert [event.closed_by for event in closed] == ["detector"]
    assert {key.shape for key in block.watch.program_keys()} == {Shape.RATE}
    assert block.take([Types("anonymous", (("switches", MetricType.COUNTER),))]) == []
    other = block.take([Types("other", (("switches", MetricType.GAUGE),))])
    assert other == []
    assert {key.shape for key in block.watch.program_keys()} == {Shape.RATE}
