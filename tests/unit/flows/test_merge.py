from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from connectors.anomaly import ClosedBy, EventType
from connectors.codec.encode import encode_labels
from connectors.codec.native import NativeHistogram
from connectors.detector import Detector, DetectorConfig, Group, Shape
from connectors.feedback import Rule
from flows import merge, validator
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.partial import GroupName, Part, Portion
from flows.rules import Standing
from flows.saved_merge import load_merge, save_merge
from flows.validator import ConfigError
from tests.groups import Key, Partitions, SeenMerge, sharing_logs
from tests.streams import TOPICS, anomalies, config

A, B = encode_labels({"x": "a"}), encode_labels({"x": "b"})
FIRST = 118_000_000


def detector(revision: int = 1, **changes: Any) -> Detector:
    made = config("ewma", "m", **{"group": Group(by=("x",)), **changes})
    return Detector(id="d", revision=revision, config=made, author="", updated_ms=0)


def part(step: int, *values: float, revision: int = 1, incarnation: int = 0, **changes: Any) -> Part:
    """One partition's sum of group a, and of b if there are two values."""
    names = tuple(GroupName(labels) for labels in (A, B)[: len(values)])
    portion = Portion(0, Shape.RAW, names, np.ones(len(values), np.int64), np.array(values))
    step += FIRST
    fields = {"first": step, "until": step, "portions": (portion,) if values else ()}
    return Part(detector(revision), incarnation, **{**fields, **changes})


def end(step: int, incarnation: int = 0) -> Part:
    return part(step, incarnation=incarnation, first=FIRST + step, until=FIRST + step - 1, ended=True)


def merged(partitions: int, *parts: tuple[int, Part]) -> tuple[SeenMerge, dict[tuple[int, str], float]]:
    values: dict[Key, float] = {}
    made = SeenMerge("d", values, partitions)
    for one in parts:
        made.take([one])
    return made, told(values)


def told(values: dict[Key, float]) -> dict[tuple[int, str], float]:
    return {(time_ms // 15_000 - FIRST, dict(labels)["x"]): value for (_, time_ms, labels), value in values.items()}


def test_a_step_waits_for_every_partition() -> None:
    made, values = merged(2, (0, part(1, 1.0)), (0, part(2, 2.0)))
    assert values == {}
    made.take([(1, part(1, 10.0, 20.0))])
    assert told(made.values) == {(1, "a"): 11.0, (1, "b"): 20.0}
    made.take([(1, part(2))])
    assert told(made.values)[2, "a"] == 2.0
    assert made.counts == {"steps": 2, "groups": 3}


def test_an_empty_mark_may_cover_many_steps() -> None:
    idle = part(0, first=FIRST + 1, until=FIRST + 4)
    _, values = merged(2, (1, idle), *((0, part(step, float(step))) for step in (1, 2, 3, 4, 5)))
    assert values == {(step, "a"): float(step) for step in (1, 2, 3, 4)}


def test_two_idle_partitions_say_nothing_in_one_go() -> None:
    made, _ = merged(2, (0, part(0, first=FIRST, until=FIRST + 9)), (1, part(0, first=FIRST, until=FIRST + 7)))
    assert made.counts == {"steps": 1, "groups": 0}
    assert (made.queues[0][0].first, len(made.queues[1])) == (FIRST + 8, 0)


def test_steps_before_the_last_partition_began_are_gaps() -> None:
    made, values = merged(2, (0, part(1, 1.0)), (0, part(2, 2.0)), (0, part(3, 3.0)), (1, part(3, 4.0)))
    assert values == {(3, "a"): 7.0}
    assert made.counts["gaps_begin"] == 2


@pytest.mark.parametrize("late", [0, 1])
def test_a_step_on_which_partitions_disagree_is_a_gap_in_any_order(late: int) -> None:
    old = [(0, part(1, 1.0)), (0, part(2, 1.0)), (0, end(3)), (0, part(8, 5.0, incarnation=3))]
    new = [(1, part(1, 1.0)), (1, end(2)), (1, part(8, 6.0, incarnation=3)), (1, part(9, 6.0, incarnation=3))]
    made, values = merged(2, *(old + new if late else new + old))
    assert values == {(1, "a"): 2.0, (8, "a"): 11.0}
    assert made.counts["gaps_revision"] == 1


def test_a_newer_revision_of_the_same_goes_on() -> None:
    made, values = merged(
        2,
        (0, part(1, 1.0)),
        (1, part(1, 1.0, revision=2)),
        (0, part(2, 1.0, revision=2)),
        (1, part(2, 1.0, revision=2)),
    )
    assert len(values) == 2
    assert made.running is not None
    assert (made.running.revision, made.running.incarnation) == (2, 0)


def test_beyond_the_bound_of_a_partition_the_step_is_a_gap() -> None:
    made, values = merged(2, (0, part(1, 1.0)), (1, part(1, overflowed=True)))
    assert values == {}
    assert made.counts["gaps_overflow"] == 1


def test_a_partition_that_is_far_ahead_loses_its_oldest_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "MAX_QUEUED", 3)
    made, _ = merged(2, *((0, part(step, 1.0)) for step in range(5)))
    made.take([(1, part(step, 1.0)) for step in range(3)])
    assert told(made.values) == {(2, "a"): 2.0}
    assert made.counts["gaps_queue"] == 2
    assert made.counts["gaps_begin"] == 2


def test_it_is_over_when_all_partitions_have_said_so() -> None:
    made, _ = merged(2, (0, part(1, 1.0)), (1, part(1, 1.0)), (0, end(2)))
    assert not made.over
    made.take([(1, end(2))])
    assert made.over
    assert made.running is None


def test_what_waits_is_saved_as_it_is() -> None:
    histogram = NativeHistogram(3, 4.0, 1.5, 1e-6, 1.0, {-3: 2.0, 5: 1.0}, {2: 1.0}, (), 7)
    buckets = Portion(1, Shape.RATE, (GroupName(A, 0.5), GroupName(A, np.inf)), np.array([2, 2]), np.array([1.0, 2.0]))
    native = Portion(0, Shape.RATE, (GroupName(b"\xff\x00", np.inf),), np.array([1]), np.zeros(1), (histogram,))
    waiting = part(3)._replace(portions=(buckets, native))
    made, _ = merged(2, (0, part(1, 1.0)), (1, part(1, 1.0)), (0, part(2, 2.0)), (0, waiting), (0, end(4)))
    copy = load_merge(save_merge(made), Merge(TOPICS, BlockLimits(), 2))
    assert [list(map(repr, queue)) for queue in copy.queues] == [list(map(repr, queue)) for queue in made.queues]
    assert copy.counts == made.counts
    assert copy.running is not None
    assert save_merge(copy) == save_merge(made)


def refuse(made: DetectorConfig) -> None:
    raise ConfigError(field="kind", value=made.kind, expected="no longer known")


def test_what_a_newer_version_refuses_ends_with_its_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = sharing_logs(2)
    logs[0].detector("d", config("ewma", group=Group(by=("x",)), threshold=3.0, quiet_s=60.0))
    for step in range(40):
        value = 100.0 if step > 37 else float(step % 3)
        for n, log in enumerate(logs):
            log.samples(*(({"__name__": "m", "x": x, "n": str(n)}, 15.0 * step + 14.0, value) for x in "ab"))
            log.control(15.0 * step + 21.0)
    partitions = Partitions(logs)
    partitions.run(np.random.default_rng(0))
    last = {event.id: event for event in anomalies(partitions.out)}
    told = {key for key, event in last.items() if event.event is not EventType.CLOSED}
    counted = partitions.merges["d"].block_counts()
    monkeypatch.setattr(validator, "_check_sense", refuse)
    partitions.restart()
    assert partitions.merges["d"].block_counts() == counted + Counter(events_closed=len(told))
    partitions.out.clear()
    for partition, log in enumerate(logs):
        log.control(640.0)
        partitions.take(partition, log.chunks()[-1:])
        closed = anomalies(partitions.out)
        assert {event.id for event in closed} == told != set(), "they are told with what comes first"
    assert {(event.event, event.closed_by) for event in closed} == {(EventType.CLOSED, ClosedBy.DETECTOR)}
    assert all(event.sequence == last[event.id].sequence + 1 for event in closed)
    assert len(closed) == len(told)
    assert partitions.merges == {}, "all partitions have said that it is gone"


@pytest.mark.parametrize("cut", [None, 20, 21])
def test_rules_that_parts_bear_hide_groups_too(cut: int | None) -> None:
    """One partition knows the rule a step before the other; a snapshot in between changes nothing."""
    rule = Standing("f" * 32, "0" * 32, "me", 0, Rule(labels={"x": "a"}, expires_ms=(FIRST + 40) * 15_000))

    def opened(*rules: Standing) -> list[tuple[str, int]]:
        made, out = Merge(TOPICS, BlockLimits(), 2), []
        for step in range(64):
            value = {20: 500.0, 60: 1e6}.get(step, float(step % 3))
            out += made.take([(0, part(step, value, value, rules=rules if step >= 15 else ()))])
            if step == cut:
                made = load_merge(save_merge(made), Merge(TOPICS, BlockLimits(), 2))
            out += made.take([(1, part(step, value, value, rules=rules if step >= 16 else ()))])
        told = [event for event in anomalies(out) if event.event is EventType.OPENED]
        return sorted((event.signal.labels["x"], event.start_ms // 15_000 - FIRST) for event in told)

    assert opened() == [("a", 20), ("a", 60), ("b", 20), ("b", 60)]
    assert opened(rule) == [("a", 60), ("b", 20), ("b", 60)]
