from __future__ import annotations

from typing import Any

import pytest

from flows.block import Block
from flows.models import Models
from flows.notices import MAX_NOTICES
from flows.persistence import load, save
from tests.streams import Log, anomalies, by_id, config

DEVIATION = {"model": "StandardAbsoluteDeviation", "warmup": 5}


def river(selector: str = "m", max_keys: int = 2, **changes: Any) -> Any:
    return config("river", selector, params={**DEVIATION, "max_keys": max_keys}, **changes)


def feed(log: Log, first: int, until: int, names: str, spike: float = 0.0) -> None:
    for step in range(first, until):
        log.samples(*(({"__name__": "m", "n": n}, step, ord(n) + step % 3 + spike) for n in names))
        log.control(step + 0.5)


def judged(block: Block) -> set[str]:
    programs = [block.watch.programs.slots(key)[1].tolist() for key in block.watch.programs.keys]
    return {block.series.labels_of(row)["n"] for rows in programs for row in rows}


def test_a_detector_has_no_more_models_than_it_may() -> None:
    log = Log()
    log.detector("a", river())
    log.control(0)
    feed(log, 1, 4, "abcd")
    block, _ = log.run()
    assert judged(block) == {"a", "b"}
    assert (block.watch.objects, block.watch.models.refused) == (2, 2)
    (notice,) = block.watch.notices()
    assert "detector a (" in notice
    assert "it has 2 models, its params.max_keys" in notice
    assert block.watch.notices() == []


def test_a_block_has_no_more_models_than_it_may() -> None:
    log = Log()
    log.detector("a", river())
    log.detector("b", river(threshold=3.0))
    log.control(0)
    feed(log, 1, 4, "abcd")
    block, _ = log.run(max_models=3)
    assert (block.watch.objects, block.watch.models.refused) == (3, 5)
    assert any("TOCSIN_FLOW_MAX_MODELS" in notice for notice in block.watch.notices())


def test_room_is_given_back_with_the_series_and_to_new_ones_only() -> None:
    log = Log()
    log.detector("a", river(max_keys=1))
    log.control(0)
    feed(log, 1, 3, "ab")
    for minute in range(1, 4):
        log.samples(({"__name__": "m", "n": "b"}, 60 * minute, 1.0))
        log.control(60 * minute + 1)
    feed(log, 200, 202, "bc")
    block, _ = log.run(idle_s=60)
    assert judged(block) == {"c"}


def test_two_detectors_do_not_share_models() -> None:
    """Else whom the bound of one keeps out would depend on the other."""
    log = Log()
    log.detector("a", river('{n="a"}'))
    log.detector("b", river('{n=~"a|b"}'))
    log.control(0)
    feed(log, 1, 3, "ab")
    assert log.run()[0].watch.objects == 3


@pytest.mark.parametrize("cut", [3, 9, 15, 24, 31])
def test_who_was_refused_stays_so_after_a_restart(cut: int) -> None:
    log = Log()
    log.detector("a", river())
    log.control(0)
    feed(log, 1, 3, "ef")
    for minute in range(1, 4):
        log.samples(({"__name__": "m", "n": "f"}, 60 * minute, 1.0))
        log.control(60 * minute + 1)
    feed(log, 200, 203, "dcf")
    log.detector("b", river(threshold=3.0, max_keys=2))
    feed(log, 203, 212, "zdcfyx")
    feed(log, 212, 213, "zdcfyx", spike=1000.0)
    feed(log, 213, 215, "zdcfyx")
    whole, events = log.run(idle_s=60)
    chunks = log.chunks()
    block = log.block(idle_s=60)
    before = block.take(chunks[:cut])
    block = load(save(block), log.block(idle_s=60))
    after = block.take(chunks[cut:])
    assert judged(block) == judged(whole)
    assert by_id(anomalies([*before, *after])) == by_id(events)
    assert len(by_id(events)) == 4


def test_notices_are_bounded() -> None:
    models = Models(0)
    for number in range(2 * MAX_NOTICES):
        assert not models.admits("key", 0, (0, 0), 1, number, f"d{number}")
    assert len(models.notices.take()) == MAX_NOTICES
    assert models.refused == 2 * MAX_NOTICES
