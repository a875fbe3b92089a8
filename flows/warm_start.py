"""A detector that knows the past before it judges: its memory built from the history of its series, then put to use.

The history is judged by the very block that judges live (``flows.block``), beside the live one and with nothing told,
so the memory is that of a detector which met it live. Then the rows of its programs take the place of the live ones:
the next sample is judged by all that was learned. Series without history stay as they are. Training will bring the
history; of a detector with groups it is that of its groups' values, which their PromQL expression gives, for the block
of its merge. Cool-downs of what happened in the past are not taken over.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from connectors.catalogue import Topics
from connectors.messages import DetectorRevision
from flows.block import Block
from flows.chunks import Samples
from flows.config import ProgramKey
from flows.detectors.registry import KINDS, Trait
from flows.program import Program
from flows.replay import LIMITS, control_at


class WarmStart:
    """What history teaches one detector of a block; raises ``LookupError`` if the block has no such detector."""

    def __init__(self, live: Block, detector_id: str) -> None:
        source = live.watch.detector(live.watch.numbers[detector_id]).source
        revision = DetectorRevision(
            detector_id=detector_id, base_revision=0, config=source.config, author="", time_ms=0
        )
        self._live = live
        self._judges_pauses = Trait.PAUSES in KINDS[source.config.kind].traits
        self._past = Block(Topics(), LIMITS, lambda start, end: [revision][start:end], live.compile)
        self._past.watch.families = live.watch.families  # what is a counter must not differ

    def take(self, samples: Samples) -> None:
        """Learn from samples of the past, per series in the order of their times; their series may be new."""
        if not len(samples.times_ms):
            return
        if not self._past.log_ms:
            self._past.take([control_at(int(samples.times_ms.min()))])
        for one in self._steps(samples):
            self._past.take([one, control_at(int(one.times_ms.max()))])

    def _steps(self, samples: Samples) -> Iterator[Samples]:
        """What comes between two control records: all of it, but to kinds that learn by log time what comes at once."""
        if not self._judges_pauses:
            yield samples
            return
        order = np.argsort(samples.times_ms, kind="stable")
        ends = np.flatnonzero(np.diff(samples.times_ms[order])) + 1
        new = samples.new
        for at in np.split(order, ends):
            starts_ms = None if samples.starts_ms is None else samples.starts_ms[at]
            yield Samples(samples.series[at], samples.times_ms[at], samples.values[at], starts_ms, new)
            new = ()

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
