"""Small parts of the wiring; the flow as a whole runs in tests/pipeline and tests/integration."""

from __future__ import annotations

import pytest

from connectors.detector import Detector
from connectors.errors import TocsinError
from connectors.reader import ReaderStats
from connectors.received import Received
from flows.config import CompiledDetector, compile_config
from flows.config_logs import compile_ahead, decode_revision
from flows.decode import Decoder
from flows.metrics import BlockLogic, _check_partitions
from flows.notices import Notices
from flows.persistence import load
from flows.revisions import CompileOnce
from flows.settings import FlowSettings
from flows.training import Trainings
from flows.vitals import Vitals
from tests.streams import Log, busy_log, config


def test_a_topic_of_more_or_fewer_partitions_than_are_set_is_named() -> None:
    _check_partitions(8, FlowSettings(partitions=8))
    for there in (4, 16):
        with pytest.raises(TocsinError, match=rf"TOCSIN_PARTITIONS=8: must be {there}, .* of tocsin.metrics"):
            _check_partitions(there, FlowSettings(partitions=8))


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"version": 1}', b"\xff"])
def test_a_record_that_is_no_revision_is_none(value: bytes | None) -> None:
    assert decode_revision(value) is None


def test_a_revision_is_read() -> None:
    revision = next(r for r in busy_log(0, steps=5).revisions if r)
    assert decode_revision(revision.encode()) == revision


def test_the_logic_keeps_its_block_and_tells_of_its_snapshots() -> None:
    log = busy_log(0, steps=30)
    vitals = Vitals(Decoder(60, 100), lambda: ReaderStats(0, 0, 0, 0, 0, 0, 0))
    block, twin = log.block(), log.block()
    logic, chunks = BlockLogic(Trainings(block), vitals), log.chunks()
    out, discard = logic.on_batch([chunks[:10], chunks[10:]])
    assert out == twin.take(chunks)
    assert not discard, "a block is never given up"
    saved = logic.snapshot()
    assert vitals.saved_bytes == {id(block): len(saved)}
    assert len(load(saved, log.block()).series) == len(block.series)
    assert vitals.stops.count == 0
    logic.on_batch([])
    assert vitals.stops.count == 1


def test_detectors_are_compiled_as_their_log_is_read() -> None:
    log, made = Log(), list[str]()
    log.detector("good", config())
    log.detector("bad", config(selector="m{"))
    log.detector("good", None)

    def compiling(detector: Detector) -> CompiledDetector:
        made.append(detector.id)
        return compile_config(detector)

    compiled = CompileOnce(compiling)
    values = [None, b"{", *(revision.encode() for revision in log.revisions if revision)]
    compile_ahead([Received("", 0, at, 0, None, value, []) for at, value in enumerate(values)], compiled, Notices())
    assert made == ["good", "bad"]
    first = decode_revision(values[2])
    assert first is not None
    assert first.detector is not None
    found = compiled(first.detector)
    assert made == ["good", "bad"], "compiled before"
    assert {"computes", "programs", "addresses", "asked", "policy"} <= vars(found).keys()
