"""Putting detectors on series: lanes, the programs that they hang on, and who finds room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from flows.audience import Audience
from flows.config import CompiledDetector, GatherKey, ProgramKey
from flows.crowd import Crowd
from flows.detectors.base import Ints
from flows.families import Families
from flows.gather import Gather
from flows.gathering import Gathering
from flows.keys import Keys
from flows.models import Models
from flows.notices import Notices
from flows.program import Program
from flows.programs import Key, Programs, runs
from flows.routes import NONE, Routes
from flows.series import SeriesTable
from flows.work import WORK_PER_LANE, WORK_PER_SINGLE

GatheringState = tuple[int, int, bool, bool]
"""Of a gathering: incarnation, next step, whether it has begun, whether it overflowed."""
NOBODY: Mapping[str, GatheringState] = MappingProxyType({})


class Tables(NamedTuple):
    """What lanes are made of."""

    series: SeriesTable
    routes: Routes
    programs: Programs
    keys: Keys
    models: Models
    families: Families


class Placement:
    """Makes and drops the lanes of detectors, which it knows by number."""

    def __init__(self, tables: Tables, detector: Callable[[int], CompiledDetector]) -> None:
        self.series, self.routes, self.programs, self.keys, self.models, self.families = tables
        self.detector = detector
        self.gatherings: dict[int, Gathering] = {}
        """by number, of the detectors that run and have groups"""
        self.work = 0
        """with lanes, as in ``flows.work``"""
        self._group_notices = Notices()
        self._singly = np.zeros(0, np.bool_)
        """by number, whether the series of a detector are added one by one"""
        self._pairs = np.zeros(0, np.int64)
        """by number, identity of the pair of a detector's keys, as ``Crowd.programs``"""

    def reserve(self, detectors: int) -> None:
        """Make room for so many detectors, more than before."""
        more = detectors - len(self._singly)
        self._singly = np.concatenate([self._singly, np.zeros(more, np.bool_)])
        self._pairs = np.concatenate([self._pairs, np.zeros(more, np.int64)])
        self.keys.reserve(detectors)

    def know(self, numbers: Ints, crowd: Crowd, gathered: Mapping[str, GatheringState]) -> None:
        """Take note of detectors before their first lanes are made."""
        self._singly[numbers], self._pairs[numbers] = crowd.singly, crowd.programs
        for at in crowd.planned:
            self._gather_from(int(numbers[at]), crowd.detectors[at], gathered)

    def forget(self, number: int) -> None:
        """Drop all lanes of a detector, and what is kept for it."""
        self.drop(self.routes.lanes_of_detector(number))
        self.keys.forget(number)
        self.models.forget(number)
        self.gatherings.pop(number, None)

    def _gather_from(self, number: int, detector: CompiledDetector, gathered: Mapping[str, GatheringState]) -> None:
        if detector.plan is not None and detector.source.config.enabled:
            state = gathered.get(detector.source.id, (0, 0, False, False))
            self.gatherings[number] = Gathering(detector, detector.plan, *state, notices=self._group_notices)

    def attend(self, audiences: Iterable[Audience], order: Callable[[int], int]) -> None:
        """Add the lanes of audiences; where it matters who comes first, by this order of the rows."""
        singly: list[tuple[int, str, int, int, bool]] = []
        for audience in audiences:
            numbers, places = audience.wanted
            alone = self._singly[numbers]
            if alone.any():
                grows = audience.counters(self.families, places[alone]).tolist()
                pairs = zip(numbers[alone].tolist(), audience.rows[places[alone]].tolist(), grows, strict=True)
                singly += [(order(row), self.detector(n).source.id, n, row, counter) for n, row, counter in pairs]
                numbers, places = numbers[~alone], places[~alone]
            if len(numbers):
                self._add_crowds(audience, numbers, places, order)
        for _, _, number, row, counter in sorted(singly):  # by id before number: numbers differ after a restart
            self.place(row, number, self.series.labels_of(row), counter=counter)

    def _add_crowds(self, audience: Audience, numbers: Ints, places: Ints, order: Callable[[int], int]) -> None:
        """Add lanes of many series at a time: pairs of a detector's number and a place in the audience, by number."""
        starts, sizes = runs(numbers)
        cramped = self.keys.without_room(numbers[starts], sizes)
        if cramped.any():
            numbers, places = self._admit(audience, numbers, places, starts[cramped], sizes[cramped], order)
            if not len(numbers):
                return
            starts, sizes = runs(numbers)
        self.keys.add(numbers[starts], sizes)
        rows, programs = audience.rows[places], self._programs_of(numbers[starts], sizes, audience, places)
        entries, made = self.routes.entries_for(self.series.table["head"], rows, programs)
        self.routes.add_lanes(entries, numbers)
        self.work += WORK_PER_LANE * len(entries)
        for number, mine in self.programs.parted(made):
            program = self.programs[number]
            assert isinstance(program, Program)  # noqa: S101 - groups come singly
            self.routes.entries["slot"][mine] = program.take_slots(len(mine))

    def _admit(
        self, audience: Audience, numbers: Ints, places: Ints, starts: Ints, sizes: Ints, order: Callable[[int], int]
    ) -> tuple[Ints, Ints]:
        """The pairs without those that find no room, of the detectors whose pairs begin at ``starts``."""
        admitted = np.ones(len(numbers), np.bool_)
        for first, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            number, rows = int(numbers[first]), audience.rows[places[first : first + size]]
            found = self.keys.admitted(number, self.detector(number).source, rows, order)
            admitted[first : first + size] = found
        return numbers[admitted], places[admitted]

    def _programs_of(self, numbers: Ints, sizes: Ints, audience: Audience, places: Ints) -> Ints:
        """Numbers of the programs of all lanes, made where missing: of each of these detectors so many places."""
        which = 2 * np.repeat(np.arange(len(numbers)), sizes) + audience.counters(self.families, places)
        there = np.flatnonzero(np.bincount(which, minlength=2 * len(numbers)))
        _, pairs = np.unique(self._pairs[numbers], return_inverse=True)
        _, first, again = np.unique(2 * pairs[there >> 1] + (there & 1), return_index=True, return_inverse=True)
        made = np.empty(len(first), np.int64)
        for at in np.argsort(first).tolist():  # numbers of programs in the order of those of detectors
            number, grows = int(numbers[there[first[at]] >> 1]), int(there[first[at]] & 1)
            made[at] = self._program_number(self.detector(number).programs[grows], number)
        programs = np.full(2 * len(numbers), NONE, np.int64)
        programs[there] = made[again]
        found: Ints = programs[which]
        return found

    def place(self, row: int, number: int, labels: Mapping[str, str], *, counter: bool) -> None:
        """Put a detector on a series that it wants; ``counter`` decides what ``auto`` means."""
        for key in self.detector(number).keys_for(labels, counter=counter):
            if isinstance(key, ProgramKey) or self._may_gather(number):
                self._add_lane(row, number, key, labels)

    def _may_gather(self, number: int) -> bool:
        gathering = self.gatherings[number]
        reached = None if gathering.overflowed else gathering.reached
        if reached is not None:
            gathering.overflow(*reached)
            self.drop(self.routes.lanes_of_detector(number))
        return not gathering.overflowed

    def _add_lane(self, row: int, number: int, key: Key, labels: Mapping[str, str]) -> None:
        made = self._program_number(key, number)
        heads = self.series.table["head"]
        entry = self.routes.find_entry(int(heads[row]), made)
        if entry == NONE:
            program = self.programs[made]
            if isinstance(program, Program) and not self._has_room(program, row, number, labels):
                self.programs.drop_if_empty(made)
                return
            series = int(self.series.table["series"][row])
            if isinstance(program, Gather):
                slot = program.take_slot(labels, series)
            else:
                slot = program.take_slot()
                program.join(slot, labels, series)
            entry = self.routes.entries.take(row=row, program=made, slot=slot, next=int(heads[row]), lane=NONE)
            heads[row] = entry
        self.routes.add_lane(entry, number)
        self.keys.add(np.array([number]), np.array([1]))
        self.work += WORK_PER_SINGLE

    def drop(self, lanes: Ints) -> None:
        """Forget lanes, and programs that only they needed."""
        if not len(lanes):
            return
        self.keys.drop(self.routes.lanes["detector"][lanes])
        entries = self.routes.drop_lanes(self.series.table["head"], lanes)
        for number, mine in self.programs.parted(entries):
            program, slots = self.programs[number], self.routes.entries["slot"][mine].astype(np.int64)
            program.free_slots(slots)
            if isinstance(program, Gather):
                self.work += WORK_PER_SINGLE * len(slots)
            self.programs.drop_if_empty(number)
        self.routes.entries.give(entries)
        self.work += WORK_PER_LANE * len(lanes)

    def _has_room(self, program: Program, row: int, number: int, labels: Mapping[str, str]) -> bool:
        if program.max_models is None or not program.wants_model(labels):
            return True
        source = self.detector(number).source
        counts = (program.models, self.objects)
        name = f"{source.id} ({source.config.name!r})"
        return self.models.admits(program.key, row, counts, program.max_models, number, name)

    @property
    def objects(self) -> int:
        """Python-object models of all programs."""
        return sum(program.models for program in self.programs.judging())

    def notices(self) -> list[str]:
        """What is to be said of detectors since the last call."""
        return [*self.keys.notices.take(), *self.models.notices.take(), *self._group_notices.take()]

    def _program_number(self, key: Key, detector: int) -> int:
        return self.programs.number_of(
            key, lambda key: Program(key) if isinstance(key, ProgramKey) else self._gather(key, detector)
        )

    def _gather(self, key: GatherKey, detector: int) -> Gather:
        gathering = self.gatherings[detector]
        gather = gathering.gathers[key] = Gather(key, gathering.plan, gathering, self._labels_of_series)
        return gather

    def _labels_of_series(self, series: int) -> bytes:
        row = int(self.series.index.find(np.array([series], np.uint64))[0])
        return self.series.labels[row] or b""
