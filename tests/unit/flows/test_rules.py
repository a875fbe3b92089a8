from __future__ import annotations

from typing import Any

import pytest

from connectors.anomaly import Anomaly, Direction, EventType
from connectors.feedback import FeedbackKind, Rule, feedback
from connectors.messages import MAX_TIME_MS
from flows import rules as module
from flows.block import Block
from flows.persistence import load, save
from flows.rules import RuleOutcome, Rules, load_standing
from flows.saved import pack, unpack
from tests.series import START_MS
from tests.streams import Log, anomalies, by_id, config

A, B = {"__name__": "m", "x": "a"}, {"__name__": "m", "x": "b"}
FAULTS = (30, 60, 90)
"""Both series jump here for three seconds."""


def strange(at_s: int) -> float:
    return 500.0 if any(fault <= at_s < fault + 3 for fault in FAULTS) else float(at_s % 3)


def log_with(*steps: tuple[int, Any]) -> Log:
    """Two minutes of two series; each step is done before its second."""
    log = Log()
    log.detector("d", config(threshold=8.0))
    for at_s in range(120):
        for when, do in steps:
            if when == at_s:
                do(log)
        log.control(at_s)
        log.samples((A, at_s + 0.5, strange(at_s)), (B, at_s + 0.5, strange(at_s)))
    return log


def opened(events: list[Anomaly]) -> set[tuple[str, int]]:
    """Series and second of what was opened."""
    return {
        (event.signal.labels["x"], (event.start_ms - START_MS) // 1000)
        for event in events
        if event.event is EventType.OPENED
    }


BOTH = {(name, fault) for name in "ab" for fault in FAULTS}
HALF_MS = START_MS + 45_000


@pytest.mark.parametrize(
    ("fields", "hidden"),
    [
        ({"detector": "d"}, BOTH),
        ({"detector": "other"}, set()),
        ({"labels": {"x": "a"}}, {("a", fault) for fault in FAULTS}),
        ({"detector": "d", "labels": {"x": "b"}, "direction": Direction.UP}, {("b", fault) for fault in FAULTS}),
        ({"detector": "d", "direction": Direction.DOWN}, set()),
        ({"detector": "d", "expires_ms": HALF_MS}, {("a", 30), ("b", 30)}),
    ],
)
def test_a_rule_hides_what_fits_it_until_it_expires(fields: dict[str, Any], hidden: set[tuple[str, int]]) -> None:
    log = log_with((10, lambda log: log.rule(**fields)))
    block, events = log.run()
    assert opened(log_with().run()[1]) == BOTH
    assert opened(events) == BOTH - hidden
    assert {event.id for event in events} == {event.id for event in events if event.sequence == 0}
    rule = "one_detector" if fields.get("detector") else "any_detector"
    counted = {name: n for name, n in block.counts.items() if name.startswith("hidden_")}
    assert counted == ({f"hidden_by_{rule}": len(hidden)} if hidden else {}), "names do not grow with the rules"
    assert block.narration.hiding.hidden == {}, "what has ended needs no memory"


def test_a_rule_holds_from_its_place_in_the_log_on_and_no_longer_than_it_stands() -> None:
    ids: list[str] = []
    log = log_with(
        (50, lambda log: ids.append(log.rule(detector="d"))),
        (80, lambda log: log.no_rule(ids[0])),
        (81, lambda log: log.no_rule("f" * 32)),
    )
    block, events = log.run()
    assert opened(events) == {(name, fault) for name in "ab" for fault in (30, 90)}
    assert block.counts["rules_applied"] == 2
    assert block.counts["rules_unknown"] == 1


def test_what_still_goes_on_when_its_rule_ends_opens_then() -> None:
    ids: list[str] = []
    log = Log()
    log.detector("d", config("ewma", threshold=8.0, cooldown_s=5.0))
    for at_s in range(300):
        if at_s == 20:
            ids.append(log.rule(detector="d"))
        if at_s == 60:
            log.no_rule(ids[0])
        log.control(at_s)
        log.samples((A, at_s + 0.5, float(at_s % 3) if at_s < 30 else 10.0 * 1.5 ** min(at_s, 290)))
    told = log.run()[1]
    assert told[0].event is EventType.OPENED
    assert told[0].start_ms < START_MS + 40_000
    assert told[0].time_ms >= START_MS + 60_000
    assert told[0].sequence > 0


def test_a_block_saved_and_loaded_anywhere_says_the_same() -> None:
    ids: list[str] = []
    log = log_with(
        (10, lambda log: ids.append(log.rule(labels={"x": "a"}))),
        (62, lambda log: log.no_rule(ids[0])),
        (85, lambda log: log.rule(detector="d", expires_ms=START_MS + 91_000)),
    )
    expected = log.run()[1]
    chunks = log.chunks()
    for cut in (25, 61, 63, 65, 123, 125, 127, 183, 185):
        first = log.block()
        events = anomalies(first.take(chunks[:cut]))
        second = load(save(first), log.block())
        assert by_id([*events, *anomalies(second.take(chunks[cut:]))]) == by_id(expected), cut


def test_a_snapshot_of_before_there_were_rules_takes_them_up() -> None:
    log = log_with((10, lambda log: log.rule(detector="d")))
    chunks = log.chunks()
    block = log.block()
    block.read_feedback = lambda _start, _end: ()
    block.take(chunks[:40])
    old = unpack(save(block))
    for name in ("rules", "hidden"):
        del old.header[name]
    newer: Block = load(pack(old.header, old.arrays, old.blobs), log.block())
    assert opened(anomalies(newer.take(chunks[40:]))) == set()


def test_rules_are_bounded_and_come_back_from_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RULES", 2)
    rules = Rules()
    for number in range(3):
        rule = Rule(detector=f"d{number}", labels={"a": "b"}, expires_ms=10 + number)
        added = feedback(FeedbackKind.RULE_ADDED, "0" * 32, "me", number, rule=rule)
        assert rules.apply(added) is (RuleOutcome.APPLIED if number < 2 else RuleOutcome.LIMIT)
    assert rules.apply(feedback(FeedbackKind.ACKNOWLEDGE, "0" * 32, "me", 1)) is None
    again = Rules()
    again.replace(load_standing(rules.saved()))
    assert again.standing == rules.standing
    assert [one.rule.detector for one in again.of("d1")] == ["d1"]
    later = feedback(FeedbackKind.RULE_ADDED, "0" * 32, "me", 10, rule=Rule(detector="x", expires_ms=99))
    assert rules.apply(later) is RuleOutcome.APPLIED, "one whose time is over makes room"
    again.expire(10)
    assert len(again) == 1


@pytest.mark.parametrize(
    ("hours", "minute", "fits"),
    [
        ((60, 120), 60, True),
        ((60, 120), 120, False),
        ((1400, 30), 10, True),
        ((1400, 30), 30, False),
        ((5, 5), 5, True),
    ],
)
def test_times_of_day_may_lie_around_midnight(hours: tuple[int, int], minute: int, fits: bool) -> None:
    rule = Rule(detector="d", from_minute=hours[0], to_minute=hours[1], expires_ms=MAX_TIME_MS)
    assert rule.hides("d", "anonymous", {}, Direction.UP, (20_000 * 1440 + minute) * 60_000) is fits


@pytest.mark.parametrize(
    "fields", [{}, {"detector": "d", "from_minute": 5}, {"labels": {str(n): "" for n in range(17)}}]
)
def test_rules_without_bounds_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"name a detector or a label|both ends are named|at most 16"):
        Rule(expires_ms=1, **fields)


@pytest.mark.parametrize(("of", "fits"), [("a", True), ("b", False), (None, True)])
def test_a_rule_is_of_one_tenant(of: str | None, fits: bool) -> None:
    """One that an older version wrote names none, and is of all."""
    rule = Rule(tenant=of, labels={"job": "x"}, expires_ms=5)
    assert rule.hides("d", "a", {"job": "x"}, Direction.UP, 4) is fits
