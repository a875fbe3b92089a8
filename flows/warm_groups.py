"""As ``flows.warm_start``, of a detector with groups: it learns the past of their values, as PromQL gives it.

It is learned on one partition, beside the block that gathers members there, and put to use where the groups are judged.
Values are those at the ends of steps; each step of members that are judged together comes whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.messages import Aggregate, Detector
from connectors.training import NO_LABELS
from flows.block import Block, BlockLimits
from flows.chunks import Chunk, NewSeries, Samples
from flows.config import CompiledDetector
from flows.group import GroupPlan
from flows.partial import Merged
from flows.peers import has_entities, with_entities
from flows.step import samples_of, ticks
from flows.warm_start import WarmStart

WITNESSED_STEPS = 60
"""So many steps without a value are witnessed for detectors that judge silence: it bounds what a gap costs."""
_SENT = encode_labels(NO_LABELS)


class WarmGroups(WarmStart):
    """What the past of its groups' values teaches a detector."""

    def __init__(self, live: Block, source: Detector, plan: GroupPlan, max_series: int, saved: bytes = b"") -> None:
        """Begin anew, or from what ``save`` gave; raises ``ConfigError`` if this version refuses the detector."""
        self._plan = plan
        self._by_step = self.judges_pauses(source) or plan.group.aggregate is Aggregate.MEMBERS
        self._entities = has_entities(source.config)
        super().__init__(live, source, max_series, saved)

    def compile(self, source: Detector) -> CompiledDetector:
        """Where groups are judged, each is a series."""
        return self._live.compile(source).merged()

    def limits(self, limits: BlockLimits) -> BlockLimits:
        """As many groups as may be learned, however many series a detector may watch."""
        return dataclasses.replace(limits, max_keys=limits.max_series)

    def take(self, samples: Samples) -> int:
        """As ``WarmStart.take``; what is sent under ``NO_LABELS`` is of the group that has none."""
        tenant = self.source.config.tenant
        sent, none = (series_hash(labels, tenant) for labels in (_SENT, b""))
        if any(new.series == sent for new in samples.new):
            new = (NewSeries(none, tenant, b"") if one.series == sent else one for one in samples.new)
            series = np.where(samples.series == np.uint64(sent), np.uint64(none), samples.series)
            samples = dataclasses.replace(samples, series=series, new=tuple(new))
        return super().take(samples)

    def _met(self, samples: Samples) -> NDArray[np.bool_]:
        """Steps that this partition has told: later ones come live."""
        gathering = self._live.watch.gatherings.get(self._live.watch.numbers.get(self.source.id, -1))
        until_ms = self._live.log_ms
        if gathering is not None:
            until_ms = min(until_ms, (gathering.next_step - 1) * self._plan.step_ms)
        met: NDArray[np.bool_] = samples.times_ms <= until_ms
        return met

    def _learn(self, samples: Samples) -> None:
        if not self._by_step:
            super()._learn(samples)
            return
        for one in self._cut(samples):
            time_ms = int(one.times_ms[0])
            for chunk in self._ticks(time_ms):
                self._past.take([chunk])
            self._past.take([self._whole(one, time_ms) if self._entities else one])

    def _ticks(self, time_ms: int) -> Iterator[Chunk]:
        """Ends of the steps until this one, where silence is judged; else of this one."""
        step_ms = self._plan.step_ms
        first_ms = time_ms
        if self.judges_pauses(self.source):
            first_ms = max(self._past.log_ms // step_ms * step_ms + step_ms, time_ms - WITNESSED_STEPS * step_ms)
        for end_ms in (*range(first_ms, time_ms, step_ms), time_ms):
            yield from ticks(self._past, step_ms, end_ms)

    def _whole(self, samples: Samples, time_ms: int) -> Samples:
        """Members of a step with the entities that they make."""
        told = {new.series: new.labels for new in samples.new}
        known = self._past.series
        rows = known.index.find(samples.series).tolist()
        labels = [
            (known.labels[row] or b"") if row >= 0 else told.get(series, b"")
            for row, series in zip(rows, samples.series.tolist(), strict=True)
        ]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        members = Merged(tuple(labels[at] for at in order), samples.values[order])
        return samples_of(with_entities(members, self._plan.group), self.source.config.tenant, time_ms)


def begin_warm(live: Block, source: Detector, max_series: int, saved: bytes = b"") -> WarmStart:
    """What learns for a detector, with groups or without; raises ``ConfigError`` if this version refuses it."""
    plan = live.compile(source).plan
    return (
        WarmStart(live, source, max_series, saved)
        if plan is None
        else WarmGroups(live, source, plan, max_series, saved)
    )
