from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.anomaly import Anomaly
from connectors.detector import Aggregate, Group, Shape
from flows import contributions
from flows.contributions import COLUMNS, TOP, Contributors, heaviest, stand_out
from flows.detectors.base import Table
from flows.partial import Leader
from tests.groups import Partitions, sharing_logs
from tests.streams import anomalies, config

STEP_S = 15
PODS = 7


def fed(steps: int = 40, seed: int = 0) -> tuple[Table, np.random.Generator]:
    """Members around 10, 20, 30, … that are known well."""
    members, rng = Table(COLUMNS, 4), np.random.default_rng(seed)
    for _ in range(steps):
        stand_out(members, np.arange(4), 10.0 * np.arange(1, 5) + rng.normal(0, 0.1, 4), int)
    return members, rng


def test_who_is_far_from_usual_stands_out_the_farthest_first() -> None:
    members, _ = fed()
    found = stand_out(members, np.arange(4), np.array([10.0, 25.0, 30.05, 35.0]), int)
    assert found.places.tolist() in ([1, 3], [3, 1])
    assert dict(zip(found.places.tolist(), found.usual.tolist(), strict=True)) == {
        1: pytest.approx(20.0, abs=0.1),
        3: pytest.approx(40.0, abs=0.1),
    }


def test_nobody_stands_out_who_is_hardly_known_or_absent() -> None:
    members, _ = fed(steps=5)
    assert not len(stand_out(members, np.arange(4), np.full(4, 1000.0), int).places)
    members, _ = fed()
    assert stand_out(members, np.arange(4), np.array([np.nan, np.inf, 99.0, 40.0]), int).places.tolist() == [2]


def test_who_hardly_ever_moved_may_stand_out_beyond_any_measure() -> None:
    members = Table(COLUMNS, 2)
    for step in range(40):
        stand_out(members, np.arange(2), np.array([1e-320 * (step % 2), 10.0 + step % 2]), int)
    found = stand_out(members, np.arange(2), np.array([1e38, 50.0]), int)
    assert found.places.tolist() == [0, 1]


def test_noise_hardly_stands_out_and_an_incident_does_not_become_usual_at_once() -> None:
    members, rng = fed(steps=200)
    rare = [len(stand_out(members, np.arange(4), 10.0 * np.arange(1, 5) + rng.normal(0, 0.1, 4), int).places)
            for _ in range(500)]  # fmt: skip
    assert sum(rare) < 20
    for _ in range(20):
        found = stand_out(members, np.arange(4), np.array([10.0, 20.0, 60.0, 40.0]), int)
        assert found.places.tolist() == [2]


def test_a_value_that_was_always_the_same_is_left_and_learned() -> None:
    members = Table(COLUMNS, 1)
    values = [5.0] * 20 + [6.0] * 200
    found = [len(stand_out(members, np.zeros(1, np.int64), np.array([value]), int).places) for value in values]
    assert found[:20] == [0] * 20
    assert found[20] == 1
    assert found[-50:] == [0] * 50


def test_the_heaviest_of_a_maximum_is_the_largest_else_the_farthest() -> None:
    leaders = [Leader(b"g", bytes([n]), value, usual) for n, (value, usual) in enumerate([(5, 1), (9, 8), (2, 8)])]
    values = {
        aggregate: [one.value for one in heaviest(aggregate, leaders)]
        for aggregate in (Aggregate.SUM, Aggregate.MAX, Aggregate.MIN)
    }
    assert values == {Aggregate.SUM: [2, 5, 9], Aggregate.MAX: [9, 5, 2], Aggregate.MIN: [2, 5, 9]}
    assert len(heaviest(Aggregate.SUM, leaders * 4)) == TOP


def test_only_so_many_groups_are_remembered_and_only_for_their_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contributions, "MAX_GROUPS_KEPT", 2)
    kept = Contributors()
    for step, group in enumerate((b"a", b"b", b"a", b"c")):
        kept.take(1000 * step, Aggregate.SUM, [Leader(group, b"m", 1.0, 0.0)])
    assert [bool(kept.of(group, 2000)) for group in (b"a", b"b", b"c")] == [True, False, True]
    assert not kept.of(b"a", 2001)
    again = Contributors()
    again.load(kept.save())
    assert again.save() == kept.save()


def pods(made: Any, *, partitions: int, spike: float = 30.0, all_of_them: float = 0.0) -> Partitions:
    """Pods of two services on some partitions; pod 3 of the shop spikes for three steps."""
    logs = sharing_logs(partitions)
    logs[0].detector("d", made)
    rng = np.random.default_rng(3)
    for log in logs:
        log.control(0.0)
    for step in range(1, 60):
        second, spikes = STEP_S * step - 1.0, 40 <= step < 43
        for service in ("shop", "mail"):
            for pod in range(PODS):
                value = 10.0 + pod + rng.normal(0, 0.1) + (all_of_them if spikes else 0.0)
                value += spike if spikes and service == "shop" and pod == 3 else 0.0
                labels = {"__name__": "m", "service": service, "pod": f"p{pod}"}
                logs[pod % partitions].samples((labels, second, value))
        for log in logs:
            log.control(STEP_S * step + 5.0)
    return Partitions(logs)


def last_of(partitions: Partitions) -> dict[str, Anomaly]:
    return {event.signal.labels["service"]: event for event in anomalies(partitions.out)}


@pytest.mark.parametrize(("aggregate", "partitions"), [(Aggregate.SUM, 1), (Aggregate.AVG, 3), (Aggregate.MAX, 2)])
def test_an_anomaly_names_the_member_that_made_it(aggregate: Aggregate, partitions: int) -> None:
    made = config("mad", "m", group=Group(by=("service",), aggregate=aggregate), params={"window": 20}, quiet_s=60.0)
    found = pods(made, partitions=partitions)
    found.run(np.random.default_rng(0), restarts=0.1)
    (event,) = last_of(found).values()
    first = event.contributors[0]
    assert first.labels == {"__name__": "m", "service": "shop", "pod": "p3"}
    assert first.value == pytest.approx(43.0, abs=1.0)
    assert first.usual == pytest.approx(13.0, abs=1.0)
    assert event.event == "closed", "what stood out stays with its episode"
    assert 'most of it m{pod="p3"} at 4' in event.sentence
    assert "where 1" in event.sentence


def test_of_a_share_the_members_above_are_told() -> None:
    """Pods of the shop, each as a share of its like in both services."""
    group = Group(by=("pod",), denominator='m{service=~"shop|mail"}')
    made = config("mad", 'm{service="shop"}', group=group, params={"window": 20}, quiet_s=60.0)
    found = pods(made, partitions=2)
    found.run(np.random.default_rng(0))
    (event,) = {event.id: event for event in anomalies(found.out) if event.signal.labels == {"pod": "p3"}}.values()
    assert [one.labels["service"] for one in event.contributors] == ["shop"]


def test_where_all_move_alike_by_count_nobody_is_told() -> None:
    made = config("mad", "m", group=Group(by=("service",), aggregate="count"), params={"window": 20}, shape=Shape.RAW)
    found = pods(made, partitions=2, all_of_them=5.0)
    found.run(np.random.default_rng(0))
    assert not any(event.contributors for event in anomalies(found.out))
