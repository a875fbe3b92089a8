"""A detector that learned from history goes on like one that was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from connectors.anomaly import Anomaly
from connectors.detector import Aggregate, DetectorConfig, Group
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.config import compile_merged
from flows.detectors.base import Floats
from flows.persistence import load, save
from flows.warm_start import WarmStart
from tests.series import START_MS
from tests.streams import TOPICS, Log, anomalies, config

STEP_S, STEPS, NOW = 60, 900, 700
NAMES = ("m", "n_total")
SELECTOR = '{__name__=~"m|n_total"}'


def values_of(seed: int = 3) -> Floats:
    """A gauge with noise and a counter; both break in the history and after it, (STEPS, 2)."""
    rng = np.random.default_rng(seed)
    gauge, rate = rng.normal(10.0, 1.0, STEPS), rng.normal(50.0, 2.0, STEPS)
    for at in (500, NOW + 2, NOW + 100):
        gauge[at : at + 3] += 30.0
        rate[at + 20 : at + 23] += 90.0
    return np.stack([gauge, np.cumsum(STEP_S * rate)], axis=1)


def log_of(detector: DetectorConfig, begin: int, end: int) -> Log:
    log, values = Log(), values_of()
    log.detector("d", detector)
    log.control(STEP_S * begin - 1)
    for step in range(begin, end):
        at_s = STEP_S * step
        log.samples(*(({"__name__": name}, at_s, value) for name, value in zip(NAMES, values[step], strict=True)))
        log.control(at_s + 1)
    return log


def history_of(log: Log) -> list[Samples]:
    return [chunk for chunk in log.chunks() if isinstance(chunk, Samples)]


def warm(block: Block, history: list[Samples]) -> int:
    start = WarmStart(block, block.watch.detector(block.watch.numbers["d"]).source)
    for samples in history:
        start.take(samples)
    return start.put_to_use()


def essence(event: Anomaly) -> dict[str, Any]:
    return event.model_dump(exclude={"sequence"})


@pytest.mark.long
@pytest.mark.parametrize("kind", ["mad", "ewma", "seasonal", "auto", "river", "quantile"])
def test_it_goes_on_as_if_it_had_been_there(kind: str) -> None:
    """All but the first step after the history: the counter's rate is measured from a live sample."""
    params = {"window": 60} if kind in {"mad", "quantile"} else {}
    detector = config(kind, SELECTOR, shape="auto", params=params, threshold=4.0, quiet_s=120.0, cooldown_s=0.0)
    _, events = log_of(detector, 0, STEPS).run()
    was_there = [event for event in events if event.start_ms > START_MS + 1000 * STEP_S * NOW]
    live = log_of(detector, NOW - 1, STEPS)
    block, chunks = live.block(), live.chunks()
    told = block.take(chunks[:2])
    assert warm(block, history_of(log_of(detector, 0, NOW))) == len(NAMES)
    told += block.take(chunks[2:])
    assert [essence(event) for event in anomalies(told)] == [essence(event) for event in was_there]
    assert {event.signal.labels["__name__"] for event in was_there} == set(NAMES)


def test_a_cold_detector_needs_samples_and_a_warm_one_none() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    live = log_of(detector, NOW, NOW + 3)
    block = live.block()
    block.take(live.chunks())
    block.count_readiness()
    assert dict(block.readiness.items())["d"].warming == 2
    assert warm(block, history_of(log_of(detector, 0, NOW))) == 2
    block.count_readiness()
    assert dict(block.readiness.items())["d"].warming == 0


def test_nothing_is_told_of_the_past_and_other_series_stay_as_they_are() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    live = log_of(detector, 0, NOW)
    block = live.block()
    before = block.take(live.chunks())
    assert before
    only = [_only(samples, 1) for samples in history_of(log_of(detector, 400, 430))]
    assert warm(block, only) == 1
    assert block.take([]) == []
    block.count_readiness()
    (needing,) = block.readiness.needing
    assert b"n_total" in needing.labels, "what was told of it is all that it knows now"
    assert needing.says == "needs 31 more samples"


def _only(samples: Samples, series: int) -> Samples:
    new = tuple(one for one in samples.new if NAMES[series].encode() in one.labels)
    at = [series]
    return Samples(samples.series[at], samples.times_ms[at], samples.values[at], None, new)


@pytest.mark.parametrize("heard", [0, 10])
def test_the_end_of_history_begins_no_pause(heard: int) -> None:
    """Silence is that after the sample heard live, though history ended long before; one heard none ends no pause."""
    detector = config("missing", SELECTOR, params={}, quiet_s=120.0)
    live = log_of(detector, NOW + 100 - heard, NOW + 160)
    block, chunks = live.block(), live.chunks()
    told = block.take(chunks[: 2 * heard + 1])
    history = history_of(log_of(detector, 0, NOW))
    if not heard:
        empty = np.zeros(0, np.int64)
        nothing = Samples(empty.astype(np.uint64), empty, empty.astype(np.float64), None, history[0].new)
        told += block.take([nothing])
    assert warm(block, history) == len(NAMES)
    block.count_readiness()
    assert dict(block.readiness.items())["d"].warming == 0
    assert told + block.take(chunks[2 * heard + 1 :]) == []


def test_silence_is_judged_at_once_though_history_came_in_one_piece() -> None:
    detector = config("missing", "m", params={}, quiet_s=120.0)
    live = log_of(detector, NOW, NOW + 2)
    for second in range(STEP_S * (NOW + 2), STEP_S * (NOW + 60)):
        live.control(second)
    block, chunks = live.block(), live.chunks()
    block.take(chunks[:2])
    pieces = [_only(samples, 0) for samples in history_of(log_of(detector, 0, NOW))]
    columns = (np.concatenate([getattr(one, name) for one in pieces]) for name in ("series", "times_ms", "values"))
    assert warm(block, [Samples(*columns, None, pieces[0].new)]) == 1
    (first, *_) = anomalies(block.take(chunks[2:]))
    assert first.event == "opened"


def test_without_history_nothing_changes() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60})
    live = log_of(detector, 0, 100)
    block = live.block()
    block.take(live.chunks())
    before = save(block)
    empty = np.zeros(0, np.int64)
    assert warm(block, []) == 0
    assert warm(block, [Samples(empty.astype(np.uint64), empty, empty.astype(np.float64), None)]) == 0
    assert save(block) == before


def test_what_was_learned_is_in_the_next_snapshot() -> None:
    detector = config("auto", SELECTOR, shape="auto", params={}, quiet_s=120.0, threshold=4.0)
    live = log_of(detector, NOW - 1, STEPS)
    block, chunks = live.block(), live.chunks()
    block.take(chunks[:2])
    warm(block, history_of(log_of(detector, 0, NOW)))
    restored = load(save(block), live.block())
    told = [[essence(event) for event in anomalies(one.take(chunks[2:]))] for one in (block, restored)]
    assert told[0] == told[1] != []


def test_groups_are_warm_by_the_history_of_their_values() -> None:
    """The block that judges groups is one like others: its series are groups, and their values raw."""
    group = Group(by=("job",), aggregate=Aggregate.SUM)
    live = Log()
    live.detector("d", config("mad", "m", group=group, params={"window": 60}))
    block = _merging(live, (web := NewSeries(7, "anonymous", b"\x0a\x0a\x0a\x03job\x12\x03web")))
    times_ms = START_MS + 1000 * STEP_S * np.arange(NOW)
    seven = np.full(NOW, 7, np.uint64)
    assert warm(block, [Samples(seven, times_ms, values_of()[:NOW, 0], None, (web,))]) == 1
    block.count_readiness()
    assert dict(block.readiness.items())["d"].warming == 0


def _merging(log: Log, series: NewSeries, compiled: Callable[..., Any] = compile_merged) -> Block:
    block = Block(TOPICS, log.block().limits, log.read_revisions, compiled)
    log.control(STEP_S * NOW)
    block.take(log.chunks())
    empty = np.zeros(0, np.int64)
    block.take([Samples(empty.astype(np.uint64), empty, empty.astype(np.float64), None, (series,))])
    return block
