"""The logs flow in one process, on Bytewax for real: lines in, samples out; killed and resumed, the same ones."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import chain, zip_longest
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from connectors.messages import OutRecord
from connectors.reader import ReaderStats
from connectors.status import LogsStatus, logs_key
from flows.logs import dataflow
from flows.mining.limits import USUAL_LABELS
from flows.mining.lines import LineDecoder
from flows.mining.vitals import MiningVitals
from flows.settings import MiningSettings
from tests.logs import LIMITS, Mine, Told, control, lines, samples
from tests.series import START_MS
from tests.streams import TOPICS, Record

PARTITIONS, STEPS = 2, 40
SETTINGS = MiningSettings(partitions=PARTITIONS)
NEVER, ALWAYS = timedelta(hours=1), timedelta(0)


def log_of(partition: int) -> list[Record]:
    """Services that both partitions have, a pattern that is new now and then, late lines, and what is no stream."""
    rng, records = random.Random(partition), []
    for step in range(STEPS):
        at_ms = START_MS + LIMITS.step_ms * step
        said = [(at_ms + n, f"INFO request {n} served in {rng.randrange(99)} ms") for n in range(rng.randrange(1, 5))]
        said += [(at_ms, f"ERROR lost the {'abcdefgh'[step // 10]}-th peer of all")] if step % 10 == partition else []
        said += [(at_ms - 60_000, f"WARN {step} came late")] if step % 7 == 3 else []
        records.append(lines({"app": ("shop", "mail")[step % 2]}, *said, partition=partition))
        if step % 13 == 5:
            records.append(Record(TOPICS.logs, partition, 0, b"anonymous", b"\xff\xff", []))
        records += [control(at_ms + 1000 * second, partition) for second in (3, 6, 10)]
    return records


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Both partitions, interleaved as the source reads them."""
    mixed = chain.from_iterable(zip_longest(*map(log_of, range(PARTITIONS))))
    return [record for record in mixed if record is not None]


@pytest.fixture
def recovery(tmp_path: Path) -> RecoveryConfig:
    init_db_dir(tmp_path, 1)
    return RecoveryConfig(str(tmp_path))


def run(items: list[Record | TestingSource.ABORT], recovery: RecoveryConfig | None, epoch: timedelta,
        batch_size: int = 10, workers: int = 1) -> list[OutRecord]:  # fmt: skip
    """One life of the process: what it wrote until the items ended or one of them aborted it."""
    written: list[tuple[str, OutRecord]] = []
    decoder = LineDecoder(LIMITS.idle_s // 2, USUAL_LABELS)
    source, vitals = TestingSource(items, batch_size), MiningVitals(decoder, lambda: ReaderStats(0, 0, 0, 0, 0, 0, 0))
    flow = dataflow(
        SETTINGS,
        lambda flow: op.flat_map_batch("decode", op.input("read", flow, source), decoder.decode),
        TestingSink(written), vitals,
    )  # fmt: skip
    if workers > 1:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
    else:
        run_main(flow, epoch_interval=epoch, recovery_config=recovery)
    return [record for _, record in written]


def in_order(told: Told) -> Told:
    """Samples repeated by a replay stand behind others."""
    return {labels: sorted(series) for labels, series in told.items()}


@pytest.fixture(scope="module")
def expected(records: list[Record]) -> Told:
    """What the steps say without Bytewax and without a stop."""
    return samples(Mine(PARTITIONS).take(records))


def test_it_says_what_its_steps_say(records: list[Record], expected: Told) -> None:
    assert {dict(labels)["__name__"] for labels in expected} == {
        "log_lines_total", "log_bytes_total", "log_patterns_total", "log_pattern_lines_total", "log_pattern_novelty",
    }  # fmt: skip
    assert samples(run(records, None, NEVER)) == expected


def test_two_workers_say_the_same(records: list[Record], expected: Told) -> None:
    """Partitions are keys, and the miner is another: with more workers each is on one of them."""
    assert in_order(samples(run(records, None, NEVER, workers=2))) == expected


@pytest.mark.parametrize("epoch", [ALWAYS, NEVER])
@pytest.mark.parametrize("batch_size", [1, 10])
def test_killed_and_resumed_it_tells_the_same(
    records: list[Record], expected: Told, recovery: RecoveryConfig, epoch: timedelta, batch_size: int
) -> None:
    """Aborted at points all over the log, stopped cleanly at others; no epoch ends in between, or after each batch."""
    written: list[OutRecord] = []
    for life, point in enumerate([3, 30, 31, 64, 97, 118, 140, 201, 260]):
        end = [] if life % 3 == 1 else [TestingSource.ABORT()]
        written += run([*records[:point], *end], recovery, epoch, batch_size)
    written += run(records, recovery, epoch, batch_size)
    assert in_order(samples(written)) == expected
    once = run(records, None, NEVER)
    if epoch is NEVER:
        assert len(written) > len(once), "nothing was replayed"


def test_what_is_no_stream_goes_to_the_dead_letter(records: list[Record]) -> None:
    bad = sum(record.value == b"\xff\xff" for record in records)
    dead = [record.value for record in run(records, None, NEVER) if record.topic == TOPICS.dead_letter]
    assert dead == [b"\xff\xff"] * bad
    assert bad > 0


def test_each_partition_gives_signs_of_life(records: list[Record]) -> None:
    told = [record for record in run(records, None, NEVER) if record.topic == TOPICS.status]
    last = {record.key: LogsStatus.decode(record.value or b"") for record in told}
    assert last.keys() == {logs_key(partition) for partition in range(PARTITIONS)}
    assert len(told) > 2 * PARTITIONS
    for partition in range(PARTITIONS):
        status = last[logs_key(partition)]
        assert status.partition == partition
        assert status.lines > STEPS
        assert status.drops["late"] >= STEPS // 7 - 1
