"""What one partition knows of a group at the end of a step, and how the parts of all partitions become one value.

Sums are exact (``flows.shape.total``), so they depend neither on the order of the members nor on how series are spread
over partitions by more than the last bit of each part. A sum that is no finite number is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.native import NativeHistogram
from connectors.detector import Aggregate, Detector, Group, Shape
from flows.detectors.base import Floats, Ints
from flows.group import DENOMINATOR
from flows.rules import Standing
from flows.shape.native import add as add_histograms
from flows.shape.native import native_quantile
from flows.shape.quantile import bucket_quantile, quantile_of
from flows.shape.total import exact_sum

NO_BOUND = math.inf


class GroupName(NamedTuple):
    """A group of members: canonical label bytes, and the upper bound where members are buckets."""

    labels: bytes
    bound: float = NO_BOUND


class Portion(NamedTuple):
    """Members of one role and shape, aggregated.

    ``names`` (g,) ascending; ``counts`` (g,) int64 members per group; ``values``: one per group (sum, minimum or
    maximum), or for quantiles those of all members, group by group. ``histograms``: one per group, or none.
    """

    role: int
    shape: Shape
    names: tuple[GroupName, ...]
    counts: Ints
    values: Floats
    histograms: tuple[NativeHistogram, ...] = ()


class Leader(NamedTuple):
    """A member that stands out of a group: label bytes of both, its value at the end of the step, and its usual one."""

    group: bytes
    labels: bytes
    value: float
    usual: float


class Part(NamedTuple):
    """What one partition says of a detector's groups.

    It covers the steps ``first`` … ``until``; only the last of them may have portions, those before are empty. An
    ``ended`` part covers none: the partition has no more of this incarnation, which is the offset in the detector log
    at which the detector began to compute what it does. Parts of a partition ascend by incarnation and step.
    """

    detector: Detector
    incarnation: int
    first: int
    until: int
    portions: tuple[Portion, ...] = ()
    ended: bool = False
    overflowed: bool = False
    leaders: tuple[Leader, ...] = ()
    rules: tuple[Standing, ...] = ()
    """that stood in this partition, of those that may fit the detector's episodes"""


def ending(detector: Detector, incarnation: int, next_step: int) -> Part:
    """What says that no more will come."""
    return Part(detector, incarnation, next_step, next_step - 1, ended=True)


def aggregate_members(group: Group, names: Sequence[GroupName], numbers: NDArray[np.int32], values: Floats
                      ) -> tuple[tuple[GroupName, ...], Ints, Floats]:  # fmt: skip
    """Groups present, their counts, and their values, of ``n`` members with group ``numbers`` into ``names``."""
    known = np.flatnonzero(~np.isnan(values))
    numbers, values = numbers[known], values[known]
    present = np.unique(numbers).tolist()
    order = sorted(present, key=lambda number: names[number])
    place = np.zeros(max(present, default=0) + 1, np.int64)
    place[order] = np.arange(len(order))
    at = place[numbers]
    sorting = np.lexsort((values, at))
    counts = np.bincount(at, minlength=len(order)).astype(np.int64)
    return tuple(names[number] for number in order), counts, _values(group.aggregate, values[sorting], counts)


def _values(aggregate: Aggregate, values: Floats, counts: Ints) -> Floats:
    """Values per group, of members sorted by group and value."""
    ends = np.cumsum(counts)
    match aggregate:
        case Aggregate.QUANTILE:
            return values
        case Aggregate.COUNT:
            return counts.astype(np.float64)
        case Aggregate.MIN:
            return values[ends - counts]
        case Aggregate.MAX:
            return values[ends - 1]
    parts = values.tolist()
    return np.array([exact_sum(parts[a:b]) for a, b in pairwise([0, *ends.tolist()])])


class Merged(NamedTuple):
    """Groups with a value at a step: canonical label bytes ascending, and values (g,) float64, NaN for a gap."""

    labels: tuple[bytes, ...]
    values: Floats


class _Gathered(NamedTuple):
    """Everything that all partitions said of one group in one role."""

    counts: list[int]
    values: list[list[float]]
    bounds: list[float]
    histograms: list[NativeHistogram]


def merge_portions(group: Group, portions: Iterable[Portion]) -> Merged:
    """One value per group, of the portions of all partitions in the order of the partitions."""
    roles: tuple[dict[bytes, _Gathered], ...] = ({}, {})
    for portion in portions:
        _gather(portion, roles[portion.role])
    if group.denominator is None:
        values = {labels: _value(group, said) for labels, said in roles[0].items()}
    else:
        both = roles[0].keys() & roles[DENOMINATOR].keys()
        values = {labels: _ratio(group, roles[0][labels], roles[DENOMINATOR][labels]) for labels in both}
    known = sorted(labels for labels, value in values.items() if value is not None)
    return Merged(tuple(known), np.array([values[labels] for labels in known], np.float64))


def _gather(portion: Portion, into: dict[bytes, _Gathered]) -> None:
    values = portion.values.tolist()
    lone = len(values) == len(portion.names)
    ends = np.cumsum(portion.counts).tolist()
    for at, name in enumerate(portion.names):
        said = into.setdefault(name.labels, _Gathered([], [], [], []))
        if portion.histograms:
            said.histograms.append(portion.histograms[at])
            continue
        count = int(portion.counts[at])
        said.counts.append(count)
        said.values.append([values[at]] if lone else values[ends[at] - count : ends[at]])
        said.bounds.append(name.bound)


def _value(group: Group, said: _Gathered) -> float | None:
    """Value of one group; None if it has none, NaN for a gap."""
    if group.histogram_quantile is not None:
        return _histogram_quantile(group.histogram_quantile, said)
    if not said.counts:
        return None
    flat = [value for part in said.values for value in part]
    match group.aggregate:
        case Aggregate.MIN:
            return min(flat)
        case Aggregate.MAX:
            return max(flat)
        case Aggregate.AVG:
            return exact_sum(flat) / sum(said.counts)
        case Aggregate.QUANTILE:
            return quantile_of(flat, group.q if group.q is not None else math.nan)
    return exact_sum(flat)


def _histogram_quantile(q: float, said: _Gathered) -> float | None:
    if said.histograms:
        total = said.histograms[0]
        for other in said.histograms[1:]:
            merged = add_histograms(total, other)
            if merged is None:
                return math.nan
            total = merged
        return native_quantile(q, total)
    buckets: dict[float, list[float]] = {}
    for bound, values in zip(said.bounds, said.values, strict=True):
        buckets.setdefault(bound, []).extend(values)
    return bucket_quantile(q, [(bound, exact_sum(values)) for bound, values in sorted(buckets.items())])


def _ratio(group: Group, above: _Gathered, below: _Gathered) -> float | None:
    top, bottom = _value(group, above), _value(group, below)
    if top is None or bottom is None:
        return None
    return top / bottom if bottom != 0.0 else math.nan
