"""Models of the library river (https://riverml.xyz), one Python object per signal.

What a model says is a number of its own kind. For those that measure a distance it is read as such: z under a
Gaussian. Of the others it is followed how high their score usually is, and its excess is believed to be exponential.
Cost: 3 µs to 1 ms a sample, 2 kB to 1.3 MB a signal: for few signals. Fails: as each model does, see docs/detectors.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from flows.detectors.base import BAND_Z, SURPRISE_MAX, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.gaussian import gaussian_surprise
from flows.detectors.half_space import reduce_forest
from flows.detectors.holding import HoldParams, hold_column, learns
from flows.detectors.models import MODEL, ModelTable
from flows.detectors.river_models import MODELS, Spec
from flows.detectors.window import COUNT_LIMIT

MEMORY = 1000
"""Samples over which the usual score of a model is followed."""
VALUE_MEMORY = 50
"""Samples over which the band is followed that is shown for a model that knows none."""
LEAST_SPREAD = 0.01
"""Deviation believed of a score that never changes: scores are logarithms or near 1."""
FURTHEST = 6.0
"""Deviations to which a score is cut before it is learned as usual: surprise 3, one in a thousand."""
LOG10_E = math.log10(math.e)
VALUE = "value"
"""Name of the one feature."""
FAULTS = (ArithmeticError, TypeError, ValueError)
"""What river's models raise on numbers that they cannot take, a variance below 0 among them."""


class RiverParams(HoldParams):
    """Parameters of ``river``."""

    model: Annotated[
        Literal[
            "GaussianScorer", "StandardAbsoluteDeviation", "HalfSpaceTrees", "LODA", "LocalOutlierFactor", "OneClassSVM"
        ],
        Field(description="class of river.anomaly"),
    ] = "GaussianScorer"
    model_params: Annotated[
        dict[str, int | float | None] | None, Field(description="its parameters by river's names, below")
    ] = None
    protect_above: Annotated[
        float | None,
        Field(gt=0.5, le=0.9999, description="scores above this quantile are not learned (river's QuantileFilter)"),
    ] = None
    warmup: Annotated[int, Field(ge=3, le=100_000, description="samples before the first score")] = 60
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="standard deviation believed of a constant signal, as a share of its level"),
    ] = 1e-3
    max_keys: Annotated[int, Field(ge=1, le=1000, description="models of this detector on one partition")] = 100

    @field_validator("model_params", mode="before")
    @classmethod
    def _known(cls, given: Any, info: ValidationInfo) -> Any:
        """All of the model's parameters, so that equal computations are written alike."""
        model = info.data.get("model")
        if model is None or not isinstance(given, dict):  # it is refused already, or will be
            return given
        params = MODELS[model].params
        try:
            return params.model_validate(given, strict=True).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] != "extra_forbidden":
                raise  # pydantic tells its place below ours
            known = ", ".join(params.model_fields) or "none"
            message = f"{model} takes {known}; not {'.'.join(map(str, first['loc']))[:100]}"
            raise ValueError(message) from error

    @property
    def own(self) -> Any:
        """The model's parameters, checked."""
        return MODELS[self.model].params.model_validate(self.model_params or {})


class Verdict(NamedTuple):
    """What is said of one sample."""

    surprise: float
    expected: float
    lower: float
    upper: float


NOTHING = Verdict(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class River:
    """One model per signal."""

    params: RiverParams

    @cached_property
    def spec(self) -> Spec:
        """What is known of the model."""
        return MODELS[self.params.model]

    @cached_property
    def own(self) -> Any:
        """Its parameters."""
        return self.params.own

    @property
    def max_models(self) -> int:
        """See ``models.Modelled``."""
        return self.params.max_keys

    @cached_property
    def silent(self) -> int:
        """Samples for which the model says nothing."""
        return int(self.spec.silent(self.own))

    @cached_property
    def needed(self) -> int:
        """Samples before the first verdict: a usual score must be known where one is needed."""
        if self.spec.gaussian is not None:
            return max(self.silent, self.params.warmup)
        return self.silent + self.params.warmup

    def make(self) -> Any:
        """A new model, with what prepares its input."""
        from river.anomaly import QuantileFilter
        from river.compose import Pipeline

        model = self.spec.make(self.own)
        if self.params.protect_above is not None:
            model = QuantileFilter(model, q=self.params.protect_above)
        steps = self.spec.scale(self.own)
        return Pipeline(*steps, model) if steps else model

    def allocate(self, rows: int) -> Table:
        """Models, their usual scores, and the band to be shown."""
        columns = (
            Column("seen", np.int32), Column("faults", np.int32), Column("usual", np.float64),
            Column("usual_variance", np.float64), Column("mean", np.float64), Column("variance", np.float64),
            hold_column(self.params),
        )  # fmt: skip
        return ModelTable(columns, rows, self.spec.size_bytes(self.own), reduce_forest)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn, one sample after the other."""
        out = Scored.empty(len(rows))
        for i, (row, time_ms, value) in enumerate(zip(rows.tolist(), times_ms.tolist(), values.tolist(), strict=True)):
            verdict = NOTHING
            if abs(value) <= VALUE_LIMIT:
                verdict = self._take(state, row, time_ms, value)
            for column, number in zip(out, verdict, strict=True):
                column[i] = number
        return out

    def _take(self, state: Table, row: int, time_ms: int, value: float) -> Verdict:
        try:
            return self._judge(state, row, time_ms, value)
        except FAULTS:
            begin_anew(state, row)
            return NOTHING

    def _judge(self, state: Table, row: int, time_ms: int, value: float) -> Verdict:
        seen = int(state["seen"][row])
        if self.spec.gaussian is None:
            shown = self.shown(state, row)
            surprise, learned = self.rate(state, row, time_ms, {VALUE: value}, still=stands_still(state, row, value))
            if learned:
                follow(state, row, "mean", "variance", value, max(1.0 / VALUE_MEMORY, 1.0 / (seen + 1.0)))
            return NOTHING if math.isnan(surprise) else Verdict(surprise, *shown)
        model = self.model_of(state, row)
        verdict = self.distance(model, value) if seen >= self.needed else NOTHING
        if self.count(state, row, time_ms, verdict.surprise):
            model.learn_one(None, value)  # river's models of one value take it as the target
        return verdict

    def rate(
        self, state: Table, row: int, time_ms: int, features: dict[Any, float], *, still: bool = False
    ) -> tuple[float, bool]:
        """Surprise of a model that scores, NaN while warming up, then learn; and whether it was learned.

        ``still``: nothing has ever changed, so that a change of score is one of the model.
        """
        model, seen = self.model_of(state, row), int(state["seen"][row])
        surprise = self.surprise(state, row, model.score_one(features)) if seen >= self.silent else math.nan
        if still:
            surprise = 0.0
        if seen < self.needed:
            surprise = math.nan
        learned = self.count(state, row, time_ms, surprise)
        if learned:
            model.learn_one(features)
        return surprise, learned

    def model_of(self, state: Table, row: int) -> Any:
        """The model of a row, made when it is first asked for."""
        if not state[MODEL][row]:
            state[MODEL][row] = self.make()
        return state[MODEL][row]

    def count(self, state: Table, row: int, time_ms: int, surprise: float) -> bool:
        """One more was seen; whether it is to be learned."""
        state["seen"][row] = min(state["seen"][row] + 1, COUNT_LIMIT)
        return learns(state["held_ms"], row, surprise, time_ms, self.params.hold_ms, self.params.hold_from)

    def distance(self, model: Any, value: float) -> Verdict:
        """Of a model that measures distances: its own centre and deviation, where its score would end at 1."""
        assert self.spec.gaussian is not None  # noqa: S101 - asked only of such
        centre, deviation = self.spec.gaussian(getattr(model, "anomaly_detector", model))
        scale = deviation if deviation > 0.0 else self.params.floor_ratio * abs(centre)
        away = abs(value - centre)
        z = away / scale if scale > 0.0 else (math.inf if away > 0.0 else 0.0)
        return Verdict(gaussian_surprise(z), centre, centre - BAND_Z * scale, centre + BAND_Z * scale)

    def surprise(self, state: Table, row: int, raw: float) -> float:
        """How far a score lies above what is usual, as −log10 of an exponential's tail; then learns the score."""
        level = self.spec.read(raw, self.own)
        if not math.isfinite(level):
            message = f"{self.params.model} gave the score {raw!r}"
            raise ArithmeticError(message)
        seen = int(state["seen"][row]) - self.silent
        usual = float(state["usual"][row]) if seen else level
        spread = max(math.sqrt(state["usual_variance"][row]), LEAST_SPREAD)
        z = (level - usual) / spread
        cut = max(-FURTHEST, min(FURTHEST, z)) if seen >= self.params.warmup else z
        follow(state, row, "usual", "usual_variance", usual + cut * spread, max(1.0 / MEMORY, 2.0 / (seen + 2.0)))
        far = abs(z) if self.spec.two_sided else z
        return min(SURPRISE_MAX, LOG10_E * max(0.0, 1.0 + far))

    def shown(self, state: Table, row: int) -> tuple[float, float, float]:
        """What people may compare the value with; the model itself expects nothing of the kind."""
        mean = float(state["mean"][row])
        half = BAND_Z * (math.sqrt(state["variance"][row]) or self.params.floor_ratio * abs(mean))
        return mean, mean - half, mean + half

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return np.maximum(self.needed - state["seen"][rows].astype(np.int64), 0)


def begin_anew(state: Table, row: int) -> None:
    """Forget a model that failed."""
    faults = state["faults"][row] + 1
    for column in state.columns:
        if not column.derived:
            state[column.name][row] = 0
    state["faults"][row] = faults


def stands_still(state: Table, row: int, value: float) -> bool:
    """Whether no value but this was ever seen."""
    return bool(state["seen"][row] and state["variance"][row] == 0.0 and state["mean"][row] == value)


def follow(state: Table, row: int, mean: str, variance: str, value: float, weight: float) -> None:
    """Finch (2009), *Incremental calculation of weighted mean and variance*, eq. 143."""
    away = value - state[mean][row] if weight < 1.0 else 0.0
    state[mean][row] = value if weight == 1.0 else state[mean][row] + weight * away
    state[variance][row] = (1.0 - weight) * (state[variance][row] + weight * away * away)
