"""A range of the past that a training fetches from a Prometheus, in parts, so that its length costs no memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from pydantic import Field, model_validator

from api.source_config import NO_NUL, SourceKind
from api.source_table import DataSource
from api.sources import Sources
from api.training_history import PastSeries, TrainingHistory, history_of
from connectors.detector import Detector, LabelName, LabelText
from connectors.errors import Overloaded, SourceUnreachable
from connectors.messages import MAX_TIME_MS, Message
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from connectors.sources.prometheus import PrometheusApi
from connectors.workers import Workers
from flows.config import compile_config
from flows.promql import Series
from flows.selector import Selector
from flows.validator import ConfigError

MAX_STEPS = 1_000_000
"""Of the whole range: two months of steps of 5 s."""
PART_STEPS = 2_000
"""Of one part, which is asked for and held at a time."""
PART_POINTS = 4_000_000
"""Of one part: 64 MB. It is enough for the 2,000 series that a detector has where all of it is asked at once."""
DEADLINE_S = 120.0
"""For one part."""
PATIENCE_S, AGAIN_S = 120.0, 2.0
"""A source may be away for so long, and is asked again so often. With a part that comes late, it is less than the flow
waits for a training of which it hears nothing."""

log = logging.getLogger(__name__)


class TrainingRange(Message):
    """Which past a detector learns, and from where."""

    source: Annotated[str, Field(max_length=64, pattern=NO_NUL, description="id of a data source, a Prometheus")]
    from_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    to_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    step_s: Annotated[
        int, Field(strict=True, ge=1, le=86_400, description="a sample every so many seconds: best as often as live")
    ]
    labels: dict[LabelName, LabelText] = Field(
        default={}, max_length=32, description="that the series bear live and not there: its external_labels"
    )

    @model_validator(mode="after")
    def _check(self) -> TrainingRange:
        steps = (self.to_ms - self.from_ms) // (1000 * self.step_s)
        if not 0 <= steps < MAX_STEPS:
            message = f"to_ms must not be before from_ms, and at most {MAX_STEPS} steps of step_s after it, not {steps}"
            raise ValueError(message)
        return self

    def parts(self, query: str) -> list[Range]:
        """Consecutive ranges, each with few enough steps."""
        step_ms = 1000 * self.step_s
        length_ms = (PART_STEPS - 1) * step_ms
        return [
            Range(query, start_ms, min(start_ms + length_ms, self.to_ms), step_ms)
            for start_ms in range(self.from_ms, self.to_ms + 1, length_ms + step_ms)
        ]

    def query(self, selector: Selector) -> str:
        """What is asked for: the detector's series, by the labels that they bear there."""
        return str(Series(Selector(tuple(one for one in selector.matchers if one.name not in self.labels))))


def check_source(source: DataSource) -> None:
    """Raise ``ConfigError`` for one that has no series."""
    if source.config.kind is not SourceKind.PROMETHEUS:
        expected = "must be a data source of kind prometheus"
        raise ConfigError(field="history.source", value=source.config.kind, expected=expected)


async def fetched(
    sources: Sources, source: DataSource, asked: TrainingRange, detector: Detector, workers: Workers
) -> AsyncIterator[TrainingHistory]:
    """The history of the detector's series, the earliest part first; raises what the source's client raises."""
    selector = compile_config(detector).selector
    async for found in fetched_parts(sources, source, asked, asked.query(selector)):
        series = [one._replace(labels={**one.labels, **asked.labels}) for one in found]
        yield await workers.run(partial(history_of, series, selector.matches))


async def fetched_parts(
    sources: Sources, source: DataSource, asked: TrainingRange, query: str
) -> AsyncIterator[list[PastSeries]]:
    """What a query gives, part by part."""
    for part in asked.parts(query):
        yield [_past_of(series) for series in await _fetched_part(sources, source, part)]


async def _fetched_part(sources: Sources, source: DataSource, part: Range) -> list[SourceSeries]:
    """Outlast a source that is stopped and started again: whoever asked for the training has long gone."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            async with sources.asking(source, DEADLINE_S) as api:
                assert isinstance(api, PrometheusApi)  # noqa: S101 - ``check_source``
                return await api.fresh_range(part, PART_POINTS)
        except (SourceUnreachable, Overloaded) as error:
            if time.monotonic() + AGAIN_S > until_s:
                raise
            log.warning("history of data source %s: %s; it is asked again", source.config.name, error)
        await asyncio.sleep(AGAIN_S)


def _past_of(series: SourceSeries) -> PastSeries:
    there = series.values == series.values  # NaN is no sample
    return PastSeries(dict(series.labels), series.times_ms[there], series.values[there])
