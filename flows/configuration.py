"""The detectors of a block as control records announce them: revisions of the detector log, applied at their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from connectors.detector import DetectorRevision
from connectors.messages import OutRecord
from flows.chunks import ReadRevisions
from flows.config import Compile, CompiledDetector
from flows.crowd import newcomers
from flows.placement import GatheringState
from flows.revisions import DetectorTable, Outcome
from flows.watch import Watch
from flows.work import WORK_PER_REVISION

REVISIONS = {outcome: f"revisions_{outcome}" for outcome in Outcome}
CROWD, CROWD_PAIRS = 128, 3 << 17
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
        self._revising = 0
        """work so far, but for that of ``watch``"""

    @property
    def work(self) -> int:
        """Of all changes so far, in ``WORK_PER_CONTROL``'s measure; a function of the partition alone."""
        return self._revising + self._watch.work

    def apply(self, work: float, log_ms: int, out: list[OutRecord]) -> None:
        """Apply what is announced, a crowd of revisions at a time and one at least, until so much work is done.

        A bound in time would make it depend on the machine after which sample a detector is there.
        """
        if self.offset >= self.announced:
            return
        until = self.work + work
        crowd = crowd_of(len(self._watch.series)) if work > 0 else 1
        while self.offset < self.announced:
            self._apply(min(self.announced, (self.offset // crowd + 1) * crowd), log_ms, out)
            if self.work >= until:
                break

    def _apply(self, until: int, log_ms: int, out: list[OutRecord]) -> None:
        self._revising += WORK_PER_REVISION * (until - self.offset)
        revisions = self._read(self.offset, until)
        crowd = newcomers(revisions, self.revisions.compile)
        if crowd is not None and self.revisions.put_new(crowd):
            self._counts[REVISIONS[Outcome.APPLIED]] += len(crowd)
            added = {crowd.ids[at]: (crowd.detectors[at], self.offset + at) for at in crowd.planned}
            self._watch.add_crowd(crowd, _gathered(added, log_ms))
        else:
            self._revise_all(revisions, log_ms, out)
        self.offset = until

    def _revise_all(self, revisions: Sequence[DetectorRevision | None], log_ms: int, out: list[OutRecord]) -> None:
        """The same of revisions of any kind, one by one."""
        added: dict[str, Added] = {}
        outcomes: list[Outcome] = []
        for offset, revision in enumerate(revisions, self.offset):
            if revision is None:
                self._counts["revisions_unreadable"] += 1
            else:
                outcomes.append(self._revise(revision, offset, added, out))
        for outcome, n in Counter(outcomes).items():
            self._counts[REVISIONS[outcome]] += n
        self._watch.add_detectors([detector for detector, _ in added.values()], _gathered(added, log_ms))

    def _revise(
        self, revision: DetectorRevision, offset: int, added: dict[str, Added], out: list[OutRecord]
    ) -> Outcome:
        detector_id, compiled = revision.detector_id, self.revisions.compiled
        before = compiled.get(detector_id)
        outcome = self.revisions.apply(revision)
        if outcome is not Outcome.APPLIED:
            return outcome
        after = compiled.get(detector_id)
        was_added = added.pop(detector_id, None)
        goes_on = before is not None and after is not None and _same(before, after)
        if goes_on and not was_added and after:
            self._watch.swap_detector(after)
            return outcome
        if before is not None and not was_added:
            self._remove(self._watch.numbers[detector_id], out)
        if after:
            added[detector_id] = after, was_added[1] if goes_on and was_added else offset
        return outcome


def crowd_of(series: int) -> int:
    """How many revisions are applied together where there are so many series.

    A power of two, so that all blocks cut the log at the same places, and work out what is common to them once.
    """
    return 1 << (min(CROWD, max(1, CROWD_PAIRS // max(1, series))).bit_length() - 1)


def _gathered(added: Mapping[str, Added], log_ms: int) -> dict[str, GatheringState]:
    """From where on the groups of new detectors are gathered."""
    return {
        key: (since, detector.plan.first_step(log_ms), False, False)
        for key, (detector, since) in added.items()
        if detector.plan is not None
    }


def _same(before: CompiledDetector, after: CompiledDetector) -> bool:
    """Whether a new revision goes on with state and episodes of the old one."""
    running = before.source.config.enabled == after.source.config.enabled
    return running and before.computes == after.computes
