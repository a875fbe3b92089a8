"""Which detectors watch which series, as linked lists in columns.

An *entry* is one program on one series; a *lane* is one detector on one series and hangs on the entry of its program.
``series.head[row]`` → entries of the row (``next``) → lanes of the entry (``lane``, ``next``) → detector, episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Ints, Table

NONE = -1
NOTHING = np.zeros(0, np.int64)


class Slab:
    """A table whose rows are taken and given back."""

    def __init__(self, *names: str) -> None:
        self.table = Table(tuple(Column(name, np.int32) for name in names))
        self.used = 0
        self._free: list[int] = []

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.table[name]

    def __len__(self) -> int:
        return self.used - len(self._free)

    def take(self, **values: int) -> int:
        """A row holding these values."""
        if self._free:
            row = self._free.pop()
        else:
            row = self.used
            self.used += 1
            self.table.reserve(self.used)
        for name, value in values.items():
            self.table[name][row] = value
        return row

    def take_many(self, n: int) -> Ints:
        """``n`` rows; what they hold is for the caller to write."""
        kept = max(0, len(self._free) - n)
        reused, self._free = self._free[kept:], self._free[:kept]
        first, self.used = self.used, self.used + n - len(reused)
        self.table.reserve(self.used)
        return np.concatenate([np.array(reused, np.int64), np.arange(first, self.used)])

    def give(self, rows: Ints) -> None:
        """Give rows back."""
        self._free += rows.tolist()


class Routes:
    """Entries and lanes of one block."""

    def __init__(self) -> None:
        self.entries = Slab("row", "program", "slot", "next", "lane")
        self.lanes = Slab("entry", "detector", "next", "episode", "trial")

    def entries_of(self, head: int) -> Iterator[int]:
        """Entries that begin at ``head``."""
        while head != NONE:
            yield head
            head = int(self.entries["next"][head])

    def lanes_of(self, entry: int) -> Iterator[int]:
        """Lanes of an entry."""
        lane = int(self.entries["lane"][entry])
        while lane != NONE:
            yield lane
            lane = int(self.lanes["next"][lane])

    def find_entry(self, head: int, program: int) -> int:
        """The entry of a program on the row whose list begins at ``head``, −1 if there is none."""
        return next((e for e in self.entries_of(head) if self.entries["program"][e] == program), NONE)

    def add_lane(self, entry: int, detector: int) -> int:
        """Hang a detector on an entry."""
        after = int(self.entries["lane"][entry])
        lane = self.lanes.take(entry=entry, detector=detector, next=after, episode=NONE, trial=NONE)
        self.entries["lane"][entry] = lane
        return lane

    def entries_for(self, heads: NDArray[Any], rows: Ints, programs: Ints) -> tuple[Ints, Ints]:
        """Entries of ``n`` pairs of row and program, made where there was none; and those made, their slots not set.

        A pair may stand there several times.
        """
        found = _find_entries(heads, self.entries["program"], self.entries["next"], rows, programs)
        missing = found == NONE
        if not missing.any():
            return found, NOTHING
        pairs = np.unique(programs[missing] << 32 | rows[missing])
        made = self.entries.take_many(len(pairs))
        _link_entries(
            heads, self.entries["row"], self.entries["program"], self.entries["next"], self.entries["lane"],
            made, pairs & 0xFFFFFFFF, pairs >> 32,
        )  # fmt: skip
        return _find_entries(heads, self.entries["program"], self.entries["next"], rows, programs), made

    def add_lanes(self, entries: Ints, detectors: Ints) -> None:
        """Hang detectors on entries, (n,) each."""
        lanes = self.lanes.take_many(len(entries))
        self.lanes["entry"][lanes], self.lanes["detector"][lanes], self.lanes["episode"][lanes] = (
            entries,
            detectors,
            NONE,
        )
        self.lanes["trial"][lanes] = NONE
        _hang(lanes, entries, self.entries["lane"], self.lanes["next"])

    def drop_lanes(self, heads: NDArray[Any], lanes: Ints) -> Ints:
        """Unhang lanes; gives the entries without lanes now, unlinked but not given back."""
        entries = np.unique(self.lanes["entry"][lanes]).astype(np.int64)
        self.lanes["detector"][lanes] = NONE
        self.lanes.give(lanes)
        _unhang(entries, self.entries["lane"], self.lanes["next"], self.lanes["detector"])
        empty = entries[self.entries["lane"][entries] == NONE]
        _unlink(empty, heads, self.entries["row"], self.entries["lane"], self.entries["next"])
        return empty

    def lanes_of_rows(self, heads: NDArray[Any], rows: Ints) -> Ints:
        """All lanes of these rows, row by row, in the order of the lists."""
        entries, lanes = self.entries, self.lanes
        return _lanes_of_rows(heads, entries["next"], entries["lane"], lanes["next"], rows, len(lanes))

    def lanes_of_detector(self, detector: int) -> Ints:
        """All lanes of a detector."""
        return np.flatnonzero(self.lanes["detector"][: self.lanes.used] == detector)


@njit(cache=True)
def _lanes_of_rows(
    heads: NDArray[np.int32], entry_next: NDArray[np.int32], entry_lane: NDArray[np.int32],
    lane_next: NDArray[np.int32], rows: Ints, lanes: int,
) -> Ints:  # fmt: skip
    """Of different rows of a block with so many lanes."""
    found, n = np.empty(lanes, np.int64), 0
    for i in range(rows.shape[0]):
        entry = heads[rows[i]]
        while entry != NONE:
            lane = entry_lane[entry]
            while lane != NONE:
                found[n] = lane
                n += 1
                lane = lane_next[lane]
            entry = entry_next[entry]
    return found[:n].copy()


@njit(cache=True)
def _find_entries(
    heads: NDArray[np.int32],
    entry_program: NDArray[np.int32],
    entry_next: NDArray[np.int32],
    rows: Ints,
    programs: Ints,
) -> Ints:
    """Entry of each program on each row, ``NONE`` where there is none."""
    found = np.empty(rows.shape[0], np.int64)
    for i in range(rows.shape[0]):
        entry = heads[rows[i]]
        while entry != NONE and entry_program[entry] != programs[i]:
            entry = entry_next[entry]
        found[i] = entry
    return found


@njit(cache=True)
def _link_entries(
    heads: NDArray[np.int32], entry_row: NDArray[np.int32], entry_program: NDArray[np.int32],
    entry_next: NDArray[np.int32], entry_lane: NDArray[np.int32], entries: Ints, rows: Ints, programs: Ints,
) -> None:  # fmt: skip
    """Put new entries before those of their rows."""
    for i in range(entries.shape[0]):
        entry = entries[i]
        entry_row[entry] = rows[i]
        entry_program[entry] = programs[i]
        entry_lane[entry] = NONE
        entry_next[entry] = heads[rows[i]]
        heads[rows[i]] = entry


@njit(cache=True)
def _hang(lanes: Ints, entries: Ints, entry_lane: NDArray[np.int32], lane_next: NDArray[np.int32]) -> None:
    """Put new lanes before those of their entries."""
    for i in range(lanes.shape[0]):
        lane_next[lanes[i]] = entry_lane[entries[i]]
        entry_lane[entries[i]] = lanes[i]


@njit(cache=True)
def _unhang(
    entries: Ints, entry_lane: NDArray[np.int32], lane_next: NDArray[np.int32], lane_detector: NDArray[np.int32]
) -> None:
    """Take the lanes that have no detector out of the lists of their entries."""
    for i in range(entries.shape[0]):
        kept = NONE
        lane = entry_lane[entries[i]]
        while lane != NONE:
            after = lane_next[lane]
            if lane_detector[lane] != NONE:
                if kept == NONE:
                    entry_lane[entries[i]] = lane
                else:
                    lane_next[kept] = lane
                kept = lane
            lane = after
        if kept == NONE:
            entry_lane[entries[i]] = NONE
        else:
            lane_next[kept] = NONE


@njit(cache=True)
def _unlink(
    entries: Ints, heads: NDArray[np.int32], entry_row: NDArray[np.int32], entry_lane: NDArray[np.int32],
    entry_next: NDArray[np.int32],
) -> None:  # fmt: skip
    """Take the entries that have no lane out of the lists of the rows of these."""
    for i in range(entries.shape[0]):
        row = entry_row[entries[i]]
        kept = NONE
        entry = heads[row]
        while entry != NONE:
            after = entry_next[entry]
            if entry_lane[entry] != NONE:
                if kept == NONE:
                    heads[row] = entry
                else:
                    entry_next[kept] = entry
                kept = entry
            entry = after
        if kept == NONE:
            heads[row] = NONE
        else:
            entry_next[kept] = NONE


@njit(cache=True)
def sort_by_program(
    rows: Ints, heads: NDArray[np.int32], entry_program: NDArray[np.int32], entry_next: NDArray[np.int32], programs: int
) -> tuple[Ints, Ints, Ints]:
    """Samples of known rows, sorted by the programs that watch their rows; order within a program is kept.

    Gives ``starts`` (programs + 1,), and for each pair: ``samples``, index into ``rows``, and ``entries``.
    """
    starts = np.zeros(programs + 1, np.int64)
    for i in range(rows.shape[0]):
        entry = heads[rows[i]]
        while entry != NONE:
            starts[entry_program[entry] + 1] += 1
            entry = entry_next[entry]
    for p in range(programs):
        starts[p + 1] += starts[p]
    at = starts[:-1].copy()
    samples = np.empty(starts[programs], np.int64)
    entries = np.empty(starts[programs], np.int64)
    for i in range(rows.shape[0]):
        entry = heads[rows[i]]
        while entry != NONE:
            p = entry_program[entry]
            samples[at[p]] = i
            entries[at[p]] = entry
            at[p] += 1
            entry = entry_next[entry]
    return starts, samples, entries
