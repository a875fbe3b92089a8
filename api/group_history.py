"""The past of a detector's groups: their values at the ends of steps, from a data source or a request's samples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from api.past_series import PastSeries, as_live, named
from api.source_table import DataSource
from api.sources import Sources
from api.training_history import TrainingHistory
from api.training_range import TrainingRange, fetched_parts
from connectors.detector import Aggregate, Shape
from connectors.sources.decode import SourceSeries
from connectors.workers import Workers
from flows.group import GroupPlan
from flows.promql import Vector
from flows.selector import NAME_LABEL, Selector
from flows.shape.counter import is_counter
from flows.shape.rate import CHANGES
from flows.validator import ConfigError


def signal_of(plan: GroupPlan) -> Shape:
    """What members are turned into. Whether ``auto`` ones are counters is told by their name: types are not known here.

    The flow refuses what was learned if it knows better.
    """
    if plan.shape is not Shape.AUTO:
        return plan.shape
    metric = plan.selectors[0].metric
    buckets = plan.group.histogram_quantile is not None
    return Shape.RATE if buckets or (metric is not None and is_counter(metric, lambda _: None)) else Shape.RAW


def aligned(asked: TrainingRange, plan: GroupPlan) -> TrainingRange:
    """The range on the grid of the groups; raises ``ConfigError`` where it cannot be asked for.

    A query of the request's own gives the values of groups, as series in a body are.
    """
    if asked.step_s != plan.group.step_s:
        expected = f"must be {plan.group.step_s}, the length of a step of the detector's groups"
        raise ConfigError(field="history.step_s", value=asked.step_s, expected=expected)
    if asked.query:
        _check_raw(plan)
    else:
        _name_of(plan)
    return asked.model_copy(update={"from_ms": -(-asked.from_ms // plan.step_ms) * plan.step_ms})


def query_of(asked: TrainingRange, plan: GroupPlan) -> Vector:
    """What is asked for: the groups' values, by the labels that members bear there."""
    there = [Selector(tuple(one for one in of.matchers if one.name not in asked.labels)) for of in plan.selectors]
    return replace(plan, selectors=tuple(there)).vector(signal_of(plan))


def _name_of(plan: GroupPlan) -> str | None:
    """The name that members bear and an expression loses; raises ``ConfigError`` if there may be several."""
    if plan.group.aggregate is not Aggregate.MEMBERS or signal_of(plan) not in CHANGES:
        return None
    metric = plan.selectors[0].metric
    if metric is None:
        expected = f"must name one metric: PromQL gives a {signal_of(plan)} without the name of its series"
        raise ConfigError(field="selector", value=str(plan.selectors[0]), expected=expected)
    return metric


async def fetched_groups(
    sources: Sources, source: DataSource, asked: TrainingRange, plan: GroupPlan, workers: Workers
) -> AsyncIterator[TrainingHistory]:
    """The history of the groups, the earliest part first; raises what the source's client raises."""
    name = None if asked.query else _name_of(plan)
    more = {**asked.labels, **({} if name is None else {NAME_LABEL: name})}
    query = asked.query or str(query_of(asked, plan))
    async for found in fetched_parts(sources, source, aligned(asked, plan), query):
        yield await workers.run(partial(history_of_range, asked, found, plan, more))


def history_of_range(
    asked: TrainingRange, found: Sequence[SourceSeries], plan: GroupPlan, more: Mapping[str, str]
) -> TrainingHistory:
    """What a source gave, as values of the groups, or as members; those that cannot be members are left out."""
    there, left_out = as_live(found, asked.transforms, more), 0
    if asked.query and plan.group.aggregate is Aggregate.MEMBERS:
        there, left_out = named(there)
    history = group_history((one._replace(labels=plan.labels_of(one.labels)) for one in there), plan, "history")
    return history._replace(unmatched=history.unmatched + left_out)


def group_history(series: Iterable[PastSeries], plan: GroupPlan, field: str = "samples") -> TrainingHistory:
    """Values of groups as they were sent or fetched; members that the detector does not select are left out.

    Raises ``ConfigError``, of what is below ``field``, for a group that is there twice, and for times that are no ends
    of steps.
    """
    found = list(_checked(series, plan, field))
    members = plan.group.aggregate is Aggregate.MEMBERS
    wanted = [one for one in found if not members or plan.selectors[0].matches(one.labels)]
    kept, duplicates = [], 0
    for one in wanted:
        times_ms, first = np.unique(one.times_ms, return_index=True)
        duplicates += len(one.times_ms) - len(times_ms)
        kept.append(PastSeries(one.labels, times_ms, one.values[first]))
    return TrainingHistory(kept, len(found) - len(wanted), duplicates)


def _checked(series: Iterable[PastSeries], plan: GroupPlan, field: str) -> Iterator[PastSeries]:
    seen = set[frozenset[tuple[str, str]]]()
    for at, one in enumerate(series):
        labels = frozenset(one.labels.items())
        if labels in seen:
            expected = "must be those of a group that no other series is of"
            raise ConfigError(field=f"{field}.series.{at}.labels", value=dict(one.labels), expected=expected)
        seen.add(labels)
        off = np.flatnonzero(one.times_ms % plan.step_ms)
        if len(off):
            expected = f"must be ends of the groups' steps, multiples of {plan.step_ms}"
            raise ConfigError(field=f"{field}.times_ms", value=int(one.times_ms[off[0]]), expected=expected)
        yield one


def sent_groups(series: Iterable[PastSeries], plan: GroupPlan) -> TrainingHistory:
    """The same of samples in a request: a series is what its labels make it, a group or a member."""
    _check_raw(plan)
    return group_history((one._replace(labels=plan.labels_of(one.labels)) for one in series), plan)


def _check_raw(plan: GroupPlan) -> None:
    """Raise ``ConfigError`` for members whose samples are turned into changes: the values that a group has are none."""
    if plan.group.aggregate is Aggregate.MEMBERS and signal_of(plan) in CHANGES:
        change = signal_of(plan)
        expected = f"must be raw to be learned from values: a Prometheus gives the {change}, if asked without a query"
        raise ConfigError(field="shape", value=str(plan.shape), expected=expected)
