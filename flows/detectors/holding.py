"""When a surprising sample is learned: not while an incident is young, so that it does not become the new normal.

A hold begins at the first surprising sample. While it is younger than ``hold_s`` of sample time, surprising samples are
scored but not learned; after that they are, so a lasting change of level is accepted. It is over at the first
unsurprising sample after that.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Ints, Table

HOLD_S = Field(ge=0, le=604_800, description="s for which an incident is not learned; 0: everything is")
HOLD_FROM = Field(gt=0, le=300, description="surprise from which a sample is not learned while the hold lasts")

NO_HOLDS: Ints = np.zeros(1, np.int64)


class HoldParams(BaseModel):
    """The learning policy, a part of every kind's parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hold_s: Annotated[float, HOLD_S] = 0.0
    hold_from: Annotated[float, HOLD_FROM] = 8.0

    @property
    def hold_ms(self) -> int:
        """How long a hold lasts, 0 for no holds."""
        return round(self.hold_s * 1000)


def hold_column(params: HoldParams) -> Column:
    """When the hold of each row began; a narrow column that no snapshot carries if there are no holds."""
    return Column("held_ms", np.int64) if params.hold_ms else Column("held_ms", np.int8, derived=True)


def holds_of(state: Table, params: HoldParams) -> Ints:
    """When the hold of each row began, for kernels, which are compiled for one type of it; unread without holds."""
    return state["held_ms"] if params.hold_ms else NO_HOLDS


@njit(cache=True, inline="always")
def learns(held_ms: Ints, row: int, surprise: float, time_ms: int, hold_ms: int, hold_from: float) -> bool:
    """Whether a sample with this surprise (NaN while warming up) is to be learned; follows the row's hold."""
    if hold_ms == 0:
        return True
    return _follow(held_ms, row, surprise, time_ms, hold_ms, hold_from)


@njit(cache=True)
def _follow(held_ms: Ints, row: int, surprise: float, time_ms: int, hold_ms: int, hold_from: float) -> bool:
    since = held_ms[row]
    young = since != 0 and time_ms - since < hold_ms
    if surprise >= hold_from:
        if since == 0:
            held_ms[row] = max(time_ms, 1)
        return since != 0 and not young
    if since != 0 and not young:
        held_ms[row] = 0
    return True
