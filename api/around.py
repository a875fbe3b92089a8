"""``/api/anomalies/{id}/series``: the signal of an anomaly around it, from a data source, to be drawn."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from api.anomaly import event_of
from api.holding import HoldingAnomalies
from api.json_route import JsonRoute
from api.numbers import numbers_of
from api.router import Router
from api.source_config import NO_NUL, SourceKind
from api.trial_samples import MAX_SAMPLES
from connectors.anomaly import Anomaly
from connectors.detector import Shape
from connectors.messages import MAX_TIME_MS, Message
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from flows.promql import Change, Changing, Series, quoted
from flows.selector import parse_selector
from flows.validator import ConfigError

router = Router(prefix="/api/anomalies/{anomaly_id}/series", tags=["anomalies"], route_class=JsonRoute)

BEFORE_S, AFTER_S = 3600, 600
MOST_S = 7 * 86_400
STEPS_MOST = 11_000
WINDOW_STEPS = 4
"""Steps in a range of ``rate`` and its like, as people write it: two samples are in it even if one is missing."""
Seconds = Annotated[int, Query(ge=0, le=MOST_S, description="so many seconds")]


class Around(Message):
    """The values of one signal, and what was asked for."""

    query: Annotated[str, Field(description="PromQL")]
    labels: dict[str, str]
    times_ms: list[int]
    values: Annotated[list[float | None], Field(description="null: not a finite number")]


@router.get("")
async def read_series_around(
    anomaly_id: str,
    context: HoldingAnomalies,
    source: Annotated[str, Query(max_length=64, pattern=NO_NUL, description="id of a data source, a Prometheus")],
    before_s: Seconds = BEFORE_S,
    after_s: Seconds = AFTER_S,
    step_s: Annotated[int, Query(ge=1, le=86_400, description="a value every so many seconds")] = 15,
) -> Around:
    """The signal from some time before its first surprising sample to some time after its latest one."""
    event = Anomaly.decode(await event_of(context, anomaly_id))
    wanted = range_around(event, before_s, after_s, step_s)
    found = await context.sources.read(source)
    if found.config.kind is not SourceKind.PROMETHEUS:
        raise ConfigError(field="source", value=source, expected=f"must be of kind prometheus, not {found.config.kind}")
    async with context.sources.asking(found) as api:
        series = await api.query_range(wanted, MAX_SAMPLES)
    return around(wanted.query, event, series)


def range_around(event: Anomaly, before_s: int, after_s: int, step_s: int) -> Range:
    """What is asked for; raises ``ConfigError`` if that is too much."""
    from_ms = max(0, event.start_ms - 1000 * before_s)
    to_ms = min(MAX_TIME_MS, event.time_ms + 1000 * after_s)
    steps = (to_ms - from_ms) // (1000 * step_s)
    if steps > STEPS_MOST:
        least = -(-(to_ms - from_ms) // (1000 * STEPS_MOST))
        raise ConfigError(field="step_s", value=step_s, expected=f"at least {least}, for at most {STEPS_MOST} values")
    return Range(query_of(event, 1000 * step_s), from_ms, to_ms, 1000 * step_s)


def query_of(event: Anomaly, step_ms: int) -> str:
    """The signal in PromQL; of a group that of all groups, since it names none."""
    if event.signal.expression is not None:
        return event.signal.expression
    matchers = ",".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(event.signal.labels.items()))
    series = Series(parse_selector(f"{{{matchers}}}"))
    if event.signal.shape in (Shape.RAW, Shape.AUTO):
        return str(series)
    return str(Change(Changing(event.signal.shape.value), series, WINDOW_STEPS * step_ms))


def around(query: str, event: Anomaly, found: list[SourceSeries]) -> Around:
    """The one series that has the labels of the signal, but for its name, which a rate has not; empty if none has."""
    labels = {name: value for name, value in event.signal.labels.items() if name != "__name__"}
    for series in found:
        if {name: value for name, value in series.labels if name != "__name__"} == labels:
            values = numbers_of(series.values)
            return Around(query=query, labels=event.signal.labels, times_ms=series.times_ms.tolist(), values=values)
    return Around(query=query, labels=event.signal.labels, times_ms=[], values=[])
