"""Members of a group judged against each other, over partitions and restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from connectors.anomaly import Anomaly
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.detector import Group
from flows.chunks import NewSeries, Samples
from flows.detectors.outlier import GROUP, Outlier, OutlierParams
from flows.peers import Peers
from flows.policy import chance_of_each
from flows.program import Program
from tests.groups import Partitions, sharing_logs
from tests.series import START_MS
from tests.streams import Log, anomalies, by_id, config

STEP_S = 15
PARTITIONS = 3
MEMBERS = 9
ODD = {("web", 4): range(45, 51), ("db", 2): range(54, 58)}


def outlier(**changes: Any) -> Any:
    group = Group(by=("job",), aggregate="members", grace_s=0)
    usual = {"group": group, "threshold": 6.0, "quiet_s": 60.0, "params": {}, "calibrate": False}
    return config("outlier", "m", **{**usual, **changes})


def labels_of(job: str, n: int) -> dict[str, str]:
    return {"__name__": "m", "job": job, "n": str(n)}


def logs_of(detector: Any, steps: int = 70) -> list[Log]:
    """Two groups of members on any partition, two of them odd for a while; one is away for some steps."""
    logs = sharing_logs(PARTITIONS)
    logs[0].detector("d", detector)
    for log in logs:
        log.control(0)
    rng = np.random.default_rng(3)
    for step in range(1, steps):
        at_s = STEP_S * step - 5
        for job, level in (("web", 100.0), ("db", 5.0)):
            for n in range(MEMBERS):
                if (job, n) == ("db", 7) and 20 <= step < 40:
                    continue
                value = rng.normal(level, 1.0) + (60.0 if step in ODD.get((job, n), ()) else 0.0)
                logs[(7 * n + len(job)) % PARTITIONS].samples((labels_of(job, n), at_s, value))
        for log in logs:
            log.control(STEP_S * step + 1)
    return logs


def logs_of_outliers() -> list[Log]:
    return logs_of(outlier())


def logs_of_vectors() -> list[Log]:
    return logs_of(vectors())


def told(events: Iterable[Anomaly]) -> set[tuple[str, int]]:
    return {(event.signal.labels["job"], int(event.signal.labels["n"])) for event in events}


def test_an_anomaly_names_the_member() -> None:
    world = Partitions(logs_of(outlier()))
    world.run(np.random.default_rng(0))
    events = list({event.id: event for event in anomalies(world.out)}.values())
    assert told(events) == set(ODD)
    for event in events:
        odd = ODD[event.signal.labels["job"], int(event.signal.labels["n"])]
        assert event.signal.expression == "m"
        assert event.signal.labels["__name__"] == "m"
        assert event.start_ms - START_MS == 1000 * (STEP_S * odd[0] - 5)
        assert event.samples == len(odd)


@cache
def whole_of(logs: Callable[[], list[Log]]) -> Partitions:
    """What these logs say in some order and without a restart."""
    whole = Partitions(logs())
    whole.run(np.random.default_rng(99))
    return whole


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1))
def test_neither_order_nor_restarts_matter(seed: int) -> None:
    whole, other = whole_of(logs_of_outliers), Partitions(logs_of_outliers())
    other.run(np.random.default_rng(seed), restarts=0.2)
    assert by_id(anomalies(other.out)) == by_id(anomalies(whole.out))
    assert other.values == whole.values


def test_verdicts_are_those_of_the_bare_kind_on_all_members_at_once() -> None:
    world = Partitions(logs_of(outlier()))
    world.run(np.random.default_rng(0))
    by_time: dict[int, list[tuple[str, int, float]]] = {}
    for (_, time_ms, labels), value in world.values.items():
        by_time.setdefault(time_ms, []).append((dict(labels)["job"], int(dict(labels)["n"]), value))
    detector = Outlier(OutlierParams())
    state = detector.allocate(2 * MEMBERS)
    state[GROUP][MEMBERS:] = 1
    found = set()
    for time_ms, members in sorted(by_time.items()):
        rows = np.array([n + MEMBERS * (job == "db") for job, n, _ in members])
        values = np.array([value for _, _, value in members])
        scored = detector.step(state, rows, np.full(len(rows), time_ms), values)
        found |= {(members[at][0], members[at][1], time_ms) for at in np.flatnonzero(scored.score >= 6.0)}
    assert {(job, n) for job, n, _ in found} == set(ODD)
    assert len(found) == sum(map(len, ODD.values()))


def test_a_number_is_used_again_when_its_group_is_gone() -> None:
    peers = Peers('{"by":["job"],"without":null}')
    web, db = {"job": "web", "n": "1"}, {"job": "db"}
    assert (peers.join(0, web), peers.join(1, db), peers.join(2, {"job": "web"})) == (0, 1, 0)
    peers.leave(0)
    assert peers.join(3, {"job": "cart"}) == 2
    peers.leave(2)
    assert peers.join(4, {"job": "shop"}) == 0
    assert peers.join(5, web) == 3


def vectors(**params: Any) -> Any:
    group = Group(by=("job",), aggregate="members", grace_s=0)
    chosen = {"model": "LocalOutlierFactor", "model_params": {"n_neighbors": 5, "window_size": 30}, "warmup": 15}
    return config("river", "m", group=group, threshold=6.0, quiet_s=60.0, calibrate=False, params={**chosen, **params})


def test_an_anomaly_of_several_signals_is_the_entity_s() -> None:
    world = Partitions(logs_of(vectors()))
    world.run(np.random.default_rng(0))
    events = list({event.id: event for event in anomalies(world.out)}.values())
    first = {(event.signal.labels["job"], event.start_ms) for event in events}
    assert {("web", START_MS + 1000 * (STEP_S * 45 - 5)), ("db", START_MS + 1000 * (STEP_S * 54 - 5))} == first
    for event in events:
        assert set(event.signal.labels) == {"job"}
        assert event.signal.expression == "m"
        assert event.value > 60.0, "the value of the member that leads"
        assert event.upper < event.value
        first_of_all, *others = event.contributors
        assert (first_of_all.labels["job"], int(first_of_all.labels["n"])) in ODD
        assert first_of_all.value == pytest.approx(event.value, abs=10.0)
        assert len(others) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1))
def test_entities_do_not_depend_on_order_or_restarts(seed: int) -> None:
    whole, other = whole_of(logs_of_vectors), Partitions(logs_of_vectors())
    other.run(np.random.default_rng(seed), restarts=0.1)
    assert by_id(anomalies(other.out)) == by_id(anomalies(whole.out))
    for world in (whole, other):
        running = world.merges["d"].running
        assert running is not None
        assert running.block.watch.objects == 2
    assert leaders_of(whole) == leaders_of(other)
    assert {labels["n"] for labels in leaders_of(whole)} == {"4", "2"}


def leaders_of(world: Partitions) -> list[dict[str, str]]:
    """The first of the members that led when each entity surprised at last."""
    running = world.merges["d"].running
    assert running is not None
    block = running.block
    (key,) = block.watch.programs.keys
    program, rows, slots = block.watch.programs.slots(key)
    assert isinstance(program, Program)
    led = [program.leaders(slot)[:1] for slot, row in zip(slots.tolist(), rows.tolist(), strict=True)]
    found = block.series.index.find(np.array([one[0][0] for one in led if one], np.uint64))
    return sorted((block.series.labels_of(row) for row in found.tolist()), key=str)


def test_entities_are_bounded_and_their_members_are_not() -> None:
    world = Partitions(logs_of(vectors(max_keys=1), steps=20))
    world.run(np.random.default_rng(0), restarts=0.2)
    running = world.merges["d"].running
    assert running is not None
    assert running.block.watch.objects == 1
    assert len(running.block.series) == 2 * MEMBERS + 2


@pytest.mark.long
@pytest.mark.parametrize("kind", ["auto", "mad", "river"])
def test_members_judged_by_themselves_are_one_signal_over_partitions_and_restarts(kind: str) -> None:
    group = Group(by=("job",), aggregate="members", grace_s=0)
    detector = config(kind, "m", group=group, threshold=2.0, quiet_s=60.0, params={})
    logs = logs_of(detector, steps=120)
    for log in logs:
        log.control(STEP_S * 120 + 1)
    whole, other = Partitions(logs), Partitions(logs)
    whole.run(np.random.default_rng(99))
    other.run(np.random.default_rng(1), restarts=0.05)
    assert by_id(anomalies(other.out)) == by_id(anomalies(whole.out))
    running = whole.merges["d"].running
    assert running is not None
    block = running.block
    (program,) = block.watch.programs.judging()
    assert len(program.entities) == 2
    readiness = dict(block.readiness.items())["d"]
    assert (readiness.warming, readiness.needs) == (0, 0)
    assert block.watch.objects == (2 * MEMBERS if kind == "river" else 0)


def test_a_threshold_by_chance_is_shared_out_among_entities() -> None:
    """Members alarm nobody, so a detector of two entities has the threshold of two signals."""
    group = Group(by=("job",), aggregate="members", grace_s=0)
    world = Partitions(logs_of(config("auto", "m", group=group, threshold=None, params={}), steps=30))
    world.run(np.random.default_rng(0))
    running = world.merges["d"].running
    assert running is not None
    watch = running.block.watch
    (signals, log_chance), config_ = watch.thresholds.chances()["d"], watch.detector(0).source.config
    assert signals == 2 * (MEMBERS + 1)
    assert log_chance == pytest.approx(np.log10(chance_of_each(config_, 2)))


@pytest.mark.parametrize(("kind", "by", "params"), [
    ("mad", ("__name__", "job", "n"), {}),
    ("river", ("job",), {"model": "GaussianScorer", "max_keys": MEMBERS}),
])  # fmt: skip
def test_a_group_of_which_no_member_is_judged_is_told_as_one_that_needs_some(
    kind: str, by: tuple[str, ...], params: dict[str, Any]
) -> None:
    """The labels of each member are those of its group, or no member of the last group found room."""
    group = Group(by=by, aggregate="members", grace_s=0)
    world = Partitions(logs_of(config(kind, "m", group=group, params=params)))
    world.run(np.random.default_rng(0))
    running = world.merges["d"].running
    assert running is not None
    readiness = dict(running.block.readiness.items())["d"]
    assert (readiness.warming > 0, readiness.needs) == (True, 1)


def test_an_entity_of_counters_and_gauges_is_told_by_its_selector() -> None:
    """What leads may be either, so that a rate of all of them would be said of a gauge; nor does it change midway."""
    group = Group(by=("job",), aggregate="members", grace_s=0)
    logs = sharing_logs(1)
    logs[0].detector("d", config("mad", '{job="web"}', shape="auto", group=group, params={}, threshold=4.0))
    logs[0].control(0)
    rng = np.random.default_rng(0)
    for step in range(1, 100):
        count, gauge = 1000.0 * step, rng.normal(5.0, 1.0) + (50.0 if step in (76, 77) else 0.0)
        logs[0].samples(*(
            ({"__name__": name, "job": "web"}, STEP_S * step - 5, value)
            for name, value in (("n_total", count), ("m", gauge))
            if step < 80 or name == "m"
        ))  # fmt: skip
        logs[0].control(STEP_S * step + 1)
    world = Partitions(logs)
    world.run(np.random.default_rng(0))
    events = anomalies(world.out)
    assert {(event.signal.shape, event.signal.expression) for event in events} == {("raw", '{job="web"}')}


def test_groups_find_room_before_their_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.merge.MAX_MERGED_GROUPS", MEMBERS)
    group = Group(by=("job",), aggregate="members", grace_s=0)
    world = Partitions(logs_of(config("mad", "m", group=group, params={}), steps=20))
    world.run(np.random.default_rng(0), restarts=0.1)
    running = world.merges["d"].running
    assert running is not None
    (program,) = running.block.watch.programs.judging()
    assert (len(program.entities), len(running.block.series)) == (2, MEMBERS)
    assert running.block.counts["series_refused"] > 0


def test_chance_is_shared_anew_when_as_many_series_are_of_more_groups() -> None:
    group = Group(by=("job",), aggregate="members", grace_s=0)
    world = Partitions(logs_of(config("auto", "m", group=group, threshold=None, params={}), steps=30))
    world.run(np.random.default_rng(0))
    running = world.merges["d"].running
    assert running is not None
    watch = running.block.watch
    before, series = watch.thresholds.chances()["d"], watch.series
    gone = [row for row in range(len(series)) if series.labels_of(row).get("n") in {"0", "1"}][:2]
    running.block._forget_series(gone, [])
    labels = [encode_labels({"job": "cart"}), encode_labels(labels_of("cart", 0))]
    new = tuple(NewSeries(series_hash(raw, "anonymous"), "anonymous", raw) for raw in labels)
    hashes = np.array([one.series for one in new], np.uint64)
    running.block.take([Samples(hashes, np.full(2, running.block.log_ms + 1000 * STEP_S), np.zeros(2), None, new)])
    watch.thresholds.share_chance(3)
    signals, log_chance = watch.thresholds.chances()["d"]
    assert signals == before[0]
    assert log_chance == pytest.approx(np.log10(chance_of_each(watch.detector(0).source.config, 7)))
