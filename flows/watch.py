"""Who watches what in one block: detectors, the programs they share, and their routes to the series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from connectors.detector import Shape
from connectors.messages import MetricType
from flows.audience import Audiences
from flows.config import CompiledDetector
from flows.crowd import Crowd
from flows.detectors.base import Ints
from flows.episodes import Lanes
from flows.families import Families
from flows.keys import MAX_KEYS, Keys
from flows.models import MAX_MODELS, Models
from flows.placement import NOBODY, GatheringState, Placement, Tables
from flows.policy import Policies
from flows.program import Program
from flows.programs import Key, Programs
from flows.routes import Routes
from flows.selector import NAME_LABEL
from flows.series import SeriesTable
from flows.thresholds import Thresholds
from flows.work import WORK_PER_REMOVAL, work_to_try


class Watch:
    """Detectors and programs by number; numbers are reused."""

    def __init__(self, series: SeriesTable, max_models: int = MAX_MODELS, max_keys: int = MAX_KEYS) -> None:
        self.series = series
        self.models = Models(max_models)
        self.keys = Keys(max_keys)
        self.routes = Routes()
        self.detectors: list[CompiledDetector | None] = []
        self.programs = Programs(self.routes)
        self.families = Families()
        tables = Tables(series, self.routes, self.programs, self.keys, self.models, self.families)
        self._placement = Placement(tables, self.detector)
        self.gatherings = self._placement.gatherings
        self.numbers: dict[str, int] = {}
        self.revised: dict[int, bool] = {}
        """numbers whose detector came, went or changed, until somebody takes note; and whether it computes anew"""
        self.thresholds = Thresholds(self.keys, self.programs, self.detector)
        self.budgets = self.thresholds.budgets
        self._asking: Counter[str] = Counter()
        """how many detectors have a selector"""
        self._audiences = Audiences(series)
        self._vacant: list[int] = []
        self._work = 0

    def add_detectors(
        self, detectors: Iterable[CompiledDetector], gathered: Mapping[str, GatheringState] = NOBODY
    ) -> None:
        """Let detectors watch all series that they want.

        ``gathered`` says by detector id from where on groups are gathered.
        """
        self.add_crowd(Crowd(tuple(detectors)), gathered)

    def add_crowd(self, crowd: Crowd, gathered: Mapping[str, GatheringState] = NOBODY) -> None:
        """The same."""
        if not len(crowd):
            return
        numbers = self._number(crowd)
        self.thresholds.set(numbers, crowd)
        self._placement.know(numbers, crowd, gathered)
        self._work += work_to_try(self._ask(crowd), len(self.series))
        hashes = self.series.table["series"]  # their order is the same after a restart
        self._placement.attend(self._audiences.add(numbers, crowd), lambda row: int(hashes[row]))

    def _number(self, crowd: Crowd) -> Ints:
        """Give detectors their numbers."""
        reused = [self._vacant.pop() for _ in range(min(len(self._vacant), len(crowd)))]
        for number, detector in zip(reused, crowd.detectors, strict=False):
            self.detectors[number] = detector
        numbers = reused + list(range(len(self.detectors), len(self.detectors) + len(crowd) - len(reused)))
        self.detectors.extend(crowd.detectors[len(reused) :])
        self.numbers.update(zip(crowd.ids, numbers, strict=True))
        self.revised.update(dict.fromkeys(numbers, True))
        self._make_room()
        return np.array(numbers, np.int64)

    def _ask(self, crowd: Crowd) -> int:
        """Count the selectors; gives how many of them no other detector has.

        What columns remember of selectors is no measure of that: a restart forgets it.
        """
        before = len(self._asking)
        self._asking.update(crowd.asked)
        return len(self._asking) - before

    def swap_detector(self, detector: CompiledDetector) -> None:
        """Put a detector that computes the same in the place of its older revision: name and author may differ."""
        number = self.numbers[detector.source.id]
        self.detectors[number] = detector
        self.revised.setdefault(number, False)
        if number in self.gatherings:
            self.gatherings[number].detector = detector

    def remove_detector(self, number: int) -> None:
        """Forget a detector, its lanes, and programs that only it needed."""
        self._placement.forget(number)
        self._audiences.remove(number)
        self.budgets.end(number)
        detector = self.detector(number)
        for asked in detector.asked:
            self._asking[asked] -= 1
            if not self._asking[asked]:
                del self._asking[asked]
        del self.numbers[detector.source.id]
        self.detectors[number] = None
        self.revised[number] = True
        self._vacant.append(number)
        self._work += WORK_PER_REMOVAL

    def add_series(self, rows: Sequence[int]) -> None:
        """Let every detector that wants one of these new series watch it."""
        arrival = {row: at for at, row in enumerate(rows)}
        self._placement.attend(self._audiences.of_series(rows), arrival.__getitem__)

    def forget_idle_columns(self) -> None:
        """Free what is kept for the next change of configs, if none came since this was last called."""
        self._audiences.forget_idle()

    def retype(self, row: int) -> None:
        """Choose anew what ``auto`` means for a series; its lanes of such detectors have no episodes any more."""
        labels = self.series.labels_of(row)
        counter = self.families.is_counter(self.series.tenant(row), labels.get(NAME_LABEL, ""))
        lanes = self.auto_lanes_of_series(row)
        numbers = {int(self.routes.lanes["detector"][lane]) for lane in lanes}
        self._placement.drop(np.array(lanes, np.int64))
        for number in sorted(numbers):
            self._placement.place(row, number, labels, counter=counter)

    def rows_that_turn(self, tenant: str, types: Iterable[tuple[str, MetricType]]) -> list[int]:
        """Take in types of families; gives the rows of series that are counters now and were none, or were some.

        In an order that a restart does not change: who finds room must not depend on where rows lie.
        """
        before = self.families.learn(tenant, types)
        if not before:
            return []
        rows, names = self._audiences.by_name(tenant)
        turned = [code for code, name in enumerate(names.values) if self.families.turned(tenant, before, name)]
        mine = rows[np.isin(names.codes, turned)]
        ordered: list[int] = mine[np.argsort(self.series.table["series"][mine])].tolist()
        return ordered

    def auto_lanes_of_series(self, row: int) -> list[int]:
        """Lanes of the detectors that look at the type of a series."""
        number = self.routes.lanes["detector"]
        return [
            lane
            for lane in self.lanes_of_series(row)
            if self.detector(int(number[lane])).source.config.shape is Shape.AUTO
        ]

    def remove_series(self, rows: Ints) -> None:
        """Forget all that watches these series."""
        self._placement.drop(self.lanes_of_rows(rows))
        self._audiences.forget()

    def lanes_of_rows(self, rows: Ints) -> Ints:
        """All lanes of these series, one after the other."""
        return self.routes.lanes_of_rows(self.series.table["head"], rows)

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
        return self.programs[int(self.routes.entries["program"][self.routes.lanes["entry"][lane]])].key

    def leaders_of_lane(self, lane: int) -> list[tuple[int, float]]:
        """Where a lane's signal is an entity: rows and values of the members that led when it surprised at last."""
        entry = int(self.routes.lanes["entry"][lane])
        program = self.programs[int(self.routes.entries["program"][entry])]
        led = program.leaders(int(self.routes.entries["slot"][entry])) if isinstance(program, Program) else []
        if not led:
            return []
        rows = self.series.index.find(np.array([series for series, _ in led], np.uint64)).tolist()
        return [(row, value) for row, (_, value) in zip(rows, led, strict=True) if row >= 0]

    def learned_of_lane(self, lane: int) -> str | None:
        """What a lane's signal was taken for when notes were taken last, in words."""
        entry = int(self.routes.lanes["entry"][lane])
        program = self.programs[int(self.routes.entries["program"][entry])]
        return program.learned(int(self.routes.entries["slot"][entry])) if isinstance(program, Program) else None

    def lanes(self) -> Lanes:
        """Columns for ``episodes.follow``."""
        entries, lanes = self.routes.entries, self.routes.lanes
        columns = (entries["lane"], lanes["next"], lanes["detector"], lanes["episode"])
        return Lanes((*columns, self.thresholds.policies))

    @property
    def work(self) -> int:
        """Of all changes so far, in ``WORK_PER_CONTROL``'s measure; a function of the partition alone."""
        return self._work + self._placement.work

    @property
    def objects(self) -> int:
        """Python-object models of all programs."""
        return self._placement.objects

    def notices(self) -> list[str]:
        """What is to be said of detectors since the last call."""
        return self._placement.notices()

    def _make_room(self) -> None:
        """Let all columns by number be as long as there are detectors, or longer."""
        room = len(self.policies)
        if len(self.detectors) > room:
            room = max(len(self.detectors), 2 * room, 16)
            self.thresholds.reserve(room)
            self._placement.reserve(room)

    @property
    def policies(self) -> Policies:
        """From which surprise each detector alarms, and how its episodes end; (detectors or more,)."""
        return self.thresholds.policies

    @property
    def size_bytes(self) -> int:
        """Memory of routes, programs, and what is kept of labels while configs change."""
        routes = self.routes.entries.table.size_bytes + self.routes.lanes.table.size_bytes
        return routes + self.programs.size_bytes + self._audiences.size_bytes
