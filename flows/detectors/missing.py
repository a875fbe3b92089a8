"""Silence: nothing comes for longer than it ever took, by the learned lengths of the pauses between samples.

Pauses are learned in sample time and in log time, and silence is judged in log time, at each control record: batches
and delays of delivery are part of what is usual. Log time that no control record witnessed – all of ingest was away –
is nobody's silence.

Source: the φ accrual failure detector, Hayashibara et al. (2004), *The φ accrual failure detector*, SRDS: suspicion is
−log10 of the chance that a heartbeat comes so late. The tail of the pauses is ``durations``.
Cost: counts of pauses per half octave; each signal is looked at once per control record. Fails: on signals that end for
good; see ``after_stale``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_SURPRISE, STALE_MARKER, VALUE_LIMIT, Column, Floats, Ints, Scored, Silences, Table
from flows.detectors.durations import (
    count_length,
    length_of,
    lengths_column,
    median_length,
    surprise_of_length,
    tail_of,
)
from flows.detectors.holding import HOLD_S, HoldParams
from flows.detectors.window import COUNT_LIMIT, samples_needed

UNIT_S = 0.1
"""Pauses are counted in tenths of a second."""
WITNESS_MS = 10_000
"""Control records come once a second; of a longer pause between two of them only so much is witnessed."""


HEARD = ("last_ms", "heard_ms", "asked_ms", "alive", "ended")
"""Columns of what was heard at last, which is no part of what was learned."""


class MissingParams(HoldParams):
    """Parameters of ``missing``."""

    after_stale: Annotated[
        Literal["silence", "end"],
        Field(description="silence: a stale marker is one; end: the series has ended and is not missed"),
    ] = "silence"
    warmup: Annotated[int, Field(ge=3, le=100_000, description="samples before the first score")] = 30
    hold_s: Annotated[float, HOLD_S] = 86_400.0


@dataclass(frozen=True, slots=True)
class Missing:
    """Lengths of the pauses between samples."""

    params: MissingParams

    def allocate(self, rows: int) -> Table:
        """When a sample was last seen, by its own time and by the log's, and the lengths of pauses."""
        columns = (
            Column("last_ms", np.int64), Column("heard_ms", np.int64), Column("asked_ms", np.int64),
            Column("alive", np.int8), Column("ended", np.int8), Column("seen", np.int32), Column("arrivals", np.int32),
            lengths_column(),
        )  # fmt: skip
        return Table(columns, rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Judge the pause before each sample, then learn it; the verdicts are in seconds."""
        return self.hear(state, rows, times_ms, values).scored

    def hear(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Silences:
        """As ``step``, with the pauses themselves."""
        pauses_s, scored = np.empty(len(rows)), Scored.empty(len(rows))
        p = self.params
        hear(
            state["last_ms"], state["alive"], state["ended"], state["seen"], state["lengths"], rows, times_ms, values,
            values.view(np.int64), p.after_stale == "end", p.warmup, p.hold_ms, p.hold_from, pauses_s, *scored,
        )  # fmt: skip
        return Silences(np.arange(len(rows)), pauses_s, scored)

    def advance(self, state: Table, rows: Ints, until_ms: int) -> Silences:
        """Judge the silence of those that are silent for longer than ever, and learn how long the others were."""
        said, silence_s, scored = np.empty(len(rows), np.int64), np.empty(len(rows)), Scored.empty(len(rows))
        p = self.params
        n = listen(
            state["heard_ms"], state["asked_ms"], state["alive"], state["ended"], state["arrivals"], state["lengths"],
            rows, until_ms, p.warmup, p.hold_ms, p.hold_from, said, silence_s, *scored,
        )  # fmt: skip
        return Silences(said[:n], silence_s[:n], Scored(*(column[:n] for column in scored)))

    def hear_on(self, state: Table, rows: Ints, before: Mapping[str, NDArray[Any]]) -> None:
        """Go on from the sample heard live; where there was none yet, the next one ends no pause."""
        for name in HEARD:
            state[name][rows] = before[name]
        state["ended"][rows[before["seen"] == 0]] = 1

    def derive(self, state: Table, rows: Ints) -> None:
        """Nothing is derived."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Samples until the first score; silence is judged after as many arrivals, of which each may bring several."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def hear(
    last_ms: Ints, alive: NDArray[Any], ended: NDArray[Any], seen: NDArray[Any], lengths: NDArray[Any],
    rows: Ints, times_ms: Ints, values: Floats, bits: Ints, end_when_stale: bool, warmup: int, hold_ms: int,
    hold_from: float, pauses_s: Floats, score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge and learn the pause before each of ``n`` samples; a NaN that is no stale marker is a sign of life."""
    for i in range(rows.shape[0]):
        row = rows[i]
        score[i] = expected[i] = lower[i] = upper[i] = pauses_s[i] = math.nan
        if bits[i] == STALE_MARKER:
            ended[row] = 1 if end_when_stale else 0
            continue
        pause_s = 0.0
        if seen[row] > 0 and not ended[row]:
            pause_s = (times_ms[i] - last_ms[row]) / 1000.0
        surprise = surprise_of_length(lengths[row], pause_s / UNIT_S)
        if seen[row] >= warmup and abs(values[i]) <= VALUE_LIMIT:
            score[i] = surprise
            expected[i], lower[i], upper[i] = band_of(lengths[row])
            pauses_s[i] = pause_s
        if pause_s > 0.0 and not (seen[row] >= warmup and surprise >= hold_from and 1000.0 * pause_s < hold_ms):
            count_length(lengths[row], pause_s / UNIT_S)
        last_ms[row] = times_ms[i]
        alive[row] = 1
        ended[row] = 0
        seen[row] = min(seen[row] + 1, COUNT_LIMIT)


@njit(cache=True, nogil=True)
def listen(
    heard_ms: Ints, asked_ms: Ints, alive: NDArray[Any], ended: NDArray[Any], arrivals: NDArray[Any],
    lengths: NDArray[Any], rows: Ints, until_ms: int, warmup: int, hold_ms: int, hold_from: float,
    said: Ints, silence_s: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> int:  # fmt: skip
    """Judge silence at this log time; gives how many are silent for longer than ever, ``said`` which of the rows."""
    n = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        if asked_ms[row] == 0:
            heard_ms[row] = asked_ms[row] = until_ms
            alive[row] = 0
            continue
        unseen_ms = max(0, until_ms - asked_ms[row] - WITNESS_MS)
        heard_ms[row] += unseen_ms
        asked_ms[row] = until_ms
        pause_s = (until_ms - heard_ms[row]) / 1000.0
        if alive[row]:
            surprise = surprise_of_length(lengths[row], pause_s / UNIT_S)
            incident = arrivals[row] >= warmup and surprise >= hold_from and 1000.0 * pause_s < hold_ms
            if pause_s > 0.0 and unseen_ms == 0 and not incident:
                count_length(lengths[row], pause_s / UNIT_S)
            heard_ms[row] = until_ms
            alive[row] = 0
            arrivals[row] = min(arrivals[row] + 1, COUNT_LIMIT)
            continue
        if arrivals[row] < warmup or ended[row] or pause_s / UNIT_S < tail_of(lengths[row])[1]:
            continue
        said[n] = i
        silence_s[n] = pause_s
        score[n] = surprise_of_length(lengths[row], pause_s / UNIT_S)
        expected[n], lower[n], upper[n] = band_of(lengths[row])
        n += 1
    return n


@njit(cache=True)
def band_of(lengths: NDArray[Any]) -> tuple[float, float, float]:
    """Typical pause, the least, and the longest that is no surprise, in seconds."""
    typical = UNIT_S * median_length(lengths)
    return typical, 0.0, max(typical, UNIT_S * length_of(lengths, BAND_SURPRISE))
