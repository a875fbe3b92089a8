"""Report, second half: an episode's state to the record of ``tocsin.anomalies``."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

from connectors.messages import (
    Anomaly,
    AnomalyDetector,
    AnomalySignal,
    ClosedBy,
    Direction,
    EventType,
    OutRecord,
    Peak,
    Severity,
    Shape,
)
from flows.config import CompiledDetector
from flows.episodes import CLOSED, OPENED, UPDATED

WARNING_RATIO, CRITICAL_RATIO = 1.5, 3.0
"""Peak surprise against the threshold: at 8, a warning is 1 in 10¹² and critical 1 in 10²⁴ under the Gaussian."""
_EVENT = {OPENED: EventType.OPENED, UPDATED: EventType.UPDATED, CLOSED: EventType.CLOSED}


class Watched(NamedTuple):
    """A detector on a series."""

    detector: CompiledDetector
    tenant: str
    raw_labels: bytes
    labels: dict[str, str]
    shape: Shape
    expression: str | None = None


def anomaly_id(watched: Watched, start_ms: int) -> str:
    """32 hexadecimal digits of what is computed, on which series, from when: the same after every replay."""
    start = start_ms.to_bytes(8, "big", signed=True)
    key = b"\0".join((watched.detector.digest, watched.tenant.encode(), watched.raw_labels, start))
    return blake2b(key, digest_size=16).hexdigest()


def severity_of(peak_surprise: float, threshold: float) -> Severity:
    """How far the peak is above the threshold."""
    if peak_surprise >= CRITICAL_RATIO * threshold:
        return Severity.CRITICAL
    return Severity.WARNING if peak_surprise >= WARNING_RATIO * threshold else Severity.INFO


def anomaly_of(watched: Watched, state: Any, kind: int, closed_by: ClosedBy = ClosedBy.QUIET) -> Anomaly:
    """The event as the world sees it; ``state`` is a record of ``EPISODE``."""
    config = watched.detector.source.config
    closed = kind == CLOSED
    return Anomaly(
        id=anomaly_id(watched, int(state["start_ms"])),
        event=_EVENT[kind],
        sequence=int(state["sequence"]),
        tenant=watched.tenant,
        detector=AnomalyDetector(
            id=watched.detector.source.id,
            name=config.name,
            kind=config.kind,
            revision=watched.detector.source.revision,
        ),
        signal=AnomalySignal(labels=watched.labels, shape=watched.shape, expression=watched.expression),
        start_ms=int(state["start_ms"]),
        time_ms=int(state["time_ms"]),
        end_ms=int(state["time_ms"]) if closed else None,
        closed_by=closed_by if closed else None,
        severity=severity_of(float(state["peak_surprise"]), config.threshold),
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
    )


def anomaly_record(topic: str, anomaly: Anomaly) -> OutRecord:
    """The Kafka record: keyed by id, so that all events of an episode stay in order on one partition."""
    return OutRecord(topic, anomaly.id.encode(), anomaly.encode(), [])
