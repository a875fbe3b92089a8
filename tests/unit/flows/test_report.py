from __future__ import annotations

import json
import math
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flows.report
from connectors.anomaly import (
    Anomaly,
    AnomalyDetector,
    AnomalySignal,
    ClosedBy,
    Direction,
    EventType,
    Notice,
    Peak,
    Severity,
)
from connectors.codec.encode import encode_labels
from connectors.codec.labels import parse_labels
from connectors.detector import Detector, Shape
from connectors.messages import OutRecord
from flows.config import compile_config
from flows.episode import CLOSED, EPISODE, ESCALATED, OPENED, REMINDED, UPDATED, Episode
from flows.explain import Manner, chance_per_week, change_of
from flows.report import Reports, Watched, severity_of, signal_of
from flows.sentence import sentence, signal_text
from tests.examples import examples
from tests.streams import config

LABELS = {"__name__": "m", "n": "0"}


def watched(
    tenant: str = "anonymous", labels: dict[str, str] = LABELS, detector_id: str = "d", **changes: Any
) -> Watched:
    detector = Detector(id=detector_id, revision=3, config=config(tenant=tenant, **changes), author="", updated_ms=0)
    raw_labels = encode_labels(labels)
    return Watched(compile_config(detector), tenant, raw_labels, signal_of(raw_labels, detector.config.shape))


def state(**changes: Any) -> Any:
    one = np.zeros(1, EPISODE)[0]
    fields = {
        "value": 99.0, "expected": 10.0, "lower": 9.0, "upper": 11.0, "surprise": 12.0, "peak_value": 120.0,
        "peak_expected": 10.0, "peak_surprise": 20.0, "peak_size": 2.0, "threshold": 8.0, "step_s": 1.0,
        "start_ms": 1000, "time_ms": 3000, "peak_ms": 2000, "samples": 3, "ups": 3, "sequence": 4, "direction": 1,
    }  # fmt: skip
    evidence = {"evidence": changes.get("peak_surprise", fields["peak_surprise"])}
    for name, value in {**fields, **evidence, **changes}.items():
        one[name] = value
    return one


def record_of(one: Watched, state: Any, kind: int, *closed_by: ClosedBy) -> OutRecord:
    return Reports("t").record(one, state, kind, *closed_by)


def id_of(one: Watched, start_ms: int) -> str:
    """The twin: a hash of what is computed, on which series, from when."""
    start = start_ms.to_bytes(8, "big", signed=True)
    key = b"\0".join((one.detector.digest, one.tenant.encode(), one.raw_labels, start))
    return blake2b(key, digest_size=16).hexdigest()


def told_id(one: Watched, start_ms: int) -> str:
    """Of the record."""
    return anomaly_of(one, state(start_ms=start_ms), OPENED).id


def anomaly_of(one: Watched, state: Any, kind: int, *closed_by: ClosedBy) -> Anomaly:
    return Anomaly.decode(record_of(one, state, kind, *closed_by).value or b"")


def validated(one: Watched, state: Any, kind: int, closed_by: ClosedBy) -> Anomaly:
    """The twin: every field from the state by its name, through the validating model."""
    config, closed = one.detector.source.config, kind == CLOSED
    episode = Episode._make(state.item())
    labels, shape = parse_labels(one.raw_labels), config.shape
    return Anomaly(
        id=id_of(one, int(state["start_ms"])),
        event={OPENED: EventType.OPENED, CLOSED: EventType.CLOSED}.get(kind, EventType.UPDATED),
        notice={OPENED: Notice.OPENED, ESCALATED: Notice.WORSE, REMINDED: Notice.ONGOING}.get(kind),
        sequence=int(state["sequence"]),
        tenant=one.tenant,
        detector=AnomalyDetector(
            id=one.detector.source.id, name=config.name, kind=config.kind, revision=one.detector.source.revision
        ),
        signal=AnomalySignal(labels=labels, shape=shape),
        start_ms=int(state["start_ms"]),
        time_ms=int(state["time_ms"]),
        end_ms=int(state["time_ms"]) if closed else None,
        closed_by=closed_by if closed else None,
        severity=severity_of(episode),
        direction=Direction.UP if state["direction"] > 0 else Direction.DOWN,
        value=float(state["value"]),
        expected=float(state["expected"]),
        lower=float(state["lower"]),
        upper=float(state["upper"]),
        surprise=float(state["surprise"]),
        peak=Peak(
            time_ms=int(state["peak_ms"]), value=float(state["peak_value"]), surprise=float(state["peak_surprise"])
        ),
        samples=int(state["samples"]),
        duration_ms=episode.time_ms - episode.start_ms,
        change=change_of(episode, Manner.VALUES),
        chance_per_week=chance_per_week(episode, Manner.VALUES),
        contributors=[],
        sentence=sentence(signal_text(labels, shape), episode, Manner.VALUES, closed=closed),
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
states = st.fixed_dictionaries(
    dict.fromkeys(("value", "expected", "lower", "upper", "peak_value"), finite)
    | {name: st.floats(0, 1e308) for name in ("surprise", "peak_surprise", "told_surprise")}
    | {name: st.integers(-(2**62), 2**62) for name in ("start_ms", "log_ms", "peak_ms", "told_ms", "noticed_ms")}
    | {name: st.floats(0, 1e308) for name in ("peak_size", "step_s")}
    | dict.fromkeys(("peak_expected", "first_expected"), finite)
    | {"time_ms": st.integers(2**62, 2**63 - 1), "threshold": st.floats(1e-300, 300.0)}
    | {name: st.integers(1, 2**31 - 1) for name in ("samples", "sequence", "lane", "ups")}
    | {"direction": st.sampled_from([-1, 1])}
)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@examples(120)
@given(
    states, st.sampled_from([OPENED, UPDATED, ESCALATED, REMINDED, CLOSED]), st.sampled_from(list(ClosedBy)),
    st.dictionaries(words, words, max_size=4), words, st.sampled_from(list(Shape)),
)  # fmt: skip
def test_each_record_is_what_the_model_would_say(
    fields: dict[str, Any], kind: int, closed_by: ClosedBy, labels: dict[str, str], name: str, shape: Shape
) -> None:
    one, given_state = watched(labels={"__name__": "m", **labels}, name=name, shape=shape), state(**fields)
    record = record_of(one, given_state, kind, closed_by)
    assert Anomaly.model_validate_json(record.value or b"", strict=True) == validated(one, given_state, kind, closed_by)
    assert json.loads(record.value or b"").keys() == Anomaly.model_fields.keys()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["value", "expected", "lower", "upper", "surprise", "peak_value", "peak_surprise"])
def test_no_number_that_json_lacks(name: str, number: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={number}"):
        record_of(watched(), state(**{name: number}), OPENED)


def test_a_revised_detector_is_told_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.report, "MAX_TOLD", 2)
    reports = Reports("t")
    for name in ("one", "two", "one"):
        for detector_id in ("a", "b", "c"):
            one = watched(detector_id=detector_id, name=name)
            for _ in range(2):
                anomaly = Anomaly.decode(reports.record(one, state(), OPENED).value or b"")
                assert (anomaly.detector.id, anomaly.detector.name) == (detector_id, name)


@pytest.mark.parametrize(("kind", "event", "notice"), [
    (OPENED, "opened", "opened"), (UPDATED, "updated", None), (ESCALATED, "updated", "worse"),
    (REMINDED, "updated", "ongoing"), (CLOSED, "closed", None),
])  # fmt: skip
def test_all_that_is_known_stands_in_every_event(kind: int, event: str, notice: str | None) -> None:
    anomaly = anomaly_of(watched(), state(), kind)
    assert (anomaly.event, anomaly.sequence, anomaly.samples) == (event, 4, 3)
    assert anomaly.notice == notice
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
    assert anomaly_of(watched(), state(peak_surprise=peak), OPENED).severity is severity
    assert anomaly_of(watched(), state(peak_surprise=peak / 2, threshold=4.0), OPENED).severity is severity


def test_severity_believes_no_more_than_the_past_of_the_signal_bears_out() -> None:
    assert anomaly_of(watched(), state(peak_surprise=300.0, evidence=9.0), OPENED).severity is Severity.INFO
    assert anomaly_of(watched(), state(peak_surprise=300.0, evidence=24.0), OPENED).severity is Severity.CRITICAL


@pytest.mark.parametrize(("changes", "severity"), [
    ({"peak_size": 9.99}, Severity.INFO), ({"peak_size": 10.0}, Severity.WARNING),
    ({"time_ms": 900_999}, Severity.INFO), ({"time_ms": 901_000}, Severity.WARNING),
    ({"time_ms": 901_000, "step_s": 300.0}, Severity.INFO), ({"time_ms": 1_801_000, "step_s": 300.0}, Severity.WARNING),
    ({"time_ms": 901_000, "peak_size": 10.0}, Severity.CRITICAL),
    ({"time_ms": 901_000, "peak_surprise": 12.0}, Severity.CRITICAL),
    ({"time_ms": 901_000, "peak_size": 10.0, "peak_surprise": 300.0}, Severity.CRITICAL),
])  # fmt: skip
def test_what_is_large_or_lasts_is_a_degree_worse(changes: dict[str, Any], severity: Severity) -> None:
    assert anomaly_of(watched(), state(**{"peak_surprise": 9.0, **changes}), OPENED).severity is severity


def test_ids_are_those_of_what_is_computed() -> None:
    same = [watched(), watched(name="renamed")]
    assert len({told_id(w, 1000) for w in same}) == 1
    others = [
        told_id(watched(), 1001), told_id(watched("t"), 1000), told_id(watched(threshold=9.0), 1000),
        told_id(watched(labels={**LABELS, "n": "1"}), 1000), told_id(watched(kind="zscore"), 1000),
    ]  # fmt: skip
    assert len({told_id(watched(), 1000), *others}) == 6


def test_an_id_never_changes_between_versions() -> None:
    assert told_id(watched(), 1000) == "5d14f5cbc97710885286856635204e52"
    assert told_id(watched(), -1) != told_id(watched(), 1)


def test_the_record_is_keyed_by_the_id() -> None:
    record = record_of(watched(), state(), OPENED)
    anomaly = Anomaly.decode(record.value or b"")
    assert (record.topic, record.key, record.partition) == ("t", anomaly.id.encode(), None)
    assert anomaly.id == id_of(watched(), anomaly.start_ms)
