"""A detector that knows the past before it judges: its memory built from the history of its series, then put to use.

The history is judged by the very block that judges live (``flows.block``), beside the live one and with nothing told,
so the memory is that of a detector which met it live. Then the rows of its programs take the place of the live ones:
the next sample is judged by all that was learned. Series without history stay as they are. Training brings the history
(``flows.training``); of a detector with groups it is that of their values (``flows.warm_groups``). Cool-downs and
episodes of what happened in the past are not taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from connectors.catalogue import Topics
from connectors.detector import Detector, DetectorRevision
from connectors.messages import OutRecord
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.config import CompiledDetector, ProgramKey
from flows.detectors.base import Ints
from flows.detectors.registry import KINDS, Trait
from flows.episodes import Lanes
from flows.families import Families
from flows.limits import BlockLimits
from flows.persistence import load, save
from flows.program import Judged, Program
from flows.replay import LIMITS, control_at
from flows.series import NEVER_MS

SERIES_BYTES = 100
"""Of a series in a snapshot beside what detectors know of it: hash, times, and its labels compressed."""


class Past(Block):
    """A block that learns and tells nothing: nobody wants episodes of the past, nor what it still needs."""

    def follow(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, judged: Judged, steps_s: NDArray[np.float32],
        out: list[OutRecord],
    ) -> None:  # fmt: skip
        """Verdicts on the past are nobody's business."""

    def count_readiness(self) -> None:
        """It would take longer than the learning."""


class WarmStart:
    """What history teaches one detector of a block, whether the block has it by now or will only get it."""

    def __init__(self, live: Block, source: Detector, max_series: int = LIMITS.max_series, saved: bytes = b"") -> None:
        """Begin anew, or from what ``save`` gave; raises ``ConfigError`` if this version refuses the detector."""
        self._live, self.source = live, source
        self.compiled = self.compile(source)
        revision = DetectorRevision(detector_id=source.id, base_revision=0, config=source.config, author="", time_ms=0)
        own = {name: getattr(live.limits, name) for name in ("max_label_bytes", "max_models", "max_keys")}
        limits = self.limits(replace(LIMITS, max_series=max_series, **own))
        self._past = Past(Topics(), limits, lambda start, end: [revision][start:end], self.compile)
        self._past.watch.families = Families(live.watch.families.saved())  # what is a counter must not differ
        self._saved = saved
        """what was learned so far as bytes; empty once more is learned"""
        if saved:
            load(saved, self._past)

    def compile(self, source: Detector) -> CompiledDetector:
        """What judges the history; raises ``ConfigError``."""
        return self._live.compile(source)

    def limits(self, limits: BlockLimits) -> BlockLimits:
        """Bounds of what judges the history."""
        return limits

    @staticmethod
    def judges_pauses(source: Detector) -> bool:
        """Whether its kind learns by log time."""
        return Trait.PAUSES in KINDS[source.config.kind].traits

    def save(self) -> bytes:
        """All that was learned so far, for a snapshot; packed anew only after more was learned."""
        if not self._saved:
            self._saved = save(self._past)
        return self._saved

    @property
    def snapshot_bytes(self) -> int:
        """Room that it takes in a snapshot, a bit more than less; the same after a restart, as limits depend on it."""
        own = len(self._past.series) * SERIES_BYTES
        return own + sum(program.saved_bytes for program in self._past.watch.programs.judging())

    @property
    def series(self) -> int:
        """Series of the history that the detector watches."""
        return len(np.unique(self._past.watch.routes.entries["row"][self._used()]))

    @property
    def refused(self) -> int:
        """Series of the history beyond the bounds."""
        return self._past.counts["series_refused"]

    @property
    def size_bytes(self) -> int:
        """Memory of what was learned."""
        return self._past.size_bytes + len(self._saved)

    def _used(self) -> Ints:
        entries = self._past.watch.routes.entries
        return np.flatnonzero(entries["lane"][: entries.used] >= 0)

    def take(self, samples: Samples) -> int:
        """Learn from samples of the past, per series in the order of their times; gives how many.

        Their series may be new. Samples later than the one of their series met live last are left out: they are to
        come live, and would be learned twice; of series never met live those later than log time.
        """
        samples = samples.part(np.flatnonzero(self._met(samples)), samples.new)
        if not len(samples.times_ms):
            return 0
        self._saved = b""
        if not self._past.log_ms:
            self._past.take([control_at(int(samples.times_ms.min()))])
        self._learn(samples)
        return len(samples.times_ms)

    def _met(self, samples: Samples) -> NDArray[np.bool_]:
        """Which of these samples are no later than what was met live; (n,)."""
        rows = self._live.series.index.find(samples.series)
        heard_ms = np.full(len(rows), NEVER_MS)
        heard_ms[rows >= 0] = self._live.series.table["last_ms"][rows[rows >= 0]]
        met: NDArray[np.bool_] = samples.times_ms <= np.where(heard_ms == NEVER_MS, self._live.log_ms, heard_ms)
        return met

    def _learn(self, samples: Samples) -> None:
        """All of it between two control records, but of kinds that learn by log time what comes at once."""
        for one in self._cut(samples) if self.judges_pauses(self.source) else (samples,):
            self._past.take([one, control_at(int(one.times_ms.max()))])

    @staticmethod
    def _cut(samples: Samples) -> Iterator[Samples]:
        """What has the same time, time after time."""
        order = np.argsort(samples.times_ms, kind="stable")
        ends = np.flatnonzero(np.diff(samples.times_ms[order])) + 1
        new = samples.new
        for at in np.split(order, ends):
            yield samples.part(at, new)
            new = ()

    def unmet(self, most: int) -> Samples:
        """Some series that were never met live, but may come at any time: a live block knows them by taking this."""
        past, live = self._past.series, self._live
        rows = np.unique(self._past.watch.routes.entries["row"][self._used()])
        recent = past.table["last_ms"][rows] >= live.log_ms - 1000 * live.limits.idle_s
        unknown = live.series.index.find(past.table["series"][rows]) < 0
        new = [
            NewSeries(int(past.table["series"][row]), past.tenant(row), past.labels[row] or b"")
            for row in rows[recent & unknown][:most].tolist()
        ]
        nothing = np.zeros(0, np.int64)
        return Samples(nothing.astype(np.uint64), nothing, nothing.astype(np.float64), None, tuple(new))

    def put_to_use(self) -> int:
        """Give the live block what was learned of the series that it watches; how many were replaced, all shapes."""
        replaced = 0
        for key in list(self._past.watch.programs.keys):
            if isinstance(key, ProgramKey):
                replaced += self._replace(key)
        return replaced

    def _replace(self, key: ProgramKey) -> int:
        if self._live.watch.programs.find(key) is None:
            return 0
        past, live = self._past.watch.programs.slots(key), self._live.watch.programs.slots(key)
        assert isinstance(past.program, Program)  # noqa: S101 - of a ``ProgramKey``
        assert isinstance(live.program, Program)  # noqa: S101
        theirs, ours = self._past.series.table["series"][past.rows], self._live.series.table["series"][live.rows]
        _, at_past, at_live = np.intersect1d(theirs, ours, assume_unique=True, return_indices=True)
        live.program.learn_from(live.slots[at_live], past.program.save(past.slots[at_past]))
        return len(at_live)
