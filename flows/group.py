"""What a ``group`` in a config means: the grid, which labels make a group, and the signal written in PromQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from connectors.detector import Aggregate, DetectorConfig, Group, Shape
from flows.promql import (
    Aggregated,
    Aggregator,
    Change,
    Changing,
    Grouping,
    HistogramQuantile,
    QuantileOf,
    Quotient,
    Series,
    Vector,
)
from flows.selector import NAME_LABEL, Selector
from flows.shape.rate import CHANGES

LE = "le"
"""Label of a bucket's upper bound in classic histograms."""
RANGE_STEPS = 4
"""Steps in the range of ``rate`` unless the config names another: at 15 s a minute, four scrapes of most setups."""
MAX_RANGE_STEPS = 240
SETTLE_MS = 60_000
"""So long after its begin a group of raw values is first judged: by then every member has most likely shown a value."""
MAX_LABELS = 32
SUM, DENOMINATOR = 0, 1
"""Roles of a member: in the aggregate itself, or in what it is divided by."""


class Problem(NamedTuple):
    """What is wrong with a config: field, its value, and what would be right."""

    field: str
    value: object
    expected: str


@dataclass(frozen=True)
class GroupPlan:
    """A group ready to be gathered. All times are ms."""

    group: Group
    shape: Shape
    selectors: tuple[Selector, ...]
    """the members, and the members of the denominator if there is one"""

    @property
    def step_ms(self) -> int:
        """Length of a step; steps end at multiples of it."""
        return 1000 * self.group.step_s

    @property
    def meaning(self) -> Group:
        """The group however it is written: order tells nothing, no labels are none, and defaults are told."""
        by, without = (None if names is None else tuple(sorted(names)) for names in (self.group.by, self.group.without))
        of = None if self.group.denominator is None else str(self.selectors[DENOMINATOR])
        range_s = self.range_steps * self.group.step_s
        changes = {"by": by or None, "without": without, "range_s": range_s, "denominator": of}
        return self.group.model_copy(update=changes)

    @property
    def grace_ms(self) -> int:
        """How long log time must be past the end of a step."""
        return 1000 * self.group.grace_s

    @property
    def range_steps(self) -> int:
        """Steps in the range of a change."""
        return (self.group.range_s or RANGE_STEPS * self.group.step_s) // self.group.step_s

    @cached_property
    def label_filter(self) -> Callable[[str], bool]:
        """Whether a label makes the group."""
        return labels_kept(self.group)

    def labels_of(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels of the signal that a series is part of: its group's, without ``le`` where buckets are asked for.

        All of them where members stay what they are.
        """
        if self.group.aggregate is Aggregate.MEMBERS:
            return dict(labels)
        buckets = self.group.histogram_quantile is not None
        return {
            name: value for name, value in labels.items() if self.label_filter(name) and not (buckets and name == LE)
        }

    def first_step(self, log_ms: int) -> int:
        """Number of the first step to be judged when members are gathered from ``log_ms`` on."""
        settle_ms = max(SETTLE_MS, self.range_steps * self.step_ms) if self.shape is not Shape.RAW else SETTLE_MS
        return -(-(log_ms + settle_ms) // self.step_ms)

    def expression(self, shape: Shape) -> str:
        """The signal in PromQL, given the shape that the members turned out to have; written once for each shape."""
        if shape not in self._expressions:
            self._expressions[shape] = str(self.vector(shape))
        return self._expressions[shape]

    @cached_property
    def _expressions(self) -> dict[Shape, str]:
        return {}

    def vector(self, shape: Shape) -> Vector:
        """The same in its parts."""
        group, members = self.group, [self._member(selector, shape) for selector in self.selectors]
        if group.histogram_quantile is not None:
            return HistogramQuantile(group.histogram_quantile, self._aggregate(members[0], buckets=(LE,)))
        if group.aggregate is Aggregate.MEMBERS:
            return members[0]
        over, *under = (self._aggregate(member) for member in members)
        return Quotient(over, under[0]) if under else over

    def _member(self, selector: Selector, shape: Shape) -> Series | Change:
        series = Series(selector)
        return Change(Changing(shape), series, self.range_steps * self.step_ms) if shape in CHANGES else series

    def _aggregate(self, member: Series | Change, buckets: tuple[str, ...] = ()) -> Aggregated | QuantileOf:
        group = self.group
        grouping = Grouping((*buckets, *(group.by or ())))
        if group.without is not None:
            grouping = Grouping(group.without, without=True)
        if group.aggregate is Aggregate.QUANTILE and group.q is not None:
            return QuantileOf(group.q, grouping, member)
        return Aggregated(Aggregator(group.aggregate), grouping, member)


def labels_kept(group: Group) -> Callable[[str], bool]:
    """Whether a label makes the group."""
    if group.without is not None:
        dropped = {*group.without, NAME_LABEL}
        return lambda name: name not in dropped
    kept = set(group.by or ())
    return kept.__contains__


def problem_of(config: DetectorConfig) -> Problem | None:
    """The first thing wrong with the group of a config; selectors are checked elsewhere."""
    group = config.group
    if group is None:
        return None
    problems = _labels_problem(group) or _aggregate_problem(group) or _buckets_problem(group, config.shape)
    return problems or _range_problem(group, config.shape)


def _labels_problem(group: Group) -> Problem | None:
    if group.by is not None and group.without is not None:
        return Problem("group.without", list(group.without), "either by or without, not both")
    field = "group.by" if group.by is not None else "group.without"
    labels = group.by or group.without or ()
    if len(labels) > MAX_LABELS:
        return Problem(field, list(labels), f"{len(labels)} labels, at most {MAX_LABELS} are allowed")
    empty = [label for label in labels if not label]
    if empty or len(set(labels)) < len(labels):
        return Problem(field, list(labels), "label names, each once and none empty")
    return None


def _aggregate_problem(group: Group) -> Problem | None:
    if group.aggregate is Aggregate.QUANTILE and not _is_quantile(group.q):
        return Problem("group.q", group.q, "aggregate quantile needs q from 0 to 1, e.g. 0.9")
    if group.aggregate is not Aggregate.QUANTILE and group.q is not None:
        return Problem("group.q", group.q, f"only aggregate quantile takes q, not {group.aggregate}")
    for field in ("denominator", "histogram_quantile"):
        value = getattr(group, field)
        if value is not None and group.aggregate is not Aggregate.SUM:
            return Problem(f"group.{field}", value, f"goes with aggregate sum, not {group.aggregate}")
    if group.histogram_quantile is not None and group.denominator is not None:
        return Problem("group.denominator", group.denominator, "does not go with histogram_quantile")
    if group.histogram_quantile is not None and not _is_quantile(group.histogram_quantile):
        return Problem("group.histogram_quantile", group.histogram_quantile, "must be from 0 to 1, e.g. 0.99")
    return None


def _buckets_problem(group: Group, shape: Shape) -> Problem | None:
    if group.histogram_quantile is not None and shape is Shape.DELTA:
        expected = (
            "delta takes values that may fall, and buckets only count up: rate or increase, or raw for all so far"
        )
        return Problem("shape", str(shape), f"with histogram_quantile, {expected}")
    return None


def _range_problem(group: Group, shape: Shape) -> Problem | None:
    if group.range_s is None:
        return None
    if shape is Shape.RAW:
        return Problem("group.range_s", group.range_s, "shape raw has no range; leave it out")
    if group.range_s % group.step_s or group.range_s > MAX_RANGE_STEPS * group.step_s:
        expected = f"must be a multiple of step_s = {group.step_s}, at most {MAX_RANGE_STEPS} of them"
        return Problem("group.range_s", group.range_s, expected)
    return None


def _is_quantile(q: float | None) -> bool:
    return q is not None and not math.isnan(q) and 0.0 <= q <= 1.0
