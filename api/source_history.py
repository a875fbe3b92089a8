"""The past of a detector's series, from a data source."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from api.past_query import PastQuery
from api.past_series import PastSeries, as_live, distinct
from api.source_config import NO_NUL
from api.sources import Sources
from api.trial_samples import MAX_ROWS, MAX_SAMPLES, MAX_SERIES
from connectors.detector import Aggregate, Detector, DetectorConfig, Shape
from connectors.messages import MAX_TIME_MS, Message
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from flows.config import compile_config
from flows.frame import Frame
from flows.group import GroupPlan
from flows.promql import Series, Vector
from flows.selector import NAME_LABEL, parse_selector
from flows.shape.counter import is_counter
from flows.validator import ConfigError


class Span(Message):
    """A stretch of time in steps, both ends included."""

    from_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    to_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    step_s: Annotated[float, Field(strict=True, ge=0.1, le=86_400, description="a value every so many seconds")]

    @model_validator(mode="after")
    def _check(self) -> Span:
        steps = (self.to_ms - self.from_ms) // self.step_ms
        if not 0 <= steps < MAX_ROWS:
            message = f"to_ms must not be before from_ms, and at most {MAX_ROWS} steps of step_s after it, not {steps}"
            raise ValueError(message)
        return self

    @property
    def step_ms(self) -> int:
        """Length of a step."""
        return round(self.step_s * 1000)

    def range_of(self, query: str) -> Range:
        """What is asked for."""
        return Range(query, self.from_ms, self.to_ms, self.step_ms)


class History(Span, PastQuery):
    """The past of a detector's series or groups: what a data source says of them, step by step."""

    source: Annotated[str, Field(max_length=64, pattern=NO_NUL, description="id of a data source")]

    async def fetch(self, sources: Sources, config: DetectorConfig) -> tuple[DetectorConfig, list[Frame]]:
        """What judges the answer, and a frame of each series of it.

        Raises ``ConfigError`` for no series and for too many, and what ``Sources.asking`` raises.
        """
        source = await sources.read(self.source)
        self.check_source(source)
        vector, judging = question_of(config)
        question = str(vector) if self.query is None else self.query
        async with sources.asking(source) as api:
            found = await api.query_range(self.range_of(question), MAX_SAMPLES)
        series = await sources.work.run(partial(as_live, found, self.transforms, {}))
        series = distinct(series) if self.query is None else self._judged_as(series, config)
        if not 1 <= len(series) <= MAX_SERIES:
            expected = f"must have 1 to {MAX_SERIES} series for {question} from {self.from_ms} to {self.to_ms} ms"
            raise ConfigError(field="source", value=self.source, expected=f"{expected}, and has {len(series)}")
        return judging, [frame_of(one) for one in series]

    def _judged_as(self, series: list[PastSeries], config: DetectorConfig) -> list[PastSeries]:
        """What a query gives as series of the detector, or as its groups, of which each must be there once."""
        plan = plan_of(config)
        if plan is None or plan.group.aggregate is Aggregate.MEMBERS:
            return distinct(series)
        groups = distinct(one._replace(labels=plan.labels_of(one.labels)) for one in series)
        if len(groups) < len(series):
            expected = f"must give one series for each of the groups, which are {len(groups)}; it gives {len(series)}"
            raise ConfigError(field="query", value=self.query, expected=expected)
        return groups


def plan_of(config: DetectorConfig) -> GroupPlan | None:
    """Its groups, if it has some."""
    return compile_config(Detector(id="history", revision=1, config=config, author="", updated_ms=0)).plan


def question_of(config: DetectorConfig) -> tuple[Vector, DetectorConfig]:
    """What a source is asked for, and the config that judges the answer: aggregates of groups come ready-made.

    Whether members of a group are counters is told by the name that the selector asks for: types are not known here.
    """
    plan = plan_of(config)
    if plan is None or plan.group.aggregate is Aggregate.MEMBERS:
        return Series(parse_selector(config.selector)), config
    shape, metric = config.shape, plan.selectors[0].metric
    if shape is Shape.AUTO:
        shape = Shape.RATE if metric is not None and is_counter(metric, lambda _: None) else Shape.RAW
    return plan.vector(shape), config.model_copy(update={"group": None, "shape": Shape.RAW})


def frame_of(series: SourceSeries | PastSeries) -> Frame:
    """One series as it is judged; what an expression gives may have no name."""
    labels = {NAME_LABEL: "series", **dict(series.labels)}
    values = series.values[:, None]
    return Frame(series.times_ms, values, np.ones(values.shape, np.bool_), [labels])
