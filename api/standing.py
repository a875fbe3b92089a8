"""How one detector stands: what all partitions tell of it, added up. Pure; what was not told is None, never a guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from connectors.detector import Detector
from connectors.messages import Message
from connectors.status import DetectorStatus, PartitionStatus

Count = Annotated[int | None, Field(ge=0)]


class Part(Message):
    """What one partition, or the step that judges groups, tells of a detector."""

    partition: Annotated[int | None, Field(description="null: its groups, as all partitions together make them")]
    told_ms: Annotated[int, Field(description="log time of the record, which is written when something has changed")]
    as_of_ms: Annotated[int, Field(description="log time until which nothing else was known to be so")]
    revision: int
    matched: int
    members: int
    warming: int
    running: int
    silent: int
    open: int
    needs: int


class Standing(Message):
    """A detector as the flows tell of it; null is what nobody told."""

    detector: str
    name: str
    revision: Annotated[int, Field(description="as it stands")]
    enabled: bool
    partitions_told: Annotated[int, Field(description="partitions that told of it, of ``partitions``")]
    partitions: int
    in_force: Annotated[bool | None, Field(description="whether all of these run this revision")]
    heard_ms: Annotated[int | None, Field(description="log time of the partition that was heard of least lately")]
    age_s: Annotated[float | None, Field(description="how long ago that is")]
    series: Annotated[Count, Field(description="series that it watches")]
    signals: Annotated[Count, Field(description="what it judges, series or groups: warming, running and silent ones")]
    warming: Annotated[Count, Field(description="signals that need more samples")]
    running: Annotated[Count, Field(description="signals that are judged")]
    silent: Annotated[Count, Field(description="signals of which nothing comes")]
    open: Annotated[Count, Field(description="open episodes")]
    needs: Annotated[Count, Field(description="the most samples that a signal still needs")]
    needs_s: Annotated[float | None, Field(description="how long that takes at its usual pace")]
    step_s: Annotated[float | None, Field(description="usual time from sample to sample")]
    last_ms: Annotated[int | None, Field(description="time of the latest sample")]
    samples: Annotated[Count, Field(description="samples judged or learned, of the signals that there are")]
    anomalies: Annotated[Count, Field(description="episodes opened since ``since_ms``")]
    since_ms: Annotated[int | None, Field(description="since when it computes what it does")]
    anomalies_per_day: Annotated[float | None, Field(description="rate of the last days; null in the first hour")]
    threshold: Annotated[float | None, Field(description="the highest in force; null: by chance, or not set yet")]
    drops: Annotated[dict[str, int] | None, Field(description="what was refused or not judged, by reason")]
    state_bytes: Annotated[Count, Field(description="memory of its state; what detectors share is counted for each")]
    parts: list[Part]


def standing_of(
    detector: Detector,
    told: Sequence[DetectorStatus],
    alive: Mapping[int, PartitionStatus],
    partitions: int,
    now_ms: int,
) -> Standing:
    """Add up what ``told`` says; ``alive`` are the partitions' own records, of so many ``partitions``."""
    heard_ms = min((one.log_ms for one in alive.values()), default=None)
    return Standing(
        detector=detector.id,
        name=detector.config.name,
        revision=detector.revision,
        enabled=detector.config.enabled,
        partitions_told=sum(one.partition is not None for one in told),
        partitions=partitions,
        in_force=all(one.revision == detector.revision for one in told) if told else None,
        heard_ms=heard_ms,
        age_s=None if heard_ms is None else max(0, now_ms - heard_ms) / 1000,
        series=_sum([one for one in told if one.partition is not None], lambda one: one.matched),
        signals=_sum(told, lambda one: one.warming + one.running + one.silent),
        warming=_sum(told, lambda one: one.warming),
        running=_sum(told, lambda one: one.running),
        silent=_sum(told, lambda one: one.silent),
        open=_sum(told, lambda one: one.open),
        needs=max((one.needs for one in told), default=None),
        needs_s=max((one.needs * one.step_s for one in told if one.step_s is not None), default=None),
        step_s=max((one.step_s for one in told if one.step_s is not None), default=None),
        last_ms=max((one.last_ms for one in told if one.last_ms is not None), default=None),
        samples=_sum(told, lambda one: one.samples),
        anomalies=_sum(told, lambda one: one.anomalies),
        since_ms=min((one.since_ms for one in told), default=None),
        anomalies_per_day=_rate(told),
        threshold=max((one.threshold for one in told if one.threshold is not None), default=None),
        drops=_added(one.drops for one in told) if told else None,
        state_bytes=_sum(told, lambda one: one.state_bytes),
        parts=[_part(one, alive) for one in told],
    )


def _part(told: DetectorStatus, alive: Mapping[int, PartitionStatus]) -> Part:
    partition = alive.get(-1 if told.partition is None else told.partition)
    looked_ms = partition.looked_ms if partition is not None else None
    return Part(
        partition=told.partition,
        told_ms=told.log_ms,
        as_of_ms=max(told.log_ms, looked_ms or 0),
        revision=told.revision,
        matched=told.matched,
        members=told.members,
        warming=told.warming,
        running=told.running,
        silent=told.silent,
        open=told.open,
        needs=told.needs,
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What all of them count, but for what none does."""
    total: dict[str, int] = {}
    for one in counts:
        for reason, count in one.items():
            total[reason] = total.get(reason, 0) + count
    return {reason: count for reason, count in total.items() if count > 0}


def _sum(told: Sequence[DetectorStatus], count: Callable[[DetectorStatus], int]) -> int | None:
    return sum(map(count, told)) if told else None


def _rate(told: Sequence[DetectorStatus]) -> float | None:
    known = [one.anomalies_per_day for one in told if one.anomalies_per_day is not None]
    return round(sum(known), 1) if known else None
