"""The past of a detector's series, from a data source."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from connectors.messages import MAX_TIME_MS, Message
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from flows.frame import Frame
from flows.selector import NAME_LABEL

MAX_STEPS, MAX_SERIES, MAX_POINTS = 20_000, 100, 100_000
"""As of samples in a request's body (api/trial_samples.py)."""


class Span(Message):
    """A stretch of time in steps, both ends included."""

    from_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    to_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS, description="ms since 1970")]
    step_s: Annotated[float, Field(strict=True, ge=0.1, le=86_400, description="a value every so many seconds")]

    @model_validator(mode="after")
    def _check(self) -> Span:
        steps = (self.to_ms - self.from_ms) // self.step_ms
        if not 0 <= steps < MAX_STEPS:
            message = f"to_ms must not be before from_ms, and at most {MAX_STEPS} steps of step_s after it, not {steps}"
            raise ValueError(message)
        return self

    @property
    def step_ms(self) -> int:
        """Length of a step."""
        return round(self.step_s * 1000)

    def range_of(self, query: str) -> Range:
        """What is asked for."""
        return Range(query, self.from_ms, self.to_ms, self.step_ms)


def frame_of(series: SourceSeries) -> Frame:
    """One series as it is judged; what an expression gives may have no name."""
    labels = {NAME_LABEL: "series", **dict(series.labels)}
    values = series.values[:, None]
    return Frame(series.times_ms, values, np.ones(values.shape, np.bool_), [labels])
