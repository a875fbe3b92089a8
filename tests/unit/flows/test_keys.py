from __future__ import annotations

from typing import Any

import pytest

from connectors.reader import ReaderStats
from flows.block import Block
from flows.decode import Decoder
from flows.persistence import load, save
from flows.vitals import Vitals
from tests.streams import Log, anomalies, by_id, config


def feed(log: Log, first: int, until: int, names: str, spike: float = 0.0) -> None:
    for step in range(first, until):
        log.samples(*(({"__name__": "m", "n": n}, step, ord(n) + step % 3 + spike) for n in names))
        log.control(step + 0.5)


def judged(block: Block, detector_id: str = "a") -> set[str]:
    routes, number = block.watch.routes, block.watch.numbers[detector_id]
    rows = routes.entries["row"][routes.lanes["entry"][routes.lanes_of_detector(number)]].tolist()
    return {block.series.labels_of(row)["n"] for row in rows}


def metrics_of(block: Block) -> dict[str, float]:
    vitals = Vitals(Decoder(60, 100), lambda: ReaderStats(0, 0, 0, 0, 0, 0, 0))
    vitals.blocks.append(block)
    return {sample.name: sample.value for metric in vitals.collect() for sample in metric.samples if not sample.labels}


def test_a_detector_watches_no_more_series_than_it_may() -> None:
    log = Log()
    log.detector("a", config())
    log.detector("b", config(selector='{n=~"a|d"}', threshold=3.0))
    log.control(0)
    feed(log, 1, 4, "abcd")
    block, _ = log.run(max_keys=2)
    assert judged(block) == {"a", "b"}, "the first come"
    assert judged(block, "b") == {"a", "d"}, "another detector has room of its own"
    (notice,) = block.watch.notices()
    assert notice.startswith("detector a ('mad'): it watches 2 series of a partition, TOCSIN_FLOW_MAX_KEYS;")
    assert block.watch.notices() == []
    found = metrics_of(block)
    assert (found["tocsin_flow_keys_refused_total"], found["tocsin_flow_detectors_full"]) == (2, 1)
    assert found["tocsin_flow_lanes"] == 4


def test_who_finds_room_in_a_new_detector_does_not_depend_on_rows() -> None:
    def chosen(names: str) -> set[str]:
        log = Log()
        log.control(0)
        feed(log, 1, 3, names)
        log.detector("a", config())
        log.control(4)
        return judged(log.run(max_keys=2)[0])

    assert chosen("abcd") == chosen("dbca")
    assert len(chosen("abcd")) == 2


def test_room_is_given_back_with_the_series_and_to_new_ones_only() -> None:
    log = Log()
    log.detector("a", config())
    log.control(0)
    feed(log, 1, 3, "ab")
    for minute in range(1, 4):
        log.samples(({"__name__": "m", "n": "b"}, 60 * minute, 1.0))
        log.control(60 * minute + 1)
    feed(log, 200, 202, "bc")
    assert judged(log.run(idle_s=60, max_keys=1)[0]) == {"c"}


def test_a_detector_that_changes_has_all_its_room_again() -> None:
    log = Log()
    log.detector("a", config())
    log.control(0)
    feed(log, 1, 3, "abc")
    log.detector("a", config(selector='m{n="c"}'))
    feed(log, 3, 5, "abc")
    block, _ = log.run(max_keys=2)
    assert judged(block) == {"c"}
    assert metrics_of(block)["tocsin_flow_detectors_full"] == 0
    log.detector("a", None)
    feed(log, 5, 6, "abc")
    log.detector("d", config())
    feed(log, 6, 7, "abc")
    assert len(judged(log.run(max_keys=2)[0], "d")) == 2


@pytest.mark.parametrize("cut", [3, 9, 15, 24, 31])
def test_who_was_refused_stays_so_after_a_restart(cut: int) -> None:
    log = Log()
    log.detector("a", config())
    log.control(0)
    feed(log, 1, 3, "fe")
    for minute in range(1, 4):
        log.samples(({"__name__": "m", "n": "e"}, 60 * minute, 1.0))
        log.control(60 * minute + 1)
    feed(log, 200, 203, "dce")
    log.detector("b", config(threshold=3.0))
    feed(log, 203, 212, "zdceyx")
    feed(log, 212, 213, "zdceyx", spike=1000.0)
    feed(log, 213, 215, "zdceyx")
    bounds: dict[str, Any] = {"idle_s": 60, "max_keys": 2}
    whole, events = log.run(**bounds)
    chunks = log.chunks()
    block = log.block(**bounds)
    before = block.take(chunks[:cut])
    block = load(save(block), log.block(**bounds))
    after = block.take(chunks[cut:])
    assert [judged(block, one) for one in "ab"] == [judged(whole, one) for one in "ab"]
    assert by_id(anomalies([*before, *after])) == by_id(events)
    assert len(by_id(events)) == 4
    full = [{one.watch.detector(number).source.id for number in one.watch.keys.full} for one in (block, whole)]
    assert full == [{"a", "b"}, {"a", "b"}]
