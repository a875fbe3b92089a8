"""The log of detector revisions, reduced to the detectors as they stand. Every reader reduces alike, so all agree."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum

from connectors.messages import Detector, DetectorRevision
from flows.config import CompiledDetector, ConfigError, compile_config

MAX_DETECTORS = 10_000


class Outcome(StrEnum):
    """What a revision did."""

    APPLIED = "applied"
    STALE = "stale"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    LIMIT = "limit"


class DetectorTable:
    """Detectors by id, after all revisions applied so far."""

    def __init__(self, detectors: Iterable[Detector] = ()) -> None:
        self.compiled: dict[str, CompiledDetector] = {}
        self._by_computation: dict[tuple[str, ...], str] = {}
        for detector in detectors:
            with suppress(ConfigError):  # what this version refuses is skipped in the log, too
                self._put(compile_config(detector))

    @property
    def detectors(self) -> dict[str, Detector]:
        """Every detector as it stands, by id."""
        return {key: compiled.source for key, compiled in self.compiled.items()}

    def apply(self, revision: DetectorRevision) -> Outcome:
        """Apply one record of the log, or skip it and say why."""
        current = self.compiled.get(revision.detector_id)
        if revision.base_revision != (current.source.revision if current else 0):
            return Outcome.STALE
        if revision.config is None:
            return self._delete(revision.detector_id)
        try:
            compiled = compile_config(_stands(revision))
        except ConfigError:
            return Outcome.INVALID
        if current is None and len(self.compiled) >= MAX_DETECTORS:
            return Outcome.LIMIT
        if self.twin_of(compiled) is not None:
            return Outcome.DUPLICATE
        self._put(compiled)
        return Outcome.APPLIED

    def twin_of(self, compiled: CompiledDetector) -> Detector | None:
        """Another detector that would say the same of the same series."""
        twin = self._by_computation.get(compiled.computes)
        return self.compiled[twin].source if twin is not None and twin != compiled.source.id else None

    def _put(self, compiled: CompiledDetector) -> None:
        self._forget(compiled.source.id)
        self.compiled[compiled.source.id] = compiled
        self._by_computation[compiled.computes] = compiled.source.id

    def _delete(self, detector_id: str) -> Outcome:
        if detector_id not in self.compiled:
            return Outcome.STALE
        self._forget(detector_id)
        return Outcome.APPLIED

    def _forget(self, detector_id: str) -> None:
        old = self.compiled.pop(detector_id, None)
        if old is not None:
            del self._by_computation[old.computes]


def _stands(revision: DetectorRevision) -> Detector:
    assert revision.config is not None  # noqa: S101 - the caller handled deletion
    return Detector(
        id=revision.detector_id,
        revision=revision.base_revision + 1,
        config=revision.config,
        author=revision.author,
        updated_ms=revision.time_ms,
    )
