"""Anomaly events for tests: one builder with sensible values, and a hypothesis strategy over the whole contract."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from connectors.anomaly import (
    Anomaly,
    AnomalyDetector,
    AnomalySignal,
    Change,
    ClosedBy,
    Contributor,
    Direction,
    EventType,
    Notice,
    Peak,
    Severity,
)
from connectors.detector import Shape

START_MS = 1_700_000_000_000


def make_anomaly(number: int = 1, sequence: int = 0, **changes: Any) -> Anomaly:
    """Event ``sequence`` of episode ``number``; one second between events."""
    time_ms = START_MS + number * 60_000 + sequence * 1000
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "event": EventType.UPDATED if sequence else EventType.OPENED,
        "sequence": sequence,
        "tenant": "anonymous",
        "detector": AnomalyDetector(id="default-cpu", name="CPU busy", kind="mad", revision=3),
        "signal": AnomalySignal(labels={"__name__": "up", "job": "shop"}, shape=Shape.RAW),
        "start_ms": START_MS + number * 60_000,
        "time_ms": time_ms,
        "end_ms": None,
        "closed_by": None,
        "severity": Severity.WARNING,
        "direction": Direction.UP,
        "value": 98.5,
        "expected": 12.25,
        "lower": 8.0,
        "upper": 16.5,
        "surprise": 11.5,
        "peak": Peak(time_ms=time_ms, value=98.5, surprise=11.5),
        "samples": sequence + 1,
        "duration_ms": 1000 * sequence,
        "change": Change.SPIKE,
        "chance_per_week": 2e-6,
        "contributors": [],
        "sentence": 'up{job="shop"} is 8.04 times its expected 12.2.',
    }
    return Anomaly(**{**fields, **changes})


def closed(event: Anomaly) -> Anomaly:
    """The event that closes the episode of ``event``."""
    last = {"event": EventType.CLOSED, "sequence": event.sequence + 1, "end_ms": event.time_ms}
    return event.model_copy(update={**last, "closed_by": ClosedBy.QUIET})


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_TIMES = st.integers(-(2**62), 2**62)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_SURPRISE = st.floats(0, 300)

anomalies = st.builds(
    Anomaly,
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    event=st.sampled_from(EventType),
    notice=st.none() | st.sampled_from(Notice),
    sequence=st.integers(0, 2**31),
    tenant=_TEXT,
    detector=st.builds(AnomalyDetector, id=_TEXT, name=_TEXT, kind=_TEXT, revision=st.integers(1, 2**31)),
    signal=st.builds(AnomalySignal, labels=st.dictionaries(_TEXT, _TEXT, max_size=8), shape=st.sampled_from(Shape)),
    start_ms=_TIMES,
    time_ms=_TIMES,
    end_ms=st.none() | _TIMES,
    closed_by=st.none() | st.sampled_from(ClosedBy),
    severity=st.sampled_from(Severity),
    direction=st.sampled_from(Direction),
    value=_FLOATS,
    expected=_FLOATS,
    lower=_FLOATS,
    upper=_FLOATS,
    surprise=_SURPRISE,
    peak=st.builds(Peak, time_ms=_TIMES, value=_FLOATS, surprise=_SURPRISE),
    samples=st.integers(1, 2**31),
    duration_ms=st.integers(0, 2**62),
    change=st.sampled_from(Change),
    chance_per_week=st.none() | st.floats(0, 1e12),
    contributors=st.lists(
        st.builds(Contributor, labels=st.dictionaries(_TEXT, _TEXT, max_size=3), value=_FLOATS), max_size=3
    ),
    sentence=_TEXT,
    learned=st.none() | _TEXT,
)
