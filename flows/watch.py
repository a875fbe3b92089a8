"""Who watches what in one block: detectors, the programs they share, and their routes to the series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from connectors.detector import Shape
from connectors.messages import MetricType
from flows.audience import Audience, Audiences
from flows.config import CompiledDetector, GatherKey, ProgramKey
from flows.crowd import Crowd
from flows.detectors.base import Ints
from flows.episodes import Lanes
from flows.families import Families
from flows.gather import Gather
from flows.gathering import Gathering
from flows.keys import MAX_KEYS, Keys
from flows.models import MAX_MODELS, Models
from flows.notices import Notices
from flows.policy import Policies
from flows.program import Program
from flows.programs import Key, Programs, runs
from flows.routes import NONE, Routes
from flows.selector import NAME_LABEL
from flows.series import SeriesTable
from flows.thresholds import Thresholds
from flows.work import WORK_PER_LANE, WORK_PER_REMOVAL, WORK_PER_SINGLE, work_to_try

GatheringState = tuple[int, int, bool, bool]
"""Of a gathering: incarnation, next step, whether it has begun, whether it overflowed."""
NOBODY: Mapping[str, GatheringState] = MappingProxyType({})


class Watch:
    """Detectors and programs by number; numbers are reused."""

    def __init__(self, series: SeriesTable, max_models: int = MAX_MODELS, max_keys: int = MAX_KEYS) -> None:
        self.series = series
        self.models = Models(max_models)
        self.keys = Keys(max_keys)
        self.routes = Routes()
        self.detectors: list[CompiledDetector | None] = []
        self.programs = Programs(self.routes)
        self.gatherings: dict[int, Gathering] = {}
        self._group_notices = Notices()
        self.families = Families()
        self.numbers: dict[str, int] = {}
        self.revised: dict[int, bool] = {}
        """numbers whose detector came, went or changed, until somebody takes note; and whether it computes anew"""
        self.thresholds = Thresholds(self.keys, self.programs, self.detector)
        self.budgets = self.thresholds.budgets
        self._singly = np.zeros(0, np.bool_)
        """whether the series of a detector are added one by one"""
        self._pairs = np.zeros(0, np.int64)
        """identity of the pair of a detector's keys, as ``Crowd.programs``"""
        self._asking: Counter[str] = Counter()
        """how many detectors have a selector"""
        self._audiences = Audiences(series)
        self._vacant: list[int] = []
        self.work = 0
        """of all changes so far, in ``WORK_PER_CONTROL``'s measure; a function of the partition alone"""

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
        self._singly[numbers], self._pairs[numbers] = crowd.singly, crowd.programs
        for at in crowd.planned:
            self._gather_from(int(numbers[at]), crowd.detectors[at], gathered)
        self.work += work_to_try(self._ask(crowd), len(self.series))
        hashes = self.series.table["series"]
        self._attend(self._audiences.add(numbers, crowd), lambda row: int(hashes[row]))  # a restart keeps this order

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

    def _gather_from(self, number: int, detector: CompiledDetector, gathered: Mapping[str, GatheringState]) -> None:
        if detector.plan is not None and detector.source.config.enabled:
            state = gathered.get(detector.source.id, (0, 0, False, False))
            self.gatherings[number] = Gathering(detector, detector.plan, *state, notices=self._group_notices)

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
        self._drop_lanes(self.routes.lanes_of_detector(number))
        self._audiences.remove(number)
        self.keys.forget(number)
        self.models.forget(number)
        self.budgets.end(number)
        detector = self.detector(number)
        for asked in detector.asked:
            self._asking[asked] -= 1
            if not self._asking[asked]:
                del self._asking[asked]
        del self.numbers[detector.source.id]
        self.gatherings.pop(number, None)
        self.detectors[number] = None
        self.revised[number] = True
        self._vacant.append(number)
        self.work += WORK_PER_REMOVAL

    def add_series(self, rows: Sequence[int]) -> None:
        """Let every detector that wants one of these new series watch it."""
        arrival = {row: at for at, row in enumerate(rows)}
        self._attend(self._audiences.of_series(rows), arrival.__getitem__)

    def forget_idle_columns(self) -> None:
        """Free what is kept for the next change of configs, if none came since this was last called."""
        self._audiences.forget_idle()

    def _attend(self, audiences: Iterable[Audience], order: Callable[[int], int]) -> None:
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
            self._add_lanes(row, number, self.series.labels_of(row), counter=counter)

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

    def retype(self, row: int) -> None:
        """Choose anew what ``auto`` means for a series; its lanes of such detectors have no episodes any more."""
        labels = self.series.labels_of(row)
        counter = self.families.is_counter(self.series.tenant(row), labels.get(NAME_LABEL, ""))
        lanes = self.auto_lanes_of_series(row)
        numbers = {int(self.routes.lanes["detector"][lane]) for lane in lanes}
        self._drop_lanes(np.array(lanes, np.int64))
        for number in sorted(numbers):
            self._add_lanes(row, number, labels, counter=counter)

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
        self._drop_lanes(self.lanes_of_rows(rows))
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

    def _make_room(self) -> None:
        """Let all columns by number be as long as there are detectors, or longer."""
        more = len(self.detectors) - len(self._singly)
        if more > 0:
            more = max(16, more, len(self._singly))
            self._singly = np.concatenate([self._singly, np.zeros(more, np.bool_)])
            self._pairs = np.concatenate([self._pairs, np.zeros(more, np.int64)])
            self.thresholds.reserve(len(self._singly))
            self.keys.reserve(len(self._singly))

    @property
    def policies(self) -> Policies:
        """From which surprise each detector alarms, and how its episodes end; (detectors or more,)."""
        return self.thresholds.policies

    def _add_lanes(self, row: int, number: int, labels: Mapping[str, str], *, counter: bool) -> None:
        for key in self.detector(number).keys_for(labels, counter=counter):
            if isinstance(key, ProgramKey) or self._may_gather(number):
                self._add_lane(row, number, key, labels)

    def _may_gather(self, number: int) -> bool:
        gathering = self.gatherings[number]
        reached = None if gathering.overflowed else gathering.reached
        if reached is not None:
            gathering.overflow(*reached)
            self._drop_lanes(self.routes.lanes_of_detector(number))
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

    def _drop_lanes(self, lanes: Ints) -> None:
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

    @property
    def size_bytes(self) -> int:
        """Memory of routes, programs, and what is kept of labels while configs change."""
        routes = self.routes.entries.table.size_bytes + self.routes.lanes.table.size_bytes
        return routes + self.programs.size_bytes + self._audiences.size_bytes
