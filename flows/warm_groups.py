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
from connectors.codec.labels import parse_labels
from connectors.codec.series_hash import series_hash
from connectors.detector import Aggregate, Detector
from connectors.errors import Rejected
from connectors.training import NO_LABELS
from flows.block import Block
from flows.chunks import Chunk, NewSeries, Samples
from flows.config import CompiledDetector
from flows.group import GroupPlan
from flows.limits import BlockLimits
from flows.peers import has_entities, name_of
from flows.step import ticks
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
        self._entity_of: dict[int, NewSeries | None] = {}
        """by the hashes of members; each record tells the labels of its series"""
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
        """Steps that this partition has told: later ones come live. What is no end of a step is left out too."""
        gathering = self._live.watch.gatherings.get(self._live.watch.numbers.get(self.source.id, -1))
        until_ms = self._live.log_ms
        if gathering is not None:
            until_ms = min(until_ms, (gathering.next_step - 1) * self._plan.step_ms)
        times_ms = samples.times_ms
        met: NDArray[np.bool_] = (times_ms > 0) & (times_ms <= until_ms) & (times_ms % self._plan.step_ms == 0)
        return met

    def _learn(self, samples: Samples) -> None:
        if not self._by_step:
            super()._learn(samples)
            return
        if self._entities:
            self._entity_of.update((new.series, self._entity(new)) for new in samples.new)
        for one in self._cut(samples):
            for chunk in self._ticks(int(one.times_ms[0])):
                self._past.take([chunk])
            self._past.take([self._whole(one) if self._entities else one])

    def _ticks(self, time_ms: int) -> Iterator[Chunk]:
        """Ends of the steps until this one, where silence is judged; else of this one."""
        step_ms = self._plan.step_ms
        first_ms = time_ms
        if self.judges_pauses(self.source):
            first_ms = max(self._past.log_ms // step_ms * step_ms + step_ms, time_ms - WITNESSED_STEPS * step_ms)
        for end_ms in (*range(first_ms, time_ms, step_ms), time_ms):
            yield from ticks(self._past, step_ms, end_ms)

    def _whole(self, samples: Samples) -> Samples:
        """Members of a step after the entities that they make, unless a member has the very labels of one."""
        present = samples.series.tolist()
        made = {one.series: one for series in present if (one := self._entity_of.get(series)) is not None}
        entities = [made[series] for series in sorted(made.keys() - set(present))]
        more = len(entities)
        return Samples(
            np.concatenate([np.array([one.series for one in entities], np.uint64), samples.series]),
            np.concatenate([np.full(more, samples.times_ms[0]), samples.times_ms]),
            np.concatenate([np.zeros(more), samples.values]), None, (*entities, *samples.new),
        )  # fmt: skip

    def _entity(self, member: NewSeries) -> NewSeries | None:
        """The entity that a member belongs to; None if its labels cannot be read."""
        try:
            name = name_of(self._plan.group, parse_labels(member.labels))
        except Rejected:
            return None
        return NewSeries(series_hash(name, member.tenant), member.tenant, name)


def begin_warm(live: Block, source: Detector, max_series: int, saved: bytes = b"") -> WarmStart:
    """What learns for a detector, with groups or without; raises ``ConfigError`` if this version refuses it."""
    plan = live.compile(source).plan
    return (
        WarmStart(live, source, max_series, saved)
        if plan is None
        else WarmGroups(live, source, plan, max_series, saved)
    )
