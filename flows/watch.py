"""Who watches what in one block: detectors, the programs they share, and their routes to the series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from flows.config import CompiledDetector, ProgramKey
from flows.detectors.base import Ints
from flows.episodes import Lanes
from flows.matching import Matching
from flows.program import Program
from flows.routes import NONE, Routes
from flows.series import SeriesTable


class Watch:
    """Detectors and programs by number; numbers are reused."""

    def __init__(self, series: SeriesTable) -> None:
        self.series = series
        self.routes = Routes()
        self.detectors: list[CompiledDetector | None] = []
        self.programs: list[Program | None] = []
        self.numbers: dict[str, int] = {}
        self.thresholds = np.zeros(0)
        self.quiet_ms = np.zeros(0, np.int64)
        self._program_numbers: dict[ProgramKey, int] = {}
        self._matching = Matching()

    def add_detectors(self, detectors: Iterable[CompiledDetector]) -> None:
        """Let detectors watch all series that they want; the labels of each series are read once."""
        added = Matching()
        for detector in detectors:
            number = _free(self.detectors)
            self.detectors[number] = detector
            self.numbers[detector.source.id] = number
            self._set_limits(number, detector)
            self._matching.add(number, detector)
            added.add(number, detector)
        if not added.empty:
            for row in self.series.live().tolist():
                self._match(added, row, self.series.labels_of(row))

    def swap_detector(self, detector: CompiledDetector) -> None:
        """Put a detector that computes the same in the place of its older revision: name and author may differ."""
        number = self.numbers[detector.source.id]
        self._matching.remove(number, self.detector(number))
        self._matching.add(number, detector)
        self.detectors[number] = detector

    def remove_detector(self, number: int) -> None:
        """Forget a detector, its lanes, and programs that only it needed."""
        for lane in self.routes.lanes_of_detector(number):
            self._drop_lane(lane)
        detector = self.detector(number)
        self._matching.remove(number, detector)
        del self.numbers[detector.source.id]
        self.detectors[number] = None

    def add_series(self, row: int, labels: Mapping[str, str]) -> None:
        """Let every detector that wants a new series watch it."""
        self._match(self._matching, row, labels)

    def _match(self, matching: Matching, row: int, labels: Mapping[str, str]) -> None:
        for number in matching.wanted_by(self.series.tenant(row), labels):
            self._add_lane(row, number)

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

    def slots(self, key: ProgramKey) -> tuple[Program, Ints, Ints]:
        """A program with the rows it watches and their slots, (n,) each, ascending by row."""
        number = self._program_numbers[key]
        entries = self.routes.entries
        mine = np.flatnonzero(
            (entries["program"][: entries.used] == number) & (entries["lane"][: entries.used] != NONE)
        )
        rows = entries["row"][mine].astype(np.int64)
        order = np.argsort(rows)
        program = self.programs[number]
        assert program is not None  # noqa: S101 - numbers and programs are set together
        return program, rows[order], entries["slot"][mine][order].astype(np.int64)

    def program_keys(self) -> Iterable[ProgramKey]:
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

    def _add_lane(self, row: int, number: int) -> None:
        program = self._program_number(self.detector(number).program)
        heads = self.series.table["head"]
        entry = self.routes.find_entry(int(heads[row]), program)
        if entry == NONE:
            slot = self._program(program).take_slot()
            entry = self.routes.entries.take(row=row, program=program, slot=slot, next=int(heads[row]), lane=NONE)
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

    def _program_number(self, key: ProgramKey) -> int:
        number = self._program_numbers.get(key)
        if number is None:
            number = self._program_numbers[key] = _free(self.programs)
            self.programs[number] = Program(key)
        return number

    def _program(self, number: int) -> Program:
        program = self.programs[number]
        assert program is not None  # noqa: S101 - an entry names a program in use
        return program

    @property
    def size_bytes(self) -> int:
        """Memory of routes and programs."""
        routes = self.routes.entries.table.size_bytes + self.routes.lanes.table.size_bytes
        return routes + sum(program.size_bytes for program in self.programs if program is not None)


def _free(places: list[CompiledDetector | None] | list[Program | None]) -> int:
    """Index of an unused place, at the end if there is none."""
    if None in places:
        return places.index(None)
    places.append(None)
    return len(places) - 1
