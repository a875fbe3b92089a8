"""Every kind of detector by its name. To add one: write its module, its twin in the tests, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel

from flows.detectors.base import Detector
from flows.detectors.ewma import Ewma, EwmaParams
from flows.detectors.mad import Mad, MadParams
from flows.detectors.zscore import Zscore, ZscoreParams


class Kind(NamedTuple):
    """How a kind is made from its parameters."""

    params: type[BaseModel]
    make: Callable[[Any], Detector]
    summary: str


KINDS: dict[str, Kind] = {
    "mad": Kind(MadParams, Mad, "distance from the rolling median in robust standard deviations"),
    "zscore": Kind(ZscoreParams, Zscore, "distance from a sliding mean in standard deviations"),
    "ewma": Kind(EwmaParams, Ewma, "distance from an exponentially weighted mean"),
}
