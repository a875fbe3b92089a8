"""How the signals of some detectors do now: columns of their lanes, for ``flows.teller``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Floats, Ints
from flows.episode import TOLD
from flows.episodes import EpisodeTable
from flows.gather import Gather
from flows.policy import QUIET_MS, QUIET_SAMPLES
from flows.program import Program
from flows.routes import NONE
from flows.series import NEVER_MS
from flows.watch import Watch

UNKNOWN_PAUSE_MS = 300_000
"""A series of one sample has no usual pause: it is silent after so long, as Prometheus looks back."""


@dataclass(frozen=True, slots=True)
class Look:
    """``n`` lanes of one detector; all columns (n,)."""

    entries: Ints
    rows: Ints
    programs: Ints
    needs: Ints
    """samples until it is judged, −1 of members, which are judged elsewhere or together"""
    samples: Ints
    state_bytes: Floats
    last_ms: Ints
    step_s: NDArray[np.float32]
    silent: NDArray[np.bool_]
    open: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.entries)

    def part(self, span: slice) -> Look:
        """Some of the lanes."""
        return Look(*(getattr(self, name)[span] for name in self.__slots__))


def look_at(watch: Watch, episodes: EpisodeTable, numbers: Ints, log_ms: int) -> list[Look]:
    """The lanes of each of these detectors, which are different ones, at this log time."""
    routes = watch.routes
    places = np.full(len(watch.detectors) + 1, NONE, np.int16)  # a lane that is not in use finds the one too many
    places[numbers] = np.arange(len(numbers))
    found = places[routes.lanes["detector"][: routes.lanes.used]]
    lanes = np.flatnonzero(found != NONE)
    if len(numbers) > 1:
        lanes = lanes[np.argsort(found[lanes], kind="stable")]
    ends = np.cumsum(np.bincount(found[lanes], minlength=len(numbers))).tolist()
    looked = _look(watch, episodes, lanes, log_ms)
    return [looked.part(slice(start, end)) for start, end in zip([0, *ends], ends, strict=False)]


def _look(watch: Watch, episodes: EpisodeTable, lanes: Ints, log_ms: int) -> Look:
    columns, table = watch.routes, watch.series.table
    entries = columns.lanes["entry"][lanes].astype(np.int64)
    rows, programs = columns.entries["row"][entries].astype(np.int64), columns.entries["program"][entries]
    needs, samples, state_bytes = np.full(len(lanes), -1), np.zeros(len(lanes), np.int64), np.zeros(len(lanes))
    for number, mine in _runs(programs):
        program, slots = watch.programs[number], columns.entries["slot"][entries[mine]].astype(np.int64)
        state_bytes[mine] = program.size_bytes / max(1, len(program))
        if isinstance(program, Program):
            needs[mine], samples[mine] = needs_of(program, slots), program.counts["known"][slots]
    last_ms, step_s = table["last_ms"][rows], table["step_s"][rows]
    pause_ms = np.where(
        step_s > 0, np.maximum(QUIET_MS, 1000 * QUIET_SAMPLES * step_s.astype(np.float64)), UNKNOWN_PAUSE_MS
    )
    silent = (last_ms != NEVER_MS) & (last_ms < log_ms - pause_ms)
    episode = columns.lanes["episode"][lanes]
    is_open = (episode != NONE) & (episodes.open["phase"][episode] == TOLD)
    return Look(entries, rows, programs.astype(np.int64), needs, samples, state_bytes, last_ms, step_s, silent, is_open)


def needs_of(program: Program | Gather, slots: Ints) -> Ints:
    """How many more samples each of these slots needs, −1 of members, which tell nothing by themselves."""
    if isinstance(program, Gather):
        return np.full(len(slots), -1)
    needs = program.needs(slots)
    return np.where(np.isin(slots, entities), needs, -1) if len(entities := program.entities) else needs


def _runs(programs: NDArray[Any]) -> list[tuple[int, Ints]]:
    """Each program, and where it stands; most often there is one."""
    if len(programs) and programs[0] == programs[-1] and not np.any(programs != programs[0]):
        return [(int(programs[0]), np.arange(len(programs)))]
    order = np.argsort(programs, kind="stable")
    numbers, starts = np.unique(programs[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else []
