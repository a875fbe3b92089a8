"""Report, second half: an episode's state to the record of ``tocsin.anomalies``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from connectors.anomaly import AnomalyDetector, ClosedBy, Direction, EventType, Notice, Severity
from connectors.codec.labels import parse_labels
from connectors.detector import Shape
from connectors.messages import OutRecord
from flows.config import CompiledDetector
from flows.episode import CLOSED, ESCALATED, OPENED, REMINDED, UPDATED, Episode
from flows.explain import Manner, borne_out, chance_per_week, change_of, is_long
from flows.sentence import number, sentence, signal_text

WARNING_RATIO, CRITICAL_RATIO = 1.5, 3.0
"""Peak surprise against the threshold: at 8, a warning is 1 in 10¹² and critical 1 in 10²⁴ under the Gaussian."""
LARGE_SIZE = 10.0
"""A value so many half bands from the expected is one degree worse: 33 standard deviations of a Gaussian."""
MAX_TOLD = 10_000
"""Detectors of which a block remembers what to say; beyond, it is made anew."""
KEPT_SIGNALS = 1024
"""Signals of which a process remembers what to say, those it told of last: most episodes end soon after they began."""
EVENT = {
    OPENED: EventType.OPENED,
    UPDATED: EventType.UPDATED,
    ESCALATED: EventType.UPDATED,
    REMINDED: EventType.UPDATED,
    CLOSED: EventType.CLOSED,
}
NOTICE = {OPENED: Notice.OPENED, ESCALATED: Notice.WORSE, REMINDED: Notice.ONGOING}
SEVERITIES = tuple(Severity)


class Member(NamedTuple):
    """A member of what is watched that weighs much: labels, value, and its usual value if that is known."""

    labels: dict[str, str]
    value: float
    usual: float | None = None


class Signal(NamedTuple):
    """What is said of a signal in all events of its episodes."""

    labels: Mapping[str, str]
    told: orjson.Fragment
    text: str
    """as PromQL would write it"""


@lru_cache(KEPT_SIGNALS)
def signal_of(raw_labels: bytes, shape: Shape, expression: str | None = None) -> Signal:
    """What to say of a series with these label bytes, of a group with its ``expression``."""
    labels = parse_labels(raw_labels)
    told = orjson.dumps({"labels": labels, "shape": shape, "expression": expression})
    return Signal(labels, orjson.Fragment(told), signal_text(labels, shape, expression))


class Watched(NamedTuple):
    """A detector on a series."""

    detector: CompiledDetector
    tenant: str
    raw_labels: bytes
    signal: Signal
    contributors: tuple[Member, ...] = ()
    """the heaviest first"""
    learned: str | None = None
    """what its kind takes the signal for"""


def anomaly_id(digest: bytes, watched: Watched, start_ms: int) -> str:
    """32 hexadecimal digits of what is computed, on which series, from when: the same after every replay."""
    start = start_ms.to_bytes(8, "big", signed=True)
    key = b"\0".join((digest, watched.tenant.encode(), watched.raw_labels, start))
    return blake2b(key, digest_size=16).hexdigest()


def severity_of(episode: Episode) -> Severity:
    """How far the peak is above the threshold; one degree worse if it is large, and one if it lasts."""
    ratio = borne_out(episode) / episode.threshold
    degree = (ratio >= WARNING_RATIO) + (ratio >= CRITICAL_RATIO)
    degree += (episode.peak_size >= LARGE_SIZE) + is_long(episode)
    return SEVERITIES[min(degree, len(SEVERITIES) - 1)]


class _Told(NamedTuple):
    """What all events of a detector have in common."""

    by: CompiledDetector
    digest: bytes
    detector: orjson.Fragment
    manner: Manner


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
        episode = Episode._make(state.item())
        if not all(map(math.isfinite, episode)):
            message = f"episode with a number that is not finite: {episode}"
            raise ValueError(message)
        anomaly = anomaly_id(told.digest, watched, episode.start_ms)
        event = {
            "version": 1,
            "id": anomaly,
            "event": EVENT[kind],
            "notice": NOTICE.get(kind),
            "sequence": episode.sequence,
            "tenant": watched.tenant,
            "detector": told.detector,
            "signal": watched.signal.told,
            **_times(episode, kind, closed_by),
            "severity": severity_of(episode),
            **_values(episode),
            "samples": episode.samples,
            "duration_ms": episode.time_ms - episode.start_ms,
            **_explanation(watched, episode, told.manner, closed=kind == CLOSED),
        }
        return OutRecord(self._topic, anomaly.encode(), orjson.dumps(event), [])

    def _of(self, detector: CompiledDetector) -> _Told:
        """What to say of a detector; one that was revised takes the place of the former."""
        source = detector.source
        told = self._told.get(source.id)
        if told is None or told.by is not detector:
            config = source.config
            named = AnomalyDetector(id=source.id, name=config.name, kind=config.kind, revision=source.revision)
            told = _Told(detector, detector.digest, orjson.Fragment(named.encode()), Manner.of(detector.program))
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told[source.id] = told
        return told


def _times(episode: Episode, kind: int, closed_by: ClosedBy) -> dict[str, Any]:
    closed = kind == CLOSED
    return {
        "start_ms": episode.start_ms,
        "time_ms": episode.time_ms,
        "end_ms": episode.time_ms if closed else None,
        "closed_by": closed_by if closed else None,
    }


def _values(episode: Episode) -> dict[str, Any]:
    return {
        "direction": Direction.UP if episode.direction > 0 else Direction.DOWN,
        "value": episode.value,
        "expected": episode.expected,
        "lower": episode.lower,
        "upper": episode.upper,
        "surprise": episode.surprise,
        "peak": {"time_ms": episode.peak_ms, "value": episode.peak_value, "surprise": episode.peak_surprise},
    }


def _most(watched: Watched) -> str:
    """The heaviest member in words."""
    if not watched.contributors:
        return ""
    labels, value, usual = watched.contributors[0]
    member = signal_text(
        {name: text for name, text in labels.items() if watched.signal.labels.get(name) != text}, Shape.RAW
    )
    return f"most of it {member} at {number(value)}" + ("" if usual is None else f" where {number(usual)} is usual")


def _explanation(watched: Watched, episode: Episode, manner: Manner, *, closed: bool) -> dict[str, Any]:
    return {
        "change": change_of(episode, manner),
        "chance_per_week": chance_per_week(episode, manner),
        "contributors": [
            {"labels": one.labels, "value": one.value, "usual": one.usual} for one in watched.contributors
        ],
        "sentence": sentence(watched.signal.text, episode, manner, closed=closed, most=_most(watched)),
        "learned": watched.learned,
    }
