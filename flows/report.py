"""Report, second half: an episode's state to the record of ``tocsin.anomalies``."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from connectors.messages import AnomalyDetector, ClosedBy, Direction, EventType, OutRecord, Severity, Shape
from flows.config import CompiledDetector
from flows.episodes import CLOSED, EPISODE, OPENED, UPDATED

WARNING_RATIO, CRITICAL_RATIO = 1.5, 3.0
"""Peak surprise against the threshold: at 8, a warning is 1 in 10¹² and critical 1 in 10²⁴ under the Gaussian."""
MAX_TOLD = 10_000
"""Detectors of which a block remembers what to say; beyond, it is made anew."""
EVENT = {OPENED: EventType.OPENED, UPDATED: EventType.UPDATED, CLOSED: EventType.CLOSED}


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
    return _id(watched.detector.digest, watched, start_ms)


def _id(digest: bytes, watched: Watched, start_ms: int) -> str:
    start = start_ms.to_bytes(8, "big", signed=True)
    key = b"\0".join((digest, watched.tenant.encode(), watched.raw_labels, start))
    return blake2b(key, digest_size=16).hexdigest()


def severity_of(peak_surprise: float, threshold: float) -> Severity:
    """How far the peak is above the threshold."""
    if peak_surprise >= CRITICAL_RATIO * threshold:
        return Severity.CRITICAL
    return Severity.WARNING if peak_surprise >= WARNING_RATIO * threshold else Severity.INFO


class _Told(NamedTuple):
    """What all events of a detector have in common."""

    by: CompiledDetector
    digest: bytes
    detector: orjson.Fragment
    threshold: float


class Reports:
    """Makes the records of ``tocsin.anomalies``: an ``Anomaly`` as JSON, but built without validating our own values.

    Validation took most of the time of an event; a test holds that each record is a valid ``Anomaly``.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._told: dict[str, _Told] = {}

    def record(self, watched: Watched, state: Any, kind: int, closed_by: ClosedBy = ClosedBy.QUIET) -> OutRecord:
        """The event as the world sees it; ``state`` is a record of ``EPISODE``.

        Keyed by id, so that all events of an episode stay in order on one partition. Raises ``ValueError`` for a number
        that JSON does not have.
        """
        told = self._of(watched.detector)
        value, expected, lower, upper, surprise, peak_value, peak_surprise, *_ = numbers = state.item()
        start_ms, time_ms, _, peak_ms, _, _, samples, sequence, direction = numbers[8:]
        if not all(map(math.isfinite, numbers[:7])):
            message = (
                f"episode with a number that is not finite: {dict(zip(EPISODE.names or (), numbers, strict=True))}"
            )
            raise ValueError(message)
        closed = kind == CLOSED
        anomaly = _id(told.digest, watched, start_ms)
        event = {
            "version": 1,
            "id": anomaly,
            "event": EVENT[kind],
            "sequence": sequence,
            "tenant": watched.tenant,
            "detector": told.detector,
            "signal": {"labels": watched.labels, "shape": watched.shape, "expression": watched.expression},
            "start_ms": start_ms,
            "time_ms": time_ms,
            "end_ms": time_ms if closed else None,
            "closed_by": closed_by if closed else None,
            "severity": severity_of(peak_surprise, told.threshold),
            "direction": Direction.UP if direction > 0 else Direction.DOWN,
            "value": value,
            "expected": expected,
            "lower": lower,
            "upper": upper,
            "surprise": surprise,
            "peak": {"time_ms": peak_ms, "value": peak_value, "surprise": peak_surprise},
            "samples": samples,
        }
        return OutRecord(self._topic, anomaly.encode(), orjson.dumps(event), [])

    def _of(self, detector: CompiledDetector) -> _Told:
        """What to say of a detector; one that was revised takes the place of the former."""
        source = detector.source
        told = self._told.get(source.id)
        if told is None or told.by is not detector:
            config = source.config
            named = AnomalyDetector(id=source.id, name=config.name, kind=config.kind, revision=source.revision)
            told = _Told(detector, detector.digest, orjson.Fragment(named.encode()), config.threshold)
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told[source.id] = told
        return told
