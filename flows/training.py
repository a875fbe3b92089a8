"""Trainings of one partition: history that comes in its log is learned beside the live block and put to use at an end.

All of it is a function of the log: what was learned so far is in the snapshot, and time is that of control records. An
end mark says how many records there were; if others came, the live rows stay as they are. So they do when the detector
computes something else by then, is stopped or gone, or when nothing comes for ``ABANDONED_MS``. An end waits for the
revision that is to learn, if the partition has not come so far.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connectors.detector import Detector, Shape
from connectors.messages import ControlRecord, OutRecord
from connectors.training import PartState, TrainingBegin, TrainingCancel, TrainingEnd, TrainingPart
from flows.block import Block
from flows.chunks import Chunk, Lesson, Samples
from flows.config import CompiledDetector
from flows.learned import Learned
from flows.validator import ConfigError
from flows.warm_groups import begin_warm
from flows.warm_start import WarmStart
from flows.work import WORK_PER_MET

MAX_TRAININGS = 4
"""At a time on one partition: each holds as much as the live rows of its detector."""
MAX_SERIES = 10_000
"""Of one training on one partition."""
MAX_SNAPSHOT_BYTES = 40_000_000
"""Of all trainings on one partition: a snapshot, which holds up live samples, takes 0.1 to 0.2 s longer with it. So
much take 10,000 series of ``seasonal``, the largest usual kind."""
MAX_SAMPLES = 50_000_000
"""Of one training on one partition: a minute of work, of which it holds the outcome only."""
ABANDONED_MS = 300_000
"""Log time without a record of it, after which a training is given up."""


@dataclass
class Training:
    """What one training has come to on this partition."""

    id: str
    partition: int
    warm: WarmStart
    touched_ms: int
    """log time of its latest record"""
    records: int = 0
    samples: int = 0
    ahead: int = 0
    signal: Shape | None = None
    """of groups: what their members were turned into in the history, if that was said"""
    met: bool = False
    """whether the detector was there, or a later revision of it that computes the same"""
    ended: bool = False
    """whether all has come, and the detector is waited for"""

    def report(self, state: PartState, log_ms: int, reason: str = "", replaced: int = 0) -> TrainingPart:
        """What is to be said of it now."""
        return TrainingPart(
            training_id=self.id, detector_id=self.warm.source.id, partition=self.partition, state=state, reason=reason,
            records=self.records, samples=self.samples, ahead=self.ahead, series=self.warm.series, replaced=replaced,
            time_ms=max(0, log_ms),
        )  # fmt: skip


class Trainings:
    """A block with the trainings that stand beside it."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.running: dict[str, Training] = {}
        self._untold: list[OutRecord] = []
        """what goes out with the next chunks"""

    def take(self, chunks: Iterable[Chunk]) -> list[OutRecord]:
        """Everything that these chunks cause, in their order."""
        out, self._untold = self._untold, []
        for lessons, run in itertools.groupby(chunks, lambda chunk: isinstance(chunk, Lesson)):
            for one in run if lessons or self.running else [list(run)]:
                if isinstance(one, Lesson):
                    self._learn(one, out)
                else:
                    taken = one if isinstance(one, list) else [one]
                    out += self.block.take(taken)
                    if isinstance(taken[-1], ControlRecord):
                        self._control(out)
        return out

    def _learn(self, lesson: Lesson, out: list[OutRecord]) -> None:
        training = self.running.get(lesson.training)
        if training is not None:
            training.touched_ms = self.block.log_ms
        match lesson.brings:
            case TrainingBegin():
                if training is None and lesson.brings.again:
                    self.block.counts["training_records_unknown"] += 1
                elif training is None:
                    self._begin(lesson, lesson.brings, out)
            case Samples():
                if training is None:
                    self.block.counts["training_records_unknown"] += 1  # it was refused, given up or cancelled
                else:
                    self._history(training, lesson.brings, out)
            case TrainingEnd():
                if training is not None:
                    self._end(training, lesson.brings, out)
            case TrainingCancel():
                if training is not None:
                    self._finish(training, PartState.CANCELLED, out, lesson.brings.reason)

    def _begin(self, lesson: Lesson, begin: TrainingBegin, out: list[OutRecord]) -> None:
        detector = begin.detector
        refusal = self._refusal(detector)
        if refusal:
            out.append(self._refused(lesson.training, detector.id, lesson.partition, refusal))
            return
        warm = begin_warm(self.block, detector, MAX_SERIES)
        training = Training(lesson.training, lesson.partition, warm, self.block.log_ms, signal=begin.signal)
        self.running[training.id] = training
        self._tell(training, out)
        self._settle(training, out)

    def _refused(self, training_id: str, detector_id: str, partition: int, reason: str) -> OutRecord:
        self.block.counts["trainings_refused"] += 1
        part = TrainingPart(
            training_id=training_id, detector_id=detector_id, partition=partition, state=PartState.FAILED,
            reason=reason, time_ms=max(0, self.block.log_ms),
        )  # fmt: skip
        return self._record(part)

    def forget(self, training_id: str, detector_id: str, partition: int, error: ConfigError) -> None:
        """Of a training in a snapshot whose detector this version refuses; it is told with the next chunks."""
        reason = f"this version of Tocsin refuses the detector: {error}"
        self._untold.append(self._refused(training_id, detector_id, partition, reason))

    def _refusal(self, detector: Detector) -> str:
        """Why a training cannot begin here; else empty."""
        if not self.block.log_ms:
            return "no control record has told this partition the time yet: try again"
        if len(self.running) >= MAX_TRAININGS:
            return f"{MAX_TRAININGS} trainings run on this partition, the most that there may be: try again later"
        try:
            self.block.compile(detector)
        except ConfigError as error:
            return str(error)
        return ""

    def _history(self, training: Training, samples: Samples, out: list[OutRecord]) -> None:
        training.records += 1
        training.samples += len(samples.times_ms)
        training.ahead += len(samples.times_ms) - training.warm.take(samples)
        self.block.counts["trained_samples"] += len(samples.times_ms)
        if training.warm.refused:
            reason = f"more than {MAX_SERIES} series on a partition, or more labels than it may hold"
            self._finish(training, PartState.FAILED, out, f"{reason}: narrow the detector's selector")
        elif training.samples > MAX_SAMPLES:
            reason = f"more than {MAX_SAMPLES} samples on a partition: send less history, or a longer step"
            self._finish(training, PartState.FAILED, out, reason)
        elif sum(one.warm.snapshot_bytes for one in self) > MAX_SNAPSHOT_BYTES:
            reason = (
                f"what trainings have learned on a partition would take more than {MAX_SNAPSHOT_BYTES} bytes in a "
                "snapshot: train it again when others have ended, or narrow the detector's selector"
            )
            self._finish(training, PartState.FAILED, out, reason)
        else:
            self._tell(training, out)

    def _end(self, training: Training, end: TrainingEnd, out: list[OutRecord]) -> None:
        if (training.records, training.samples) != (end.records, end.samples):
            reason = (
                f"interrupted: {training.records} of {end.records} records came with {training.samples} of "
                f"{end.samples} samples; what was learned before stays"
            )
            self._finish(training, PartState.FAILED, out, reason)
            return
        training.ended = True
        self._settle(training, out)

    # what happens with the detector meanwhile

    def _control(self, out: list[OutRecord]) -> None:
        for training in list(self.running.values()):
            self._settle(training, out)
            idle_ms = self.block.log_ms - training.touched_ms
            if training.id in self.running and idle_ms > ABANDONED_MS:
                reason = f"given up: nothing came for {ABANDONED_MS // 1000} s, and no end"
                if training.ended:
                    reason = f"given up: revision {training.warm.source.revision} of the detector has not come"
                self._finish(training, PartState.FAILED, out, reason)

    def _settle(self, training: Training, out: list[OutRecord]) -> None:
        """Put to use what has ended, or give up what nobody wants any more."""
        source = training.warm.source
        live = self.block.revisions.compiled.get(source.id)
        if live is None or live.source.revision < source.revision:
            if training.met:
                self._finish(training, PartState.FAILED, out, "the detector was deleted meanwhile")
            return
        reason = self._lost(live, training)
        if reason:
            self._finish(training, PartState.FAILED, out, reason)
            return
        training.met = True
        if training.ended and live.plan is not None:
            self._hand_over(training)
        elif training.ended and self._has_met_all(training, out):
            replaced = training.warm.put_to_use()
            self._finish(training, PartState.DONE, out, replaced=replaced)

    def _hand_over(self, training: Training) -> None:
        """Groups are judged elsewhere: what they learned takes its place behind the steps told so far."""
        watch = self.block.watch
        gathering = watch.gatherings[watch.numbers[training.warm.source.id]]
        report = training.report(PartState.LEARNING, self.block.log_ms)
        del self.running[training.id]
        self.block.counts["trainings_handed_over"] += 1
        source, memory = training.warm.source, training.warm.save()
        self.block.end_gathered(
            Learned(source, gathering.incarnation, gathering.next_step - 1, training.signal, report, memory)
        )

    def _has_met_all(self, training: Training, out: list[OutRecord]) -> bool:
        """Let the block meet series of the history, no more at a time than live samples can wait for."""
        most = max(1, self.block.limits.max_work // WORK_PER_MET)
        before = len(self.block.series)
        out += self.block.take([training.warm.unmet(most)])
        whole = len(self.block.series) - before < most  # or it has no room for more
        if not whole:
            training.touched_ms = self.block.log_ms  # it goes on, and nobody has to say so
        return whole

    def _lost(self, live: CompiledDetector, training: Training) -> str:
        """Why a detector as it stands cannot use what is learned; else empty."""
        if not live.source.config.enabled:
            return f"the detector is stopped since revision {live.source.revision}"
        if live.computes != training.warm.compiled.computes:
            return (
                f"revision {live.source.revision} of the detector computes something else than revision "
                f"{training.warm.source.revision}, which was to learn: train it again"
            )
        return ""

    def _finish(
        self, training: Training, state: PartState, out: list[OutRecord], reason: str = "", replaced: int = 0
    ) -> None:
        del self.running[training.id]
        self.block.counts[f"trainings_{state}"] += 1
        out.append(self._record(training.report(state, self.block.log_ms, reason, replaced)))

    def _tell(self, training: Training, out: list[OutRecord]) -> None:
        out.append(self._record(training.report(PartState.LEARNING, self.block.log_ms)))

    def _record(self, part: TrainingPart) -> OutRecord:
        return OutRecord(self.block.topics.status, part.key, part.encode(), [])

    def __iter__(self) -> Iterator[Training]:
        return iter(list(self.running.values()))

    @property
    def size_bytes(self) -> int:
        """Memory of all that is being learned."""
        return sum(training.warm.size_bytes for training in self)
