"""How chance is shared out among the signals of a detector, and what that does to thresholds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from connectors.detector import DetectorConfig
from connectors.messages import CONTROL_HEADER, ControlRecord
from flows.block import Block
from flows.detectors.registry import KINDS
from flows.persistence import load, save
from flows.policy import chance_of_each
from tests.series import START_MS
from tests.streams import Log

AUTO = DetectorConfig(name="a", kind="auto", selector="m")


def log_with(series: int, *configs: DetectorConfig) -> Log:
    log = Log()
    for number, config in enumerate(configs):
        log.detector(f"d{number}", config)
    log.control(0)
    meet(log, 1, range(series))
    return log


def meet(log: Log, at_s: int, names: range) -> None:
    log.samples(*(({"__name__": "m", "n": str(n)}, at_s, 1.0) for n in names))


def control(log: Log, at_s: int, partitions: int = 1) -> None:
    record = ControlRecord(
        time_ms=START_MS + 1000 * at_s, detectors_offset=len(log.revisions), feedback_offset=0, partitions=partitions
    )
    log.append(record.encode(), headers=[(CONTROL_HEADER, b"1")])


def chance_in(block: Block, detector_id: str = "d0") -> float:
    return 10.0 ** float(block.watch.policies["log_chance"][block.watch.numbers[detector_id]])


@pytest.mark.parametrize(("signals", "chance"), [(0, 5.0), (1, 5.0), (4, 5.0), (42, 0.5), (500, 0.042)])
def test_auto_alarms_by_chance_so_often_a_signal_and_no_more_than_so_often_in_all(signals: int, chance: float) -> None:
    assert KINDS["auto"].chance_in_all == 21.0
    assert chance_of_each(AUTO, signals) == pytest.approx(chance)


def test_a_stated_chance_is_that_of_each_signal() -> None:
    assert chance_of_each(AUTO.model_copy(update={"chance_per_week": 4.0}), 500) == 4.0
    assert chance_of_each(DetectorConfig(name="m", kind="mad", selector="m", chance_per_week=4.0), 500) == 4.0


def test_a_chance_that_is_stated_at_last_is_that_of_each_signal_from_then_on() -> None:
    log = log_with(42, AUTO, AUTO.model_copy(update={"threshold": 9.0}))
    control(log, 2)
    log.detector("d0", AUTO.model_copy(update={"chance_per_week": 5.0}))
    log.detector("d1", AUTO)
    control(log, 3)
    control(log, 4)
    block, _ = log.run()
    assert [chance_in(block, name) for name in ("d0", "d1")] == pytest.approx([5.0, 0.5])
    assert block.counts["revisions_applied"] == 4


def test_a_stated_threshold_leaves_nothing_to_chance() -> None:
    assert math.isnan(chance_of_each(AUTO.model_copy(update={"threshold": 4.0}), 500))
    assert math.isnan(chance_of_each(DetectorConfig(name="m", kind="mad", selector="m"), 500))


@pytest.mark.parametrize(("series", "partitions", "signals"), [(1, 1, 1), (1, 8, 1), (6, 1, 6), (6, 8, 41)])
def test_other_partitions_are_taken_to_have_as_many(series: int, partitions: int, signals: int) -> None:
    log = log_with(series, AUTO)
    control(log, 2, partitions)
    assert chance_in(log.run()[0]) == pytest.approx(min(5.0, 21.0 / signals))


def test_it_follows_what_comes_and_goes_at_control_records_only() -> None:
    log = log_with(6, AUTO)
    assert chance_in(log.run()[0]) == pytest.approx(5.0), "so what is judged does not depend on how the input is cut"
    control(log, 2)
    assert chance_in(log.run()[0]) == pytest.approx(3.5)
    meet(log, 3, range(6, 21))
    control(log, 4)
    assert chance_in(log.run()[0]) == pytest.approx(1.0)
    for at_s in range(5, 200, 30):
        meet(log, at_s, range(7))
        control(log, at_s)
    assert chance_in(log.run(idle_s=60)[0]) == pytest.approx(3.0), "fourteen series went away"


def test_each_detector_has_its_own() -> None:
    stated = AUTO.model_copy(update={"name": "b", "chance_per_week": 2.0})
    few = AUTO.model_copy(update={"name": "c", "selector": 'm{n=~"[0-2]"}'})
    log = log_with(10, AUTO, stated, few, AUTO.model_copy(update={"name": "d", "threshold": 4.0}))
    control(log, 2)
    block, _ = log.run()
    assert [chance_in(block, f"d{n}") for n in range(3)] == pytest.approx([2.1, 2.0, 5.0])
    assert math.isnan(chance_in(block, "d3"))


def test_a_new_detector_takes_nothing_over_from_one_that_is_gone() -> None:
    log = log_with(10, AUTO)
    control(log, 2)
    log.detector("d0", None)
    log.detector("d1", AUTO)
    control(log, 3)
    assert chance_in(log.run()[0], "d1") == pytest.approx(2.1)


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_snapshot_goes_on_with_the_same(cut: int) -> None:
    """Taken anywhere, also between a series that came and the control record that lets it count."""
    log = log_with(6, AUTO)
    control(log, 2, 3)
    meet(log, 3, range(6, 30))
    meet(log, 4, range(30, 33))
    control(log, 5, 3)
    meet(log, 6, range(33, 40))
    chunks = log.chunks()
    whole, first = log.block(), log.block()
    whole.take(chunks[:cut])
    first.take(chunks[:cut])
    again = load(save(first), log.block())
    for chunk in chunks[cut:]:
        assert again.watch.thresholds.chances() == whole.watch.thresholds.chances()
        np.testing.assert_array_equal(again.watch.policies["log_chance"][:1], whole.watch.policies["log_chance"][:1])
        again.take([chunk])
        whole.take([chunk])
    chances = json.loads(json.dumps(again.watch.thresholds.chances()))
    assert chances == {"d0": [33, pytest.approx(math.log10(21.0 / 97.0))]}
