"""Which detectors watch which series, as linked lists in columns.

An *entry* is one program on one series; a *lane* is one detector on one series and hangs on the entry of its program.
``series.head[row]`` → entries of the row (``next``) → lanes of the entry (``lane``, ``next``) → detector, episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flows.detectors.base import Column, Ints, Table

NONE = -1


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

    def give(self, row: int) -> None:
        """Give a row back."""
        self._free.append(row)


class Routes:
    """Entries and lanes of one block."""

    def __init__(self) -> None:
        self.entries = Slab("row", "program", "slot", "next", "lane")
        self.lanes = Slab("entry", "detector", "next", "episode")

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
        lane = self.lanes.take(entry=entry, detector=detector, next=int(self.entries["lane"][entry]), episode=NONE)
        self.entries["lane"][entry] = lane
        return lane

    def drop_lane(self, lane: int) -> int:
        """Unhang a lane; gives its entry."""
        entry = int(self.lanes["entry"][lane])
        after = int(self.lanes["next"][lane])
        at = int(self.entries["lane"][entry])
        if at == lane:
            self.entries["lane"][entry] = after
        else:
            while self.lanes["next"][at] != lane:
                at = int(self.lanes["next"][at])
            self.lanes["next"][at] = after
        self.lanes["detector"][lane] = NONE
        self.lanes.give(lane)
        return entry

    def unlink_entry(self, heads: NDArray[Any], entry: int) -> None:
        """Take an entry without lanes out of its row's list."""
        row = int(self.entries["row"][entry])
        after = int(self.entries["next"][entry])
        at = int(heads[row])
        if at == entry:
            heads[row] = after
        else:
            while self.entries["next"][at] != entry:
                at = int(self.entries["next"][at])
            self.entries["next"][at] = after
        self.entries.give(entry)

    def lanes_of_detector(self, detector: int) -> list[int]:
        """All lanes of a detector."""
        lanes: list[int] = np.flatnonzero(self.lanes["detector"][: self.lanes.used] == detector).tolist()
        return lanes


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
