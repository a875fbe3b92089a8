"""Static bounds, stated by the operator.

Source: as old as alarms; a control chart's specification limits (Shewhart 1931) are such bounds.
Cost: nothing is remembered. Fails: where nobody knows the bounds, or they change with load and hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_Z, SURPRISE_MAX, VALUE_LIMIT, Floats, Ints, Scored, Table
from flows.detectors.gaussian import gaussian_surprise


class ThresholdParams(BaseModel):
    """Parameters of ``threshold``. What is beyond ``VALUE_LIMIT`` is a gap: nothing would exceed a bound there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lower: Annotated[
        float | None,
        Field(gt=-VALUE_LIMIT, le=VALUE_LIMIT, description="values below it are anomalous; default none"),
    ] = None
    upper: Annotated[
        float | None,
        Field(ge=-VALUE_LIMIT, lt=VALUE_LIMIT, description="values above it are anomalous; default none"),
    ] = None
    spread: Annotated[
        float | None,
        Field(
            gt=0,
            le=VALUE_LIMIT,
            description="scale on which surprise grows beyond a bound; default at once",
        ),
    ] = None

    @field_validator("lower", "upper", mode="before")
    @classmethod
    def _within_reach(cls, bound: Any, info: ValidationInfo) -> Any:
        """Say why, where the limits above would only say how much."""
        if isinstance(bound, int | float):
            above = info.field_name == "upper"
            if bound >= VALUE_LIMIT if above else bound <= -VALUE_LIMIT:
                limit, side = ("below 1e38", "above") if above else ("above -1e38", "below")
                message = f"must be {limit}: values beyond ±1e38 are gaps, so that nothing would ever be {side} it"
                raise ValueError(message)
        return bound

    @model_validator(mode="after")
    def _can_fire(self) -> Self:
        if self.lower is None and self.upper is None:
            message = "give lower, upper or both: without a bound nothing is anomalous"
            raise ValueError(message)
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            message = f"lower = {self.lower:g} must not exceed upper = {self.upper:g}"
            raise ValueError(message)
        return self


@dataclass(frozen=True, slots=True)
class Threshold:
    """Static bounds."""

    params: ThresholdParams

    def allocate(self, rows: int) -> Table:
        """Nothing is remembered."""
        return Table((), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:  # noqa: ARG002 - the contract
        """Score; there is nothing to learn."""
        out = Scored.empty(len(rows))
        p = self.params
        lower = -VALUE_LIMIT if p.lower is None else p.lower
        upper = VALUE_LIMIT if p.upper is None else p.upper
        threshold_step(values, lower, upper, self._expected(), p.spread or 0.0, *out)
        return out

    def _expected(self) -> float:
        """The middle of the bounds, or the only one."""
        bounds = [bound for bound in (self.params.lower, self.params.upper) if bound is not None]
        return sum(bound / len(bounds) for bound in bounds)

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:  # noqa: ARG002 - the contract
        """Nothing: the first sample is scored."""
        return np.zeros(len(rows), np.int64)


@njit(cache=True, nogil=True)
def threshold_step(
    values: Floats, low: float, high: float, middle: float, spread: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge ``n`` samples: 0 within the bounds; beyond them the most, or by the distance if there is a ``spread``."""
    for i in range(values.shape[0]):
        value = values[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not abs(value) <= VALUE_LIMIT:
            continue
        beyond = max(value - high, low - value)
        score[i] = 0.0
        if beyond > 0.0:
            score[i] = gaussian_surprise(BAND_Z + beyond / spread) if spread > 0.0 else SURPRISE_MAX
        expected[i], lower[i], upper[i] = middle, low, high
