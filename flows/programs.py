"""The programs of a block by number, and where their rows are; numbers are used again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from flows.config import GatherKey, ProgramKey
from flows.detectors.base import Ints
from flows.gather import Gather
from flows.program import Program
from flows.routes import NONE, Routes

Key = ProgramKey | GatherKey
NOWHERE = np.zeros(0, np.int64)


class Placed(NamedTuple):
    """A program with the rows that it watches and their slots, (n,) each, ascending by row."""

    program: Program | Gather
    rows: Ints
    slots: Ints


class Programs:
    """What detectors share, as far as any needs it."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._programs: list[Program | Gather | None] = []
        self._numbers: dict[Key, int] = {}
        self._vacant: list[int] = []

    def __len__(self) -> int:
        """One more than the highest number."""
        return len(self._programs)

    def __iter__(self) -> Iterator[Program | Gather | None]:
        return iter(self._programs)

    def __getitem__(self, number: int) -> Program | Gather:
        program = self._programs[number]
        assert program is not None  # noqa: S101 - an entry names a program in use
        return program

    @property
    def keys(self) -> Collection[Key]:
        """Of all programs in use."""
        return self._numbers

    def judging(self) -> Iterator[Program]:
        """Those that are no gatherings."""
        return (program for program in list(self._programs) if isinstance(program, Program))

    def number_of(self, key: Key, make: Callable[[Key], Program | Gather]) -> int:
        """The number of a program, which is made if there is none."""
        number = self._numbers.get(key)
        if number is None:
            number = self._vacant.pop() if self._vacant else len(self._programs)
            if number == len(self._programs):
                self._programs.append(None)
            self._programs[number] = make(key)
            self._numbers[key] = number
        return number

    def find(self, key: Key) -> Program | Gather | None:
        """A program, if it is in use."""
        number = self._numbers.get(key)
        return None if number is None else self._programs[number]

    def drop_if_empty(self, number: int) -> None:
        """Forget a program that watches nothing."""
        program = self[number]
        if not len(program):
            del self._numbers[program.key]
            self._programs[number] = None
            self._vacant.append(number)
            if isinstance(program, Gather):
                program.gathering.gathers.pop(program.key, None)

    def slots(self, key: Key) -> Placed:
        """Where the rows of a program are."""
        number = self._numbers[key]
        return self._placed(number, dict(self.entries_of([number])).get(number, NOWHERE))

    def all_slots(self) -> dict[Key, Placed]:
        """The same of all programs in use: entries are sorted once, not looked through for each of thousands."""
        entries = dict(self.entries_of(self._numbers.values()))
        return {key: self._placed(number, entries.get(number, NOWHERE)) for key, number in self._numbers.items()}

    def _placed(self, number: int, mine: Ints) -> Placed:
        rows, slots = (self._routes.entries[name][mine].astype(np.int64) for name in ("row", "slot"))
        return Placed(self[number], rows, slots)

    def entries_of(self, numbers: Iterable[int]) -> Iterator[tuple[int, Ints]]:
        """Those of these programs that have entries, and these, by row."""
        entries, wanted = self._routes.entries, np.zeros(len(self._programs), np.bool_)
        wanted[list(numbers)] = True
        used = entries["lane"][: entries.used] != NONE
        mine = np.flatnonzero(used & wanted[entries["program"][: entries.used]])
        return self.parted(mine[np.argsort(entries["row"][mine])])

    def parted(self, entries: Ints) -> Iterator[tuple[int, Ints]]:
        """Programs with those of these entries that are theirs, in their order."""
        if not len(entries):
            return
        programs = self._routes.entries["program"][entries]
        order = np.argsort(programs, kind="stable")
        starts, _ = runs(programs[order])
        yield from zip(programs[order[starts]].tolist(), np.split(entries[order], starts[1:]), strict=True)

    def take_notes(self) -> None:
        """Let all note what kinds of signals they have."""
        for program in self.judging():
            program.note()

    @property
    def size_bytes(self) -> int:
        """Memory of all."""
        return sum(program.size_bytes for program in list(self._programs) if program is not None)


def runs(numbers: Ints) -> tuple[Ints, Ints]:
    """Where each of ``n`` >= 1 ascending numbers begins, and how many times it stands there."""
    bounds = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    edges = np.concatenate([[0], bounds, [len(numbers)]])
    return edges[:-1], edges[1:] - edges[:-1]
