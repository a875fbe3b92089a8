"""The state of one Kafka partition, and what chunks do to it. Its output is a function of the partition alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.anomaly import ClosedBy
from connectors.catalogue import Topics
from connectors.messages import ControlRecord, OutRecord
from flows.chunks import Chunk, Histograms, Poison, ReadFeedback, ReadRevisions, Samples, Types
from flows.config import Compile, compile_config
from flows.configuration import Configuration
from flows.dead_letter import dead_letter
from flows.detectors.base import Floats, Ints
from flows.episode import CLOSED
from flows.episodes import EpisodeTable, Lanes
from flows.gather import Gather
from flows.intake import Intake
from flows.labels_archive import LabelsArchive
from flows.learned import Learned
from flows.limits import BlockLimits
from flows.narration import Narration
from flows.partial import Part
from flows.program import Judged, Program, unlimited
from flows.readiness import Counted, readiness_of
from flows.report import Watched
from flows.revisions import DetectorTable
from flows.routes import sort_by_program
from flows.rules import Rules
from flows.series import SeriesTable
from flows.teller import Teller, Telling
from flows.trials import Trials
from flows.watch import Watch
from flows.work import WORK_PER_SERIES

EVER_WORK = math.inf


class Block:
    """Series, detectors and episodes of one partition."""

    def __init__(
        self,
        topics: Topics,
        limits: BlockLimits,
        read_revisions: ReadRevisions,
        compiled: Compile = compile_config,
        read_feedback: ReadFeedback = lambda _start, _end: (),
    ) -> None:
        self.topics, self.limits, self.compile = topics, limits, compiled
        self.series = SeriesTable()
        self.archive = LabelsArchive()
        self.watch = Watch(self.series, limits.max_models, limits.max_keys)
        self.episodes = EpisodeTable(limits.max_episodes)
        self.trials = Trials(limits.max_episodes)
        self.log_ms = 0
        self.feedback_offset = 0
        self.read_feedback = read_feedback
        self.rules = Rules()
        self.swept_s = 0
        self.counts: Counter[str] = Counter()
        self.intake = Intake(self.series, self.archive, self.watch, limits, self.counts)
        self.configuration = Configuration(self.watch, read_revisions, compiled, self.counts, self._remove_detector)
        self.narration = Narration(topics.anomalies, self.series, self.watch, self.rules, self.counts, self._opened)
        self.readiness = Counted()
        """what detectors still need, as of the last sweep"""
        self.teller: Teller | None = None
        """tells how detectors do, in a flow"""
        self._parts: list[Part | Learned] = []
        self._untold: list[OutRecord] = []
        """what goes out with the next chunks"""

    def take(self, chunks: Iterable[Chunk]) -> list[OutRecord]:
        """Everything that these chunks cause."""
        out, self._untold = self._untold, []
        for chunk in chunks:
            match chunk:
                case Samples():
                    self._judge(chunk, out)
                case Histograms():
                    self._gather_histograms(chunk)
                case Types():
                    self._learn_types(chunk, out)
                case ControlRecord():
                    self._control(chunk, out)
                case Poison():
                    self.counts[f"poison_{chunk.reason}"] += 1
                    out.append(dead_letter(self.topics.dead_letter, chunk))
        return out

    # samples

    def _judge(self, samples: Samples, out: list[OutRecord]) -> None:
        self.intake.meet(samples.new, self.log_ms)
        self.counts["samples"] += len(samples.series)
        self.counts["histograms"] += samples.histograms
        rows, kept, steps_s = self.intake.admit(samples.series, samples.times_ms, samples.values, self.log_ms)
        if len(kept) < len(rows):
            samples, rows = samples.part(kept), rows[kept]
        self._step(samples, rows, steps_s, out)

    def _gather_histograms(self, found: Histograms) -> None:
        self.intake.meet(found.new, self.log_ms)
        rows, kept, _ = self.intake.admit(found.series, found.times_ms, np.zeros(len(found.series)), self.log_ms)
        entries, programs = self.watch.routes.entries, self.watch.programs
        for at in kept.tolist():
            for entry in self.watch.routes.entries_of(int(self.series.table["head"][rows[at]])):
                program = programs[int(entries["program"][entry])]
                if isinstance(program, Gather):
                    slot, time_ms = int(entries["slot"][entry]), int(found.times_ms[at])
                    self.counts["late"] += program.collect_histogram(slot, time_ms, found.raws[at])

    def _learn_types(self, types: Types, out: list[OutRecord]) -> None:
        """Take in types of families; series that turn out to be something else are judged anew."""
        watch = self.watch
        for row in watch.rows_that_turn(types.tenant, types.families):
            lanes = np.array(watch.auto_lanes_of_series(row), np.int64)
            if len(lanes):
                self._close_lanes(lanes, ClosedBy.DETECTOR, out)
                watch.retype(row)

    def _step(self, samples: Samples, rows: Ints, steps_s: NDArray[np.float32], out: list[OutRecord]) -> None:
        watch, entries = self.watch, self.watch.routes.entries
        starts, picked, found = sort_by_program(
            rows, self.series.table["head"], entries["program"], entries["next"], len(watch.programs)
        )
        lanes = watch.lanes()
        for number, program in enumerate(watch.programs):
            span = slice(starts[number], starts[number + 1])
            at, here = picked[span], found[span]
            if program is None or not len(at):
                continue
            times_ms, values = samples.times_ms[at], samples.values[at]
            starts_ms = None if samples.starts_ms is None else samples.starts_ms[at]
            slots = entries["slot"][here].astype(np.int64)
            if isinstance(program, Gather):
                self.counts["late"] += program.collect(slots, times_ms, values, starts_ms)
                continue
            judged = program.step(slots, times_ms, values, starts_ms)
            self.counts["judged"] += len(at)
            self.follow(lanes, here, times_ms, judged, steps_s[at], out)

    def follow(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, judged: Judged, steps_s: NDArray[np.float32],
        out: list[OutRecord],
    ) -> None:  # fmt: skip
        """Report: verdicts on ``n`` signals to events. A backtest (``flows.replay``) looks on here."""
        if self.teller is not None:
            self.teller.hear(self.watch, entries, times_ms, judged)
        if self.watch.budgets:
            self._try(lanes, entries, times_ms, judged.scored.score, steps_s)
        self.narration.tell(self.episodes.take(lanes, entries, times_ms, *judged, steps_s, self.log_ms), out)

    def _try(self, lanes: Lanes, entries: Ints, times_ms: Ints, score: Floats, steps_s: NDArray[np.float32]) -> None:
        """Let budgets see what other thresholds would have told."""
        counts = self.watch.budgets.table
        lane_trial = self.watch.routes.lanes["trial"]
        self.trials.take(lanes, lane_trial, entries, times_ms, score, steps_s, counts["present"], counts["judged"])

    def _opened(self, number: int) -> None:
        self.watch.budgets.opened(number)
        if self.teller is not None:
            self.teller.opened(number, self.log_ms)

    # log time and configuration

    def _control(self, control: ControlRecord, out: list[OutRecord]) -> None:
        work: float = self.limits.max_work
        if not self.log_ms:
            self.swept_s = control.time_ms // 1000
            self.intake.begin(control.time_ms)
            work = EVER_WORK  # nothing is judged yet that could be held up
        self.log_ms = max(self.log_ms, control.time_ms)
        for gathering in self.watch.gatherings.values():
            closed = gathering.close(self.log_ms)
            ruled = (part._replace(rules=self.rules.of(part.detector.id)) for part in closed)
            self._parts += ruled if self.rules else closed
        configuration = self.configuration
        before = configuration.offset
        begins = before == configuration.announced
        configuration.announced = max(configuration.announced, control.detectors_offset)
        configuration.apply(work - WORK_PER_SERIES * len(self.series) if begins else work, self.log_ms, out)
        if configuration.offset != before:
            self.episodes.look_anew()
        self._heed(control.feedback_offset)
        self._listen(out)
        for state in self.episodes.calm(self.watch.lanes(), self.log_ms):
            self.narration.record(state, CLOSED, ClosedBy.QUIET, out)
        self._sweep(out)
        self.episodes.count()
        self.watch.thresholds.share_chance(control.partitions)
        self._spend(control.partitions)
        self._tell_status(control.partitions)

    def _heed(self, announced: int) -> None:
        """Apply the feedback that is announced, and forget rules whose time is over."""
        if announced > self.feedback_offset:
            for record in self.read_feedback(self.feedback_offset, announced):
                outcome = self.rules.apply(record)
                if outcome is not None:
                    self.counts[f"rules_{outcome}"] += 1
            self.feedback_offset = announced
        if self.rules:
            self.rules.expire(self.log_ms)

    def _tell_status(self, partitions: int) -> None:
        if self.teller is not None:
            self.teller.tell(self.watch, self.episodes, self.log_ms, partitions)
            if self.teller.of_partition:
                self.teller.tell_partition(self.log_ms, self._sign_of_life)

    @property
    def revisions(self) -> DetectorTable:
        """Its detectors as they stand."""
        return self.configuration.revisions

    def tellings(self) -> list[Telling]:
        """What is to be told of its detectors and itself since the last call."""
        return self.teller.take() if self.teller is not None else []

    def _sign_of_life(self) -> dict[str, Any]:
        """What a partition tells of itself, but for its number and time."""
        return {
            "detectors_offset": self.configuration.offset,
            "detectors": len(self.watch.numbers),
            "series": len(self.series),
            "lanes": len(self.watch.routes.lanes),
            "samples": self.counts["samples"],
            "judged": self.counts["judged"],
            "drops": {reason: n for reason, n in (self.intake.drops() | {"late": self.counts["late"]}).items() if n},
        }

    def _spend(self, partitions: int) -> None:
        """Let budgets set their thresholds for the samples to come."""
        if self.watch.budgets.due(self.log_ms):
            lanes = self.watch.routes.lanes
            self.trials.settle(lanes["trial"], lanes["detector"], self.log_ms)
            self.watch.budgets.decide(self.log_ms, partitions, self.watch.policies)

    def _listen(self, out: list[OutRecord]) -> None:
        """Judge silence at this log time."""
        programs = self.watch.programs
        silent = [n for n, program in enumerate(programs) if isinstance(program, Program) and program.silent]
        for number, entries in programs.entries_of(silent) if silent else ():
            program = programs[number]
            assert isinstance(program, Program)  # noqa: S101 - as all of them
            slots = self.watch.routes.entries["slot"][entries].astype(np.int64)
            at, silence_s, scored = program.advance(slots, self.log_ms)
            times_ms = np.full(len(at), self.log_ms)
            steps_s = self.series.table["step_s"][self.watch.routes.entries["row"][entries[at]]]
            judged = Judged(silence_s, scored, unlimited(len(at)))
            self.follow(self.watch.lanes(), entries[at], times_ms, judged, steps_s, out)

    def _remove_detector(self, number: int, out: list[OutRecord]) -> None:
        self._close_lanes(self.watch.routes.lanes_of_detector(number), ClosedBy.DETECTOR, out)
        if number in self.watch.gatherings:
            self._parts.append(self.watch.gatherings[number].end())
        self.watch.remove_detector(number)

    def _sweep(self, out: list[OutRecord]) -> None:
        """Once a minute of log time, give back the rows of series that went away."""
        log_s = self.log_ms // 1000
        if log_s - self.swept_s < 60:
            return
        self.swept_s = log_s
        self.watch.forget_idle_columns()
        self.count_readiness()
        self.watch.programs.take_notes()
        idle = self.series.idle(log_s - self.limits.idle_s)
        if idle:
            self._forget_series(idle, out)

    def count_readiness(self) -> None:
        """Count what detectors still need."""
        self.readiness = readiness_of(self.watch)

    def _forget_series(self, rows: Sequence[int], out: list[OutRecord]) -> None:
        column = np.array(rows, np.int64)
        self._close_lanes(self.watch.lanes_of_rows(column), ClosedBy.SERIES_GONE, out)
        self.watch.remove_series(column)
        for row in rows:
            self.archive.changed(row)
            self.series.remove(row)
        self.counts["series_gone"] += len(rows)

    def _close_lanes(self, lanes: Ints, closed_by: ClosedBy, out: list[OutRecord]) -> None:
        rows = self.watch.routes.lanes["episode"][lanes]
        self._close(rows[rows >= 0].astype(np.int64), closed_by, out)

    def _close(self, rows: Ints, closed_by: ClosedBy, out: list[OutRecord]) -> None:
        if len(rows):
            closed = self.episodes.end(rows, self.watch.routes.lanes["episode"])
            for state in closed:
                self.narration.record(state, CLOSED, closed_by, out)

    def close_all(self, closed_by: ClosedBy) -> list[OutRecord]:
        """End all open episodes."""
        out: list[OutRecord] = []
        self._close(np.flatnonzero(self.episodes.open["lane"] >= 0), closed_by, out)
        return out

    def end_forgotten(self, watched: Watched, state: Any) -> None:
        """Tell, with the next chunks, the end of an episode that a snapshot had and this block has not."""
        self.narration.end_forgotten(watched, state, self._untold)

    def end_gathered(self, part: Part | Learned) -> None:
        """Say that no more will come of groups that a snapshot had and this block has not; or what groups learned."""
        self._parts.append(part)

    def parts(self) -> list[Part | Learned]:
        """What this partition has said of groups since the last call, for the step that merges partitions."""
        parts, self._parts = self._parts, []
        return parts

    # memory

    @property
    def size_bytes(self) -> int:
        """Memory of everything that grows with the series."""
        return (
            self.series.size_bytes
            + self.watch.size_bytes
            + self.episodes.open.nbytes
            + self.trials.table.size_bytes
            + self.archive.size_bytes
            + (0 if self.teller is None else self.teller.naming.heard.size_bytes)
        )
