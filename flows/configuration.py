"""The detectors of a block as control records announce them: revisions of the detector log, applied at their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from connectors.messages import DetectorRevision, OutRecord
from flows.chunks import ReadRevisions
from flows.config import Compile, CompiledDetector
from flows.revisions import DetectorTable, Outcome
from flows.watch import Watch
from flows.work import WORK_PER_REVISION

REVISIONS = {outcome: f"revisions_{outcome}" for outcome in Outcome}
CROWD, CROWD_PAIRS = 128, 1 << 18
"""Revisions that are applied together: their detectors meet the series in one go. Fewer where series are many."""
Added = tuple[CompiledDetector, int]
"""A detector to be added, and the offset in the detector log since which it computes what it does."""


Remove = Callable[[int, list[OutRecord]], None]
"""Ends what a detector has open, and forgets it; what that causes goes to the list."""


class Configuration:
    """How far the detector log is applied, and to what."""

    def __init__(
        self, watch: Watch, read_revisions: ReadRevisions, compiled: Compile, counts: Counter[str], remove: Remove
    ) -> None:
        self.revisions = DetectorTable(compiled=compiled)
        self.offset = 0
        """of the next revision to be applied; what is announced beyond waits for the next control record"""
        self.announced = 0
        self._watch, self._read, self._counts, self._remove = watch, read_revisions, counts, remove

    def apply(self, work: float, log_ms: int, out: list[OutRecord]) -> None:
        """Apply what is announced, a crowd of revisions at a time and one at least, until so much work is done.

        A bound in time would make it depend on the machine after which sample a detector is there.
        """
        until = self._watch.work + work
        crowd = max(1, min(CROWD, CROWD_PAIRS // max(1, len(self._watch.series)))) if work > 0 else 1
        while self.offset < self.announced:
            self._apply(min(self.announced, self.offset + crowd), log_ms, out)
            if self._watch.work >= until:
                break

    def _apply(self, until: int, log_ms: int, out: list[OutRecord]) -> None:
        self._watch.work += WORK_PER_REVISION * (until - self.offset)
        added: dict[str, Added] = {}
        outcomes: list[Outcome] = []
        for offset, revision in enumerate(self._read(self.offset, until), self.offset):
            if revision is None:
                self._counts["revisions_unreadable"] += 1
            else:
                outcomes.append(self._revise(revision, offset, added, out))
        for outcome, n in Counter(outcomes).items():
            self._counts[REVISIONS[outcome]] += n
        gathered = {
            key: (since, detector.plan.first_step(log_ms), False, False)
            for key, (detector, since) in added.items()
            if detector.plan is not None
        }
        self._watch.add_detectors([detector for detector, _ in added.values()], gathered)
        self.offset = until

    def _revise(
        self, revision: DetectorRevision, offset: int, added: dict[str, Added], out: list[OutRecord]
    ) -> Outcome:
        detector_id, compiled = revision.detector_id, self.revisions.compiled
        before = compiled.get(detector_id)
        outcome = self.revisions.apply(revision)
        if outcome is not Outcome.APPLIED:
            return outcome
        after = compiled.get(detector_id)
        if before is None:  # nearly all, where they come in crowds
            if after is not None:
                added[detector_id] = after, offset
            return outcome
        was_added = added.pop(detector_id, None)
        goes_on = after is not None and _same(before, after)
        if goes_on and not was_added and after:
            self._watch.swap_detector(after)
            return outcome
        if not was_added:
            self._remove(self._watch.numbers[detector_id], out)
        if after:
            added[detector_id] = after, was_added[1] if goes_on and was_added else offset
        return outcome


def _same(before: CompiledDetector, after: CompiledDetector) -> bool:
    """Whether a new revision goes on with state and episodes of the old one."""
    running = before.source.config.enabled == after.source.config.enabled
    return running and before.computes == after.computes
