"""The default kind: needs no parameter, and learns what kind of signal it has before it.

Seven cheap members each say how surprising a sample is: the deviation from a level with a day profile, in the spread
of its hour and in one spread; the error of a one-step prediction; the change of the changes; a short and a long
mean of deviations. Each has a tail of its own (``auto_tails``), their sum is the evidence (Fisher 1932,
*Statistical methods for research workers*), and a ladder makes of it a surprise that the signal bears out
(``auto_ladder``).

Learning policy: unless ``hold_s`` says so nothing is held back, but what is learned of a sample is cut
(``auto_profile``), so an incident of some samples leaves the level where it was, while a lasting change is accepted:
docs/detectors.md says after how long. Cost: 0.8 kB a signal, half a microsecond a sample. docs/quality.md says how good
it is, and what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import SerializerFunctionWrapHandler, model_serializer

from flows.detectors.auto_kernel import auto_step
from flows.detectors.auto_state import COLUMNS, WARMUP, records_of
from flows.detectors.auto_words import take_notes, words
from flows.detectors.base import Floats, Ints, Scored, Table
from flows.detectors.holding import HoldParams, hold_column, holds_of


class AutoParams(HoldParams):
    """It needs none: one set of constants for every signal. A hold may be asked for."""

    @model_serializer(mode="wrap")
    def _as_ever(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without holds as it was written before there were any: ids of anomalies are made of it."""
        return {} if self.hold_ms == 0 else dump(self)


@dataclass(frozen=True, slots=True)
class Auto:
    """Seven members and a ladder."""

    params: AutoParams

    def allocate(self, rows: int) -> Table:
        """One record of ``auto_state`` each, and when its hold began if there are holds."""
        hold = hold_column(self.params)
        return Table(COLUMNS if hold.derived else (*COLUMNS, hold), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn."""
        out = Scored.empty(len(rows))
        hold = (holds_of(state, self.params), self.params.hold_ms, self.params.hold_from)
        auto_step(records_of(state), *hold, rows, times_ms, values, *out)
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score."""
        return np.maximum(0, WARMUP - records_of(state)["seen"][rows].astype(np.int64))

    def note(self, state: Table, rows: Ints) -> None:
        """Note what kinds of signals these are by now."""
        take_notes(records_of(state), rows)

    def learned(self, state: Table, row: int) -> str | None:
        """What was noted last, in words."""
        return words(records_of(state)["noted"][row])
