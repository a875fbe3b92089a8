from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.codec.encode import encode_labels
from connectors.messages import Anomaly, ClosedBy, Detector, Direction, EventType, Severity, Shape
from flows.config import compile_config
from flows.episodes import CLOSED, EPISODE, OPENED, UPDATED
from flows.report import Watched, anomaly_id, anomaly_of, anomaly_record, severity_of
from tests.streams import config

LABELS = {"__name__": "m", "n": "0"}


def watched(tenant: str = "anonymous", labels: dict[str, str] = LABELS, **changes: Any) -> Watched:
    detector = Detector(id="d", revision=3, config=config(tenant=tenant, **changes), author="", updated_ms=0)
    return Watched(compile_config(detector), tenant, encode_labels(labels), labels, Shape.RAW)


def state(**changes: Any) -> Any:
    one = np.zeros(1, EPISODE)[0]
    fields = {
        "value": 99.0, "expected": 10.0, "lower": 9.0, "upper": 11.0, "surprise": 12.0, "peak_value": 120.0,
        "peak_surprise": 20.0, "start_ms": 1000, "time_ms": 3000, "peak_ms": 2000, "samples": 3, "sequence": 4,
        "direction": 1,
    }  # fmt: skip
    for name, value in {**fields, **changes}.items():
        one[name] = value
    return one


@pytest.mark.parametrize(("kind", "event"), [(OPENED, "opened"), (UPDATED, "updated"), (CLOSED, "closed")])
def test_all_that_is_known_stands_in_every_event(kind: int, event: str) -> None:
    anomaly = anomaly_of(watched(), state(), kind)
    assert (anomaly.event, anomaly.sequence, anomaly.samples) == (event, 4, 3)
    assert (anomaly.start_ms, anomaly.time_ms) == (1000, 3000)
    assert (anomaly.value, anomaly.expected, anomaly.lower, anomaly.upper, anomaly.surprise) == (99, 10, 9, 11, 12)
    assert (anomaly.peak.time_ms, anomaly.peak.value, anomaly.peak.surprise) == (2000, 120.0, 20.0)
    assert (anomaly.detector.id, anomaly.detector.revision, anomaly.detector.kind) == ("d", 3, "mad")
    assert anomaly.signal.labels == LABELS
    assert (anomaly.end_ms, anomaly.closed_by) == ((3000, ClosedBy.QUIET) if kind == CLOSED else (None, None))
    assert Anomaly.decode(anomaly.encode()) == anomaly


def test_why_it_closed() -> None:
    assert anomaly_of(watched(), state(), CLOSED, ClosedBy.SERIES_GONE).closed_by is ClosedBy.SERIES_GONE
    assert anomaly_of(watched(), state(), UPDATED, ClosedBy.SERIES_GONE).closed_by is None


def test_direction() -> None:
    assert anomaly_of(watched(), state(direction=1), OPENED).direction is Direction.UP
    assert anomaly_of(watched(), state(direction=-1), OPENED).direction is Direction.DOWN


@pytest.mark.parametrize(("peak", "severity"), [
    (8.0, Severity.INFO), (11.99, Severity.INFO), (12.0, Severity.WARNING), (23.99, Severity.WARNING),
    (24.0, Severity.CRITICAL), (300.0, Severity.CRITICAL),
])  # fmt: skip
def test_severity_is_the_peak_against_the_threshold(peak: float, severity: Severity) -> None:
    assert severity_of(peak, 8.0) is severity
    assert anomaly_of(watched(threshold=8.0), state(peak_surprise=peak), OPENED).severity is severity


def test_ids_are_those_of_what_is_computed() -> None:
    same = [watched(), watched(name="renamed")]
    assert len({anomaly_id(w, 1000) for w in same}) == 1
    others = [
        anomaly_id(watched(), 1001), anomaly_id(watched("t"), 1000), anomaly_id(watched(threshold=9.0), 1000),
        anomaly_id(watched(labels={**LABELS, "n": "1"}), 1000), anomaly_id(watched(kind="zscore"), 1000),
    ]  # fmt: skip
    assert len({anomaly_id(watched(), 1000), *others}) == 6


def test_an_id_never_changes_between_versions() -> None:
    assert anomaly_id(watched(), 1000) == "5d14f5cbc97710885286856635204e52"
    assert anomaly_id(watched(), -1) != anomaly_id(watched(), 1)


def test_the_record_is_keyed_by_the_id() -> None:
    anomaly = anomaly_of(watched(), state(), OPENED)
    record = anomaly_record("t", anomaly)
    assert (record.topic, record.key, record.partition) == ("t", anomaly.id.encode(), None)
    assert Anomaly.decode(record.value or b"") == anomaly
    assert anomaly.event is EventType.OPENED
