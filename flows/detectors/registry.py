"""Every kind of detector by its name. To add one: write its module, its twin in the tests, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel

from flows.detectors.auto import Auto, AutoParams
from flows.detectors.base import Detector
from flows.detectors.changepoint import Changepoint, ChangepointParams
from flows.detectors.ewma import Ewma, EwmaParams
from flows.detectors.flatline import Flatline, FlatlineParams
from flows.detectors.forecast import Forecast, ForecastParams
from flows.detectors.iqr import Iqr, IqrParams
from flows.detectors.mad import Mad, MadParams
from flows.detectors.missing import Missing, MissingParams
from flows.detectors.outlier import Outlier, OutlierParams
from flows.detectors.quantile import Quantile, QuantileParams
from flows.detectors.river import River, RiverParams
from flows.detectors.river_vector import vectors_of
from flows.detectors.seasonal import Seasonal, SeasonalParams
from flows.detectors.threshold import Threshold, ThresholdParams
from flows.detectors.zscore import Zscore, ZscoreParams


class Trait(StrEnum):
    """How a kind differs from most, which learn what values are usual."""

    STATED = "stated"
    """What is anomalous was stated by the operator: its surprise is not to be calibrated by the signal's own tail."""
    TIMES = "times"
    """Judges when samples come or change, not how large they are."""
    EMPIRICAL = "empirical"
    """Its surprise is counted from the signal's own past already: nothing is left to calibrate."""

    TOGETHER = "together"
    """Judges the members of a group against each other, whole steps of them."""
    OBJECTS = "objects"
    """Keeps Python objects, and compiles nothing."""
    PAUSES = "pauses"
    """Judges pauses between samples, when nothing comes too."""


class Kind(NamedTuple):
    """How a kind is made from its parameters."""

    params: type[BaseModel]
    make: Callable[[Any], Detector]
    summary: str
    traits: frozenset[Trait] = frozenset()
    example: Mapping[str, Any] = MappingProxyType({})
    """Parameters that make one which can fire, where the defaults alone do not."""

    vectors: Callable[[Any], Detector | None] = lambda _params: None
    """How one is made that judges all members of a group as one signal of many dimensions; none if it cannot."""

    @property
    def calibrable(self) -> bool:
        """Whether its surprise is a model's promise, which each signal's own tail may correct."""
        return self.traits.isdisjoint({Trait.STATED, Trait.TIMES, Trait.EMPIRICAL})

    chance_per_week: float | None = None
    """Samples a week that reach its threshold by chance, if the config says nothing; None: a fixed threshold."""
    chance_in_all: float | None = None
    """No more of them a week on all signals of a detector together, if the config says nothing; None: no bound."""
    cooldown_s: float | None = 0.0
    """Cool-down after an episode, if the config says nothing; None: six hours or six samples, what is longer."""


KINDS: dict[str, Kind] = {
    "auto": Kind(
        AutoParams,
        Auto,
        "learns what kind of signal it is, and combines what finds anomalies in it",
        frozenset({Trait.EMPIRICAL}),
        chance_per_week=5.0,
        chance_in_all=21.0,
        cooldown_s=None,
    ),
    "threshold": Kind(
        ThresholdParams,
        Threshold,
        "bounds that the operator states",
        frozenset({Trait.STATED}),
        {"lower": 0, "upper": 100},
    ),
    "mad": Kind(MadParams, Mad, "distance from the rolling median in robust standard deviations"),
    "zscore": Kind(ZscoreParams, Zscore, "distance from a sliding mean in standard deviations"),
    "quantile": Kind(QuantileParams, Quantile, "distance from the rolling median, judged by the spread of each side"),
    "iqr": Kind(IqrParams, Iqr, "distance beyond the rolling quartiles in interquartile ranges"),
    "ewma": Kind(EwmaParams, Ewma, "distance from an exponentially weighted mean"),
    "changepoint": Kind(
        ChangepointParams,
        Changepoint,
        "small lasting changes of level, by sums of deviations",
        frozenset({Trait.EMPIRICAL}),
    ),
    "forecast": Kind(ForecastParams, Forecast, "distance from a forecast by level, trend and season"),
    "seasonal": Kind(SeasonalParams, Seasonal, "distance from what is usual at this hour of the week"),
    "outlier": Kind(
        OutlierParams, Outlier, "one series against the others of its group now", frozenset({Trait.TOGETHER})
    ),
    "river": Kind(
        RiverParams,
        River,
        "models of the library river, for few signals",
        frozenset({Trait.OBJECTS}),
        vectors=vectors_of,
    ),
    "flatline": Kind(FlatlineParams, Flatline, "a signal that used to move stands still", frozenset({Trait.TIMES})),
    "missing": Kind(
        MissingParams, Missing, "nothing comes for longer than it ever took", frozenset({Trait.TIMES, Trait.PAUSES})
    ),
}
