"""The metrics flow in one process, on Bytewax for real: bytes in, anomalies out; killed and resumed, the same ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from connectors.messages import OutRecord
from connectors.reader import ReaderStats
from connectors.status import GROUPS, DetectorStatus, PartitionStatus, place_of
from flows.chunks import Chunk
from flows.decode import Decoder
from flows.metrics import dataflow
from flows.revisions import CompileOnce
from flows.settings import FlowSettings
from flows.vitals import Vitals
from tests.series import START_MS, labelled
from tests.streams import TOPICS, Log, Record, anomalies, busy_log, by_id, config

SETTINGS = FlowSettings(flow_idle_s=120, flow_max_episodes=5)
NEVER, ALWAYS = timedelta(hours=1), timedelta(0)


class Two(NamedTuple):
    """Two partitions of one topic, interleaved as the source reads them, under one detector log."""

    logs: tuple[Log, Log]
    records: list[Record]


@pytest.fixture(scope="module")
def two() -> Two:
    logs = busy_log(0, steps=40), busy_log(1, steps=40, partition=1)
    assert logs[0].revisions == logs[1].revisions
    mixed = chain.from_iterable(zip_longest(logs[0].records, logs[1].records))
    return Two(logs, [record for record in mixed if record is not None])


@pytest.fixture
def recovery(tmp_path: Path) -> RecoveryConfig:
    init_db_dir(tmp_path, 1)
    return RecoveryConfig(str(tmp_path))


def decoded(source: TestingSource, decoder: Decoder) -> Callable[[Dataflow], KeyedStream[list[Chunk]]]:
    """The input: records decoded in a step of their own, where Kafka's reader decodes them in its thread."""
    return lambda flow: op.flat_map_batch("decode", op.input("read", flow, source), decoder.decode)


def run(log: Log, items: list[Record | TestingSource.ABORT], recovery: RecoveryConfig | None, epoch: timedelta,
        batch_size: int = 10) -> list[OutRecord]:  # fmt: skip
    """One life of the process: what it wrote until the items ended or one of them aborted it."""
    written: list[tuple[str, OutRecord]] = []
    decoder = Decoder(SETTINGS.flow_idle_s // 2, SETTINGS.flow_max_series)
    vitals = Vitals(decoder, lambda: ReaderStats(0, 0, 0, 0, 0, 0, 0))
    source = TestingSource(items, batch_size)
    flow = dataflow(SETTINGS, decoded(source, decoder), TestingSink(written), vitals, log.read_revisions, CompileOnce(),
                    log.read_feedback)  # fmt: skip
    run_main(flow, epoch_interval=epoch, recovery_config=recovery)
    return [record for _, record in written]


def expected(two: Two) -> dict[str, list[object]]:
    """What blocks say of their partitions without Bytewax and without a stop."""
    events = []
    for log in two.logs:
        block = log.block(idle_s=120, max_episodes=5)
        events += anomalies(block.take(log.chunks()))
    return by_id(events)


def once(records: list[OutRecord]) -> dict[str, list[object]]:
    """At least once, made once: repeated events must be equal to the first."""
    kept = {}
    for event in anomalies(records):
        assert kept.setdefault((event.id, event.sequence), event) == event
    return by_id(event for _, event in sorted(kept.items()))


def test_bytes_in_anomalies_out() -> None:
    """The faults of labelled series and nothing else, with a detector and everything in between at its default."""
    log = Log()
    log.detector("d", config("mad", "demo_value", params={}))
    series = [labelled(seed, 150, 1, first=80) for seed in range(3)]
    for step in range(150):
        log.samples(*((one.labels, step, one.values[step]) for one in series))
        log.control(step)
    events = anomalies(run(log, log.records, None, NEVER))
    opened = {(event.signal.labels["series"], event.start_ms) for event in events if event.sequence == 0}
    assert opened == {(one.labels["series"], one.faults[0].begin_ms) for one in series}


def test_it_says_what_its_blocks_say(two: Two) -> None:
    told = once(run(two.logs[0], two.records, None, NEVER))
    assert len(told) > 20
    assert told == expected(two)


@pytest.mark.parametrize("epoch", [ALWAYS, NEVER])
@pytest.mark.parametrize("batch_size", [1, 10])
def test_killed_and_resumed_it_tells_the_same(
    two: Two, recovery: RecoveryConfig, epoch: timedelta, batch_size: int
) -> None:
    """Aborted at points all over the log, stopped cleanly at others; no epoch ends in between, or after each batch."""
    points = [3, 30, 31, 64, 97, 118, 140, len(two.records)]
    written = []
    for life, point in enumerate(points):
        end = [] if life % 3 == 1 else [TestingSource.ABORT()]
        written += run(two.logs[0], [*two.records[:point], *end], recovery, epoch, batch_size)
    written += run(two.logs[0], two.records, recovery, epoch, batch_size)
    assert once(written) == expected(two)
    if epoch is NEVER:
        assert len(anomalies(written)) > sum(map(len, expected(two).values())), "nothing was replayed"


def test_poison_reaches_the_dead_letter(two: Two) -> None:
    bad = sum(record.value == b"\xff\xff" for record in two.records)
    dead = [record for record in run(two.logs[0], two.records, None, NEVER) if record.topic == TOPICS.dead_letter]
    assert bad > 0
    assert [record.value for record in dead] == [b"\xff\xff"] * bad


def test_status_names_its_partition_and_tells_every_detector(two: Two) -> None:
    told = [record for record in run(two.logs[0], two.records, None, NEVER) if record.topic == TOPICS.status]
    last = {record.key: record.value for record in told}
    assert {b"partition/0", b"partition/1"} < last.keys()
    block, _ = two.logs[0].run()
    for partition in (0, 1):
        standing = {f"detector/{one}/{partition}".encode() for one in block.revisions.detectors}
        told_of = {
            key for key, value in last.items() if value and key and place_of(key) and key.endswith(b"/%d" % partition)
        }
        assert standing == told_of - {b"partition/%d" % partition}
    for key, value in last.items():
        place = place_of(key)
        assert place is not None
        status = value and (DetectorStatus if place[0] else PartitionStatus).decode(value)
        if isinstance(status, DetectorStatus):
            assert (status.detector, status.partition) == (place[0], None if place[1] == GROUPS else int(place[1]))
        elif status:
            assert str(status.partition) == place[1]
    assert any(b'"running":3' in (record.value or b"") for record in told)


def test_two_workers_say_the_same(two: Two) -> None:
    """Partitions are keys: with more workers each block is on one of them."""
    written: list[tuple[str, OutRecord]] = []
    decoder = Decoder(SETTINGS.flow_idle_s // 2, SETTINGS.flow_max_series)
    vitals = Vitals(decoder, lambda: ReaderStats(0, 0, 0, 0, 0, 0, 0))
    source = TestingSource(two.records, 10)
    flow = dataflow(
        SETTINGS, decoded(source, decoder), TestingSink(written), vitals, two.logs[0].read_revisions, CompileOnce()
    )
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert once([record for _, record in written]) == expected(two)
    assert len(vitals.blocks) == 2


def test_killed_and_resumed_under_rules_it_tells_the_same(recovery: RecoveryConfig) -> None:
    log = Log()
    log.detector("d", config(threshold=8.0))
    ids = []
    for at_s in range(120):
        if at_s == 20:
            ids += [log.rule(labels={"x": "a"}), log.rule(labels={"x": "b"}, expires_ms=START_MS + 70_000)]
        if at_s == 62:
            log.no_rule(ids[0])
        log.control(at_s)
        value = 500.0 if at_s % 30 < 3 and at_s >= 30 else float(at_s % 3)
        log.samples(*(({"__name__": "m", "x": x}, at_s + 0.5, value) for x in "abc"))
    told = log.run()[1]
    opened = {(event.signal.labels["x"], (event.start_ms - START_MS) // 1000) for event in told if not event.sequence}
    assert opened == {("a", 90), ("b", 90), ("c", 30), ("c", 60), ("c", 90)}
    written = []
    for point in (45, 63, 122, 127, 185):
        written += run(log, [*log.records[:point], TestingSource.ABORT()], recovery, ALWAYS)
    written += run(log, log.records, recovery, ALWAYS)
    assert once(written) == by_id(told)
