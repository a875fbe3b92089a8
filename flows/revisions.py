"""The log of detector revisions, reduced to the detectors as they stand. Every reader reduces alike, so all agree."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum

import cramjam

from connectors.detector import Detector, DetectorRevision
from flows.config import Compile, CompiledDetector, compile_config
from flows.crowd import Crowd
from flows.validator import ConfigError

MAX_DETECTORS = 10_000
LEVEL = 3
SEASONAL = "seasonal"
"""The kind that takes lists, of days, in whose order nothing lies."""
MAX_COMPILED = 2 * MAX_DETECTORS
"""Detectors that are kept compiled for blocks that have not come so far."""


class CompileOnce:
    """Compiles a detector once for all blocks of a process, maybe ahead of them in another thread.

    No lock is needed: threads only look up and put in. What is known is in two halves; when the young one is full it
    takes the place of the old one, which is forgotten. Two threads that find it full at a time forget too much, and
    compile that again.
    """

    def __init__(self, compiled: Compile = compile_config) -> None:
        self._compile = compiled
        self._young: dict[str, CompiledDetector] = {}
        self._old: dict[str, CompiledDetector] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __call__(self, detector: Detector) -> CompiledDetector:
        """As ``compile_config``."""
        known = self._young.get(detector.text)
        if known is None:
            known = self._old.get(detector.text) or self._compile(detector)
            if len(self._young) >= MAX_COMPILED // 2:
                self._old, self._young = self._young, {}
            self._young[detector.text] = known
        return known


class Outcome(StrEnum):
    """What a revision did."""

    APPLIED = "applied"
    STALE = "stale"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    LIMIT = "limit"


class DetectorTable:
    """Detectors by id, after all revisions applied so far."""

    def __init__(self, detectors: Iterable[Detector] = (), compiled: Compile = compile_config) -> None:
        self.compile = compiled
        self.compiled: dict[str, CompiledDetector] = {}
        self._by_computation: dict[bytes, str] = {}
        """by digests, which know their hash: tuples reckon theirs anew each time"""
        self._packed: bytes | None = None
        for detector in detectors:
            with suppress(ConfigError):  # what this version refuses is skipped in the log, too
                self.put(compiled(detector))

    @property
    def detectors(self) -> dict[str, Detector]:
        """Every detector as it stands, by id."""
        return {key: compiled.source for key, compiled in self.compiled.items()}

    def apply(self, revision: DetectorRevision) -> Outcome:
        """Apply one record of the log, or skip it and say why."""
        detector_id, detector = revision.detector_id, revision.detector
        current = self.compiled.get(detector_id)
        if revision.base_revision != (current.source.revision if current else 0):
            return Outcome.STALE
        if detector is None:
            return self._delete(detector_id)
        try:
            compiled = self.compile(detector)
        except ConfigError:
            return Outcome.INVALID
        if current is None and len(self.compiled) >= MAX_DETECTORS:
            return Outcome.LIMIT
        if self._by_computation.get(compiled.digest, detector_id) != detector_id:
            return Outcome.DUPLICATE
        self._put(detector_id, compiled)
        return Outcome.APPLIED

    def put_new(self, crowd: Crowd) -> bool:
        """Let all of a crowd stand, if none is known here by its id or as a twin, and there is room for them.

        As ``apply`` of each, which is to be asked if this says no.
        """
        new = self.compiled.keys().isdisjoint(crowd.ids) and self._by_computation.keys().isdisjoint(crowd.digests)
        if not new or len(self.compiled) + len(crowd) > MAX_DETECTORS:
            return False
        self._packed = None
        self.compiled.update(zip(crowd.ids, crowd.detectors, strict=True))
        self._by_computation.update(zip(crowd.digests, crowd.ids, strict=True))
        return True

    def twin_of(self, compiled: CompiledDetector) -> Detector | None:
        """Another detector that would say the same of the same series."""
        twin = self._by_computation.get(compiled.digest)
        if twin is None:
            twin = self._written_otherwise(compiled)
        return self.compiled[twin].source if twin is not None and twin != compiled.source.id else None

    def _written_otherwise(self, compiled: CompiledDetector) -> str | None:
        """One that means the same in other words. The log takes it: it knows those that an older version took."""
        if compiled.plan is None and compiled.program.kind != SEASONAL:
            return None  # what is not a group or a list of days can be written in one way
        kind, meaning = compiled.program.kind, compiled.meaning
        alike = (
            one for one in self.compiled.values() if one.program.kind == kind and one.selector == compiled.selector
        )
        same = [one.source.id for one in alike if one.meaning == meaning]
        return None if compiled.source.id in same else next(iter(same), None)

    def put(self, compiled: CompiledDetector) -> None:
        """Let a detector stand, whatever stood under its id before."""
        self._put(compiled.source.id, compiled)

    def _put(self, detector_id: str, compiled: CompiledDetector) -> None:
        self._forget(detector_id)
        self.compiled[detector_id] = compiled
        self._by_computation[compiled.digest] = detector_id

    def pack(self) -> bytes:
        """All detectors in the order in which they came to stand, compressed; packed anew only after a change."""
        if self._packed is None:
            lines = "\n".join(one.source.text for one in self.compiled.values())
            self._packed = bytes(cramjam.zstd.compress(lines.encode(), LEVEL))
        return self._packed

    def _delete(self, detector_id: str) -> Outcome:
        if detector_id not in self.compiled:
            return Outcome.STALE
        self._forget(detector_id)
        return Outcome.APPLIED

    def _forget(self, detector_id: str) -> None:
        self._packed = None
        old = self.compiled.pop(detector_id, None)
        if old is not None:
            del self._by_computation[old.digest]


def unpack_detectors(packed: bytes) -> list[Detector]:
    """What ``DetectorTable.pack`` was made of."""
    lines = bytes(cramjam.zstd.decompress(packed)).decode()
    return [Detector.model_validate_json(line) for line in lines.splitlines() if line]
