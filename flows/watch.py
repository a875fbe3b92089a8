"""Who watches what in one block: detectors, the programs they share, and their routes to the series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from connectors.messages import Shape
from flows.config import CompiledDetector, GatherKey, ProgramKey
from flows.detectors.base import Ints
from flows.episodes import Lanes
from flows.families import Families
from flows.gather import Gather, Gathering
from flows.matching import Matching
from flows.program import Program
from flows.routes import NONE, Routes
from flows.selector import NAME_LABEL
from flows.series import SeriesTable
from flows.shape.counter import families_of

Key = ProgramKey | GatherKey


GatheringState = tuple[int, int, bool, bool]
"""Of a gathering: incarnation, next step, whether it has begun, whether it overflowed."""
NOBODY: Mapping[str, GatheringState] = MappingProxyType({})


class Watch:
    """Detectors and programs by number; numbers are reused."""

    def __init__(self, series: SeriesTable) -> None:
        self.series = series
        self.routes = Routes()
        self.detectors: list[CompiledDetector | None] = []
        self.programs: list[Program | Gather | None] = []
        self.gatherings: dict[int, Gathering] = {}
        self.families = Families()
        self.numbers: dict[str, int] = {}
        self.thresholds = np.zeros(0)
        self.quiet_ms = np.zeros(0, np.int64)
        self._program_numbers: dict[Key, int] = {}
        self._matching = Matching()

    def add_detectors(
        self, detectors: Iterable[CompiledDetector], gathered: Mapping[str, GatheringState] = NOBODY
    ) -> None:
        """Let detectors watch all series that they want; the labels of each series are read once.

        ``gathered`` says by detector id from where on groups are gathered.
        """
        added = Matching()
        for detector in detectors:
            number = _free(self.detectors)
            self.detectors[number] = detector
            self.numbers[detector.source.id] = number
            self._set_limits(number, detector)
            self._matching.add(number, detector)
            added.add(number, detector)
            if detector.plan is not None and detector.source.config.enabled:
                state = gathered.get(detector.source.id, (0, 0, False, False))
                self.gatherings[number] = Gathering(detector, detector.plan, *state)
        if not added.empty:
            for row in self.series.live().tolist():
                self._match(added, row, self.series.labels_of(row))

    def swap_detector(self, detector: CompiledDetector) -> None:
        """Put a detector that computes the same in the place of its older revision: name and author may differ."""
        number = self.numbers[detector.source.id]
        self._matching.remove(number, self.detector(number))
        self._matching.add(number, detector)
        self.detectors[number] = detector
        if number in self.gatherings:
            self.gatherings[number].detector = detector

    def remove_detector(self, number: int) -> None:
        """Forget a detector, its lanes, and programs that only it needed."""
        for lane in self.routes.lanes_of_detector(number):
            self._drop_lane(lane)
        detector = self.detector(number)
        self._matching.remove(number, detector)
        del self.numbers[detector.source.id]
        self.gatherings.pop(number, None)
        self.detectors[number] = None

    def add_series(self, row: int, labels: Mapping[str, str]) -> None:
        """Let every detector that wants a new series watch it."""
        self._match(self._matching, row, labels)

    def _match(self, matching: Matching, row: int, labels: Mapping[str, str]) -> None:
        tenant = self.series.tenant(row)
        wanting = list(matching.wanted_by(tenant, labels))
        if wanting:
            counter = self.families.is_counter(tenant, labels.get(NAME_LABEL, ""))
            for number in wanting:
                self._add_lanes(row, number, labels, counter=counter)

    def retype(self, row: int) -> None:
        """Choose anew what ``auto`` means for a series; its lanes of such detectors have no episodes any more."""
        labels = self.series.labels_of(row)
        counter = self.families.is_counter(self.series.tenant(row), labels.get(NAME_LABEL, ""))
        lanes = self.auto_lanes_of_series(row)
        numbers = {int(self.routes.lanes["detector"][lane]) for lane in lanes}
        for lane in lanes:
            self._drop_lane(lane)
        for number in sorted(numbers):
            self._add_lanes(row, number, labels, counter=counter)

    def rows_of_families(self, tenant: str, families: set[str]) -> list[int]:
        """Rows of all series that may belong to one of the families."""
        mine = [row for row in self.series.live().tolist() if self.series.tenant(row) == tenant]
        return [row for row in mine if not families.isdisjoint(families_of(self.series.metric_of(row)))]

    def auto_lanes_of_series(self, row: int) -> list[int]:
        """Lanes of the detectors that look at the type of a series."""
        number = self.routes.lanes["detector"]
        return [
            lane
            for lane in self.lanes_of_series(row)
            if self.detector(int(number[lane])).source.config.shape is Shape.AUTO
        ]

    def remove_series(self, row: int) -> None:
        """Forget all that watches a series."""
        for lane in self.lanes_of_series(row):
            self._drop_lane(lane)

    def lanes_of_series(self, row: int) -> list[int]:
        """All lanes of a series."""
        head = int(self.series.table["head"][row])
        return [lane for entry in self.routes.entries_of(head) for lane in self.routes.lanes_of(entry)]

    def detector(self, number: int) -> CompiledDetector:
        """The detector with this number."""
        detector = self.detectors[number]
        if detector is None:
            message = f"no detector has number {number}"
            raise LookupError(message)
        return detector

    def key_of_lane(self, lane: int) -> Key:
        """The program that a lane hangs on."""
        return self._program(int(self.routes.entries["program"][self.routes.lanes["entry"][lane]])).key

    def slots(self, key: Key) -> tuple[Program | Gather, Ints, Ints]:
        """A program with the rows it watches and their slots, (n,) each, ascending by row."""
        number = self._program_numbers[key]
        entries = self.routes.entries
        mine = np.flatnonzero(
            (entries["program"][: entries.used] == number) & (entries["lane"][: entries.used] != NONE)
        )
        rows = entries["row"][mine].astype(np.int64)
        order = np.argsort(rows)
        return self._program(number), rows[order], entries["slot"][mine][order].astype(np.int64)

    def entries_of_program(self, number: int) -> Ints:
        """Entries of a program, by row."""
        entries = self.routes.entries
        mine = np.flatnonzero(
            (entries["program"][: entries.used] == number) & (entries["lane"][: entries.used] != NONE)
        )
        return mine[np.argsort(entries["row"][mine])].astype(np.int64)

    def program_keys(self) -> Collection[Key]:
        """All programs in use."""
        return self._program_numbers

    def lanes(self) -> Lanes:
        """Columns for ``episodes.follow``."""
        entries, lanes = self.routes.entries, self.routes.lanes
        columns = (entries["lane"], lanes["next"], lanes["detector"], lanes["episode"])
        return Lanes((*columns, self.thresholds, self.quiet_ms))

    def _set_limits(self, number: int, detector: CompiledDetector) -> None:
        if number >= len(self.thresholds):
            self.thresholds = np.append(self.thresholds, 0.0)
            self.quiet_ms = np.append(self.quiet_ms, 0)
        self.thresholds[number] = detector.source.config.threshold
        self.quiet_ms[number] = round(detector.source.config.quiet_s * 1000)

    def _add_lanes(self, row: int, number: int, labels: Mapping[str, str], *, counter: bool) -> None:
        for key in self.detector(number).keys_for(labels, counter=counter):
            if isinstance(key, ProgramKey) or self._may_gather(number):
                self._add_lane(row, number, key, labels)

    def _may_gather(self, number: int) -> bool:
        gathering = self.gatherings[number]
        if not gathering.overflowed and gathering.full:
            gathering.overflow()
            for lane in self.routes.lanes_of_detector(number):
                self._drop_lane(lane)
        return not gathering.overflowed

    def _add_lane(self, row: int, number: int, key: Key, labels: Mapping[str, str]) -> None:
        made = self._program_number(key, number)
        heads = self.series.table["head"]
        entry = self.routes.find_entry(int(heads[row]), made)
        if entry == NONE:
            program = self._program(made)
            series = int(self.series.table["series"][row])
            slot = program.take_slot(labels, series) if isinstance(program, Gather) else program.take_slot()
            entry = self.routes.entries.take(row=row, program=made, slot=slot, next=int(heads[row]), lane=NONE)
            heads[row] = entry
        self.routes.add_lane(entry, number)

    def _drop_lane(self, lane: int) -> None:
        entry = self.routes.drop_lane(lane)
        if self.routes.entries["lane"][entry] != NONE:
            return
        number = int(self.routes.entries["program"][entry])
        program = self._program(number)
        program.free_slot(int(self.routes.entries["slot"][entry]))
        self.routes.unlink_entry(self.series.table["head"], entry)
        if not len(program):
            del self._program_numbers[program.key]
            self.programs[number] = None
            if isinstance(program, Gather):
                program.gathering.gathers.pop(program.key, None)

    def _program_number(self, key: Key, detector: int) -> int:
        number = self._program_numbers.get(key)
        if number is None:
            number = self._program_numbers[key] = _free(self.programs)
            self.programs[number] = Program(key) if isinstance(key, ProgramKey) else self._gather(key, detector)
        return number

    def _gather(self, key: GatherKey, detector: int) -> Gather:
        gathering = self.gatherings[detector]
        gather = gathering.gathers[key] = Gather(key, gathering.plan, gathering)
        return gather

    def _program(self, number: int) -> Program | Gather:
        program = self.programs[number]
        assert program is not None  # noqa: S101 - an entry names a program in use
        return program

    @property
    def size_bytes(self) -> int:
        """Memory of routes and programs."""
        routes = self.routes.entries.table.size_bytes + self.routes.lanes.table.size_bytes
        return routes + sum(program.size_bytes for program in self.programs if program is not None)


def _free(places: list[CompiledDetector | None] | list[Program | Gather | None]) -> int:
    """Index of an unused place, at the end if there is none."""
    if None in places:
        return places.index(None)
    places.append(None)
    return len(places) - 1
