from __future__ import annotations

import numpy as np
import pytest

from connectors.anomaly import ClosedBy, EventType
from connectors.detector import Budget, Detector, Shape
from flows.block import Block
from flows.config import CompiledDetector, compile_config
from flows.limits import BlockLimits
from flows.persistence import load, save
from flows.saved import VERSION, SavedVersionError, unpack
from flows.validator import ConfigError
from tests.streams import TOPICS, Log, anomalies, by_id, config


def log_of(series: int, steps: int = 12) -> Log:
    log = Log()
    log.detector("a", config())
    log.detector("b", config(threshold=3.0))
    log.detector("c", config("zscore", shape=Shape.RATE))
    log.control(0)
    rng = np.random.default_rng(0)
    for step in range(steps):
        log.samples(*(({"__name__": "m", "n": str(n), "job": "test"}, step, rng.normal()) for n in range(series)))
        log.control(step)
    log.samples(({"__name__": "m", "n": "0", "job": "test"}, steps, 99.0))
    return log


def test_all_that_counts_is_kept() -> None:
    log = log_of(4)
    block, _ = log.run()
    copy = load(save(block), log.block())
    assert (copy.log_ms, copy.swept_s) == (block.log_ms, block.swept_s)
    assert (copy.configuration.offset, copy.feedback_offset) == (3, 0)
    assert copy.revisions.detectors == block.revisions.detectors
    assert copy.series.labels[:4] == block.series.labels[:4]
    assert len(copy.episodes) == len(block.episodes) > 1
    assert len(copy.watch.routes.lanes) == len(block.watch.routes.lanes)
    np.testing.assert_array_equal(copy.series.table["last_ms"][:4], block.series.table["last_ms"][:4])


def test_what_was_saved_twice_is_the_same() -> None:
    log = log_of(4)
    block, _ = log.run()
    first = load(save(block), log.block())
    assert save(load(save(first), log.block())) == save(first)


def test_a_snapshot_is_not_alive() -> None:
    log = log_of(2)
    block, _ = log.run()
    saved = save(block)
    kept = bytes(saved)
    more = Log()
    more.revisions = log.revisions
    more.samples(({"__name__": "m", "n": "0", "job": "test"}, 30, 500.0))
    block.take(more.chunks())
    assert saved == kept
    copy = load(saved, log.block())
    copy.series.table["last_ms"][:] = 0
    copy.episodes.open["lane"] = -1
    assert saved == kept


def test_rows_are_numbered_anew_without_gaps() -> None:
    log = log_of(6)
    block, _ = log.run()
    block.episodes.end(np.flatnonzero(block.episodes.open["lane"] >= 0), block.watch.routes.lanes["episode"])
    for row in (0, 3):
        block.watch.remove_series(np.array([row]))
        block.series.remove(row)
        block.archive.changed(row)
    copy = load(save(block), log.block())
    assert copy.series.live().tolist() == [0, 1, 2, 3]
    assert {copy.series.labels_of(row)["n"] for row in range(4)} == {"1", "2", "4", "5"}
    more = Log()
    more.revisions = log.revisions
    more.samples(*(({"__name__": "m", "n": str(n), "job": "test"}, 30, 500.0 + n) for n in (1, 2, 4, 5)))
    chunks = more.chunks()
    assert by_id(anomalies(copy.take(chunks))) == by_id(anomalies(block.take(chunks)))


def test_a_refusal_outlives_a_restart() -> None:
    """Whether the episode table is full was seen at the last control record, not at the snapshot."""
    log = log_of(3)
    log.control(12.5)
    block, _ = log.run(max_episodes=2)
    assert block.episodes.full
    assert load(save(block), log.block(max_episodes=2)).episodes.full


def test_an_empty_block() -> None:
    log = Log()
    copy = load(save(log.block()), log.block())
    assert (len(copy.series), copy.log_ms, len(copy.episodes)) == (0, 0, 0)


def test_a_block_of_another_version_is_refused() -> None:
    raw = save(Log().block()).replace(f'"version":{VERSION}'.encode(), b'"version":6', 1)
    with pytest.raises(SavedVersionError, match="version 6"):
        load(raw, Log().block())


def refuse_all(detector: Detector) -> CompiledDetector:
    raise ConfigError(field="kind", value=detector.config.kind, expected="no longer known")


def test_what_a_newer_version_refuses_is_left_out_and_its_episodes_end() -> None:
    """Episodes, chances, budgets with trials and bounds that it had reached: all of it is in the snapshot."""
    log = log_of(4)
    log.detector("d", config("ewma", chance_per_week=2000.0, quiet_s=None))
    log.detector("e", config("ewma", budget=Budget(per="hour", alarms=5.0)))
    log.control(12.5)
    for second in range(13, 8 * 3600, 300):
        log.samples(*(({"__name__": "m", "n": str(n), "job": "test"}, second, second % 7.0) for n in range(4)))
        log.control(second + 0.5)
    log.samples(*(({"__name__": "m", "n": str(n), "job": "test"}, 8 * 3600, 500.0) for n in range(4)))
    block, events = log.run(max_keys=3)
    raw = save(block)
    header = unpack(raw).header
    assert all(header[name] for name in ("episodes", "chances", "full"))
    assert header["budgets"]["trials"]
    last = {event.id: event for event in events}
    told = {key for key, event in last.items() if event.event is not EventType.CLOSED}
    newer = load(raw, Block(TOPICS, BlockLimits(), log.read_revisions, refuse_all))
    closed = anomalies(newer.take([]))
    assert {event.id for event in closed} == told != set()
    assert {(event.event, event.closed_by) for event in closed} == {(EventType.CLOSED, ClosedBy.DETECTOR)}
    assert all(event.sequence == last[event.id].sequence + 1 for event in closed)
    assert (newer.take([]), len(newer.episodes), len(newer.watch.numbers)) == ([], 0, 0)
    assert load(save(newer), log.block()).take([]) == []


def test_what_is_left_of_a_snapshot_is_as_it_was() -> None:
    log = log_of(4)
    log.detector("e", config("ewma", budget=Budget(per="hour", alarms=5.0)))
    log.detector("f", config("ewma", budget=Budget(per="hour", alarms=7.0)))
    log.control(12.5)
    block, _ = log.run()

    def without_e(detector: Detector) -> CompiledDetector:
        return refuse_all(detector) if detector.id == "e" else compile_config(detector)

    newer = load(save(block), Block(TOPICS, BlockLimits(), log.read_revisions, without_e))
    (row,) = newer.watch.budgets.rows.values()
    assert newer.watch.budgets.table["alarms_per_s"][row] == pytest.approx(7.0 / 3600.0)
    assert len(newer.episodes) == len(block.episodes) > 1


def size_bytes(block: Block) -> float:
    return len(save(block)) / len(block.series)


def test_a_series_costs_less_than_400_bytes_in_a_snapshot() -> None:
    """The issue's budget: a window of 60, ten labels."""
    log = Log()
    log.detector("a", config(params={"window": 60}))
    log.control(0)
    names = [f"label_{n}" for n in range(8)]
    rng = np.random.default_rng(0)
    for step in range(3):
        log.samples(*(
            ({"__name__": "m", "instance": f"10.0.{n // 256}.{n % 256}:9100",
              **{name: f"value-of-{name}-{n % (3 + i)}" for i, name in enumerate(names)}}, step, rng.normal())
            for n in range(600)
        ))  # fmt: skip
    block, _ = log.run()
    assert size_bytes(block) < 400
    assert "0/sorted" not in unpack(save(block)).arrays, "the sorted window is derived"
