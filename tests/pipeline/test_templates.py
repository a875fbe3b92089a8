"""Every template fires on a fault of its exporter, and is silent for an hour of the same exporter without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import pytest

from api.template_catalogue import TEMPLATES
from connectors.anomaly import Anomaly
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.detector import DetectorRevision
from connectors.messages import DEFAULT_TENANT, ControlRecord
from flows.block import Block
from flows.chunks import Chunk, NewSeries, Samples
from flows.limits import BlockLimits
from flows.linter import Known, LintSeverity, lint
from flows.merge import Merge
from tests.exporters import STEP_S, Exporters
from tests.series import START_MS
from tests.streams import TOPICS, anomalies

LEARNING, HOUR, FAULT = 136, 240, 32
STEPS = LEARNING + HOUR + FAULT
FAULT_MS = START_MS + 1000 * STEP_S * (LEARNING + HOUR)
MINED = ("logs-errors-mined", "logs-new-pattern")
"""Those whose exporter is the logs flow."""


def scrapes() -> Iterator[tuple[Samples, ControlRecord]]:
    """What a partition's log holds, scrape by scrape."""
    series = list(Exporters(STEPS, LEARNING + HOUR).series())
    raw = [encode_labels(one.labels) for one in series]
    hashes = np.array([series_hash(labels, DEFAULT_TENANT) for labels in raw], np.uint64)
    new = tuple(NewSeries(int(one), DEFAULT_TENANT, labels) for one, labels in zip(hashes, raw, strict=True))
    values = np.array([one.values for one in series])
    for step in range(STEPS):
        time_ms = START_MS + 1000 * STEP_S * step
        samples = Samples(hashes, np.full(len(series), time_ms), values[:, step], None, () if step else new)
        yield samples, ControlRecord(time_ms=time_ms + 6000, detectors_offset=len(TEMPLATES), feedback_offset=0)


@cache
def told() -> dict[str, list[Anomaly]]:
    """What the detectors of all templates told, by their names."""
    revisions = [
        DetectorRevision(detector_id=name, base_revision=0, config=one.config, author="test", time_ms=0)
        for name, one in TEMPLATES.items()
    ]
    judge = Judge(revisions)
    for samples, control in scrapes():
        judge.take([samples, control])
    return judge.found


class Judge:
    """A block with all detectors, and the merges behind it."""

    def __init__(self, revisions: list[DetectorRevision]) -> None:
        self.found: dict[str, list[Anomaly]] = {name: [] for name in TEMPLATES}
        self._block = Block(TOPICS, BlockLimits(), lambda start, end: revisions[start:end])
        self._block.take([ControlRecord(time_ms=START_MS - 1, detectors_offset=len(revisions), feedback_offset=0)])
        self._merges: dict[str, Merge] = {}

    def take(self, chunks: Iterable[Chunk]) -> None:
        out = self._block.take(chunks)
        for part in self._block.parts():
            out += self._merges.setdefault(part.detector.id, Merge(TOPICS, BlockLimits(), 1)).take([(0, part)])
        for event in anomalies(out):
            self.found[event.detector.id].append(event)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in MINED])
def test_it_fires_on_a_fault_and_is_silent_for_an_hour_without_one(name: str) -> None:
    opened = [event for event in told()[name] if event.event == "opened"]
    assert [event.sentence for event in opened if event.start_ms < FAULT_MS] == []
    assert opened, "the fault"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_linter_has_nothing_against_it(name: str) -> None:
    findings = lint(TEMPLATES[name].config, Known(series=40, signals=40, step_s=15.0, partitions=8))
    assert [one.says for one in findings if one.severity is not LintSeverity.INFO] == []


def test_only_what_is_broken_is_told_of() -> None:
    jobs = {event.signal.labels["job"] for name in ("golden-errors", "golden-latency") for event in told()[name]}
    assert jobs == {"shop"}
    assert {event.signal.labels["pod"] for event in told()["kubernetes-memory"]} == {"web-0"}
    assert {event.signal.labels["mountpoint"] for event in told()["node-filesystem"]} == {"/"}
