"""A range of the past that a training fetches from a data source, in parts, so that its length costs no memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

from pydantic import Field, model_validator

from api.past_query import PastQuery
from api.past_series import as_live, named
from api.source_config import NO_NUL
from api.source_table import DataSource
from api.sources import Sources
from api.training_history import TrainingHistory, history_of
from connectors.detector import Detector, LabelName, LabelText
from connectors.errors import Overloaded, SourceUnreachable
from connectors.messages import MAX_TIME_MS
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from connectors.workers import Workers
from flows.config import compile_config
from flows.promql import Series
from flows.selector import Selector

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


class TrainingRange(PastQuery):
    """Which past a detector learns, and from where."""

    source: Annotated[str, Field(max_length=64, pattern=NO_NUL, description="id of a data source")]
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

    def question(self, selector: Selector) -> str:
        """What is asked for: the query, or else the detector's series, by the labels that they bear there."""
        there = tuple(one for one in selector.matchers if one.name not in self.labels)
        return self.query or str(Series(Selector(there)))


async def fetched(
    sources: Sources, source: DataSource, asked: TrainingRange, detector: Detector, workers: Workers
) -> AsyncIterator[TrainingHistory]:
    """The history of the detector's series, the earliest part first; raises what the source's client raises."""
    selector = compile_config(detector).selector
    async for found in fetched_parts(sources, source, asked, asked.question(selector)):
        yield await workers.run(partial(_history_of, asked, found, selector.matches))


def _history_of(
    asked: TrainingRange, found: Sequence[SourceSeries], wanted: Callable[[Mapping[str, str]], bool]
) -> TrainingHistory:
    series, left_out = as_live(found, asked.transforms, asked.labels), 0
    if asked.query:
        series, left_out = named(series)
    history = history_of(series, wanted)
    return history._replace(unmatched=history.unmatched + left_out)


async def fetched_parts(
    sources: Sources, source: DataSource, asked: TrainingRange, query: str
) -> AsyncIterator[list[SourceSeries]]:
    """What a query gives, part by part."""
    for part in asked.parts(query):
        yield await _fetched_part(sources, source, part)


async def _fetched_part(sources: Sources, source: DataSource, part: Range) -> list[SourceSeries]:
    """Outlast a source that is stopped and started again: whoever asked for the training has long gone."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            async with sources.asking(source, DEADLINE_S) as api:
                return await api.fresh_range(part, PART_POINTS)
        except (SourceUnreachable, Overloaded) as error:
            if time.monotonic() + AGAIN_S > until_s:
                raise
            log.warning("history of data source %s: %s; it is asked again", source.config.name, error)
        await asyncio.sleep(AGAIN_S)
