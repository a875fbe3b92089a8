"""Judge the groups of one detector: parts of all partitions, step by step, to values, verdicts and episodes.

A step is judged when every partition has said its part of it, so what comes out does not depend on which partition is
read first. Each group is a series of a block of its own, so that kernels, episodes, reports and snapshots are those of
every other signal. While partitions run different incarnations of the detector (see ``Part``), a step is a gap.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from connectors.anomaly import ClosedBy
from connectors.catalogue import Topics
from connectors.detector import Aggregate, Detector, Shape
from connectors.messages import OutRecord
from connectors.training import PartState
from flows.block import Block
from flows.config import compile_config, compile_merged
from flows.gathering import MAX_GROUPS
from flows.group import GroupPlan
from flows.learned import Learned
from flows.limits import BlockLimits
from flows.pace import Pace
from flows.partial import Part, merge_portions
from flows.peers import has_entities, with_entities
from flows.step import samples_of, ticks
from flows.teller import Teller, Telling
from flows.validator import ConfigError
from flows.warm_groups import WarmGroups

MAX_QUEUED = 2048
"""Parts of one partition that wait for the others: 8 hours of steps of 15 s. Beyond, the oldest is a gap."""
MAX_MERGED_GROUPS = 4 * MAX_GROUPS
"""Groups of one detector; more are counted, not judged."""
MAX_LEARNED = 4
"""Trainings whose outcome waits for its step, a moment as a rule: as many as run on a partition."""
IDLE_STEPS = 8


class Running(NamedTuple):
    """The incarnation that is judged, with its block."""

    incarnation: int
    revision: int
    plan: GroupPlan
    block: Block


class Merge:
    """What is known of one detector's groups."""

    def __init__(self, topics: Topics, limits: BlockLimits, partitions: int, pace: Pace | None = None) -> None:
        self.pace = pace
        """of what is told of the detector (``flows.teller``)"""
        self.topics, self.limits = topics, replace(limits, max_series=MAX_MERGED_GROUPS, max_keys=MAX_MERGED_GROUPS)
        self.queues: list[deque[Part]] = [deque() for _ in range(partitions)]
        self.learned: deque[Learned] = deque()
        """what is to be put to use at its step"""
        self.running: Running | None = None
        self.counts: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        """what the blocks of former incarnations counted"""
        self.untold: list[OutRecord] = []
        """what goes out with the next parts"""

    def take(self, parts: Iterable[tuple[int, Part | Learned]]) -> list[OutRecord]:
        """Everything that these parts cause; each comes with its partition."""
        for partition, part in parts:
            if isinstance(part, Learned):
                self.learned.append(part)
                if len(self.learned) > MAX_LEARNED:
                    too_many = f"more than {MAX_LEARNED} trainings wait for a step of its groups"
                    self.untold.append(self._unlearned(self.learned.popleft(), too_many))
                continue
            queue = self.queues[partition]
            queue.append(part)
            if len(queue) > MAX_QUEUED:
                self._gap(queue.popleft(), "queue")
        out, self.untold = self.untold, []
        while self._put_to_use(out) or self._advance(out):
            pass
        return out

    @property
    def over(self) -> bool:
        """Whether every partition has said that the detector is gone."""
        return all(len(queue) == 1 and queue[0].ended for queue in self.queues)

    def new_block(self, plan: GroupPlan) -> Block:
        """An empty block whose series are groups; one that has no value for some steps is not given up yet."""
        idle_s = max(self.limits.idle_s, IDLE_STEPS * plan.step_ms // 1000)
        block = Block(self.topics, replace(self.limits, idle_s=idle_s), _no_revisions, compile_merged)
        block.teller = Teller(self.counts, self.pace)
        return block

    def _put_to_use(self, out: list[OutRecord]) -> bool:
        """Let the groups know what was learned, once the steps before it are settled; whether there was any."""
        for learned in self.learned:
            queue = self.queues[learned.report.partition]
            over = bool(queue) and _rank(queue[0]) > 2 * learned.incarnation
            if not queue or over or queue[0].first > learned.until:
                self.learned.remove(learned)
                gone = over if self.running is None else self.running.incarnation != learned.incarnation
                reason = "the detector computes something else by now, or is gone: train it again" if gone else ""
                out.append(self._unlearned(learned, reason) if reason else self._learn(learned, out))
                return True
        return False

    def _learn(self, learned: Learned, out: list[OutRecord]) -> OutRecord:
        try:
            running = self.running or self._begin(learned.detector, learned.incarnation)
            warm = WarmGroups(running.block, learned.detector, running.plan, MAX_MERGED_GROUPS, learned.memory)
        except ConfigError as error:
            return self._unlearned(learned, f"this version of Tocsin refuses the detector: {error}")
        block, shape = running.block, running.block.narration.signal[0] if running.block.narration.signal else None
        if None not in (shape, learned.signal) and shape is not learned.signal:
            reason = f"members are {shape} live and were {learned.signal} in the history: state the detector's shape"
            return self._unlearned(learned, reason)
        if not block.log_ms:
            out += block.take(ticks(block, running.plan.step_ms, learned.until * running.plan.step_ms))
        out += block.take([warm.unmet(MAX_MERGED_GROUPS)])
        self.counts["trainings_done"] += 1
        return learned.ended(self.topics.status, PartState.DONE, replaced=warm.put_to_use())

    def _unlearned(self, learned: Learned, reason: str) -> OutRecord:
        self.counts["trainings_failed"] += 1
        return learned.ended(self.topics.status, PartState.FAILED, reason)

    def _advance(self, out: list[OutRecord]) -> bool:
        """Settle one step, or one part that no other partition will match; whether there was one."""
        for queue in self.queues:
            while len(queue) > 1 and queue[0].ended:
                queue.popleft()
        heads = [queue[0] for queue in self.queues if queue]
        newest = max(map(_rank, heads), default=0)
        if self.running is not None and newest > 2 * self.running.incarnation:
            self._end(self.running, out)
        left_behind = [queue for queue in self.queues if queue and not queue[0].ended and _rank(queue[0]) < newest]
        for queue in left_behind:
            self._gap(queue.popleft(), "revision")
        if left_behind:
            return True
        if len(heads) < len(self.queues) or any(head.ended for head in heads):
            return False
        self._step(heads, out)
        return True

    def _step(self, heads: list[Part], out: list[OutRecord]) -> None:
        """Settle the steps up to the next one of which any partition has more to say than that it is empty."""
        first = min(head.first for head in heads)
        here = [head for head in heads if head.first == first]
        later = [head.first - 1 for head in heads if head.first > first]
        step = min([*(head.until for head in here), *later])
        if later:
            self.counts["gaps_begin"] += step - first + 1
        elif any(head.overflowed for head in heads):
            self.counts["gaps_overflow"] += step - first + 1
        else:
            self._judge(step, heads, out)
        for queue in self.queues:
            if queue[0].until == step:
                queue.popleft()
            elif queue[0].first <= step:
                queue[0] = queue[0]._replace(first=step + 1)

    def _judge(self, step: int, heads: list[Part], out: list[OutRecord]) -> None:
        running = self._run(heads)
        plan, block = running.plan, running.block
        portions = [portion for head in heads if head.until == step for portion in head.portions]
        shapes = {portion.shape for portion in portions}
        if shapes or block.narration.signal is None:
            mixed = plan.group.aggregate is Aggregate.MEMBERS and len(shapes) > 1  # no one shape is true of all
            shape = Shape.RAW if mixed else min(shapes - {Shape.RAW}, default=Shape.RAW)
            block.narration.signal = (shape, plan.expression(shape))
        time_ms = step * plan.step_ms
        merged = merge_portions(plan.group, portions)
        if has_entities(heads[0].detector.config):
            merged = with_entities(merged, plan.group)
        leaders = [leader for head in heads if head.until == step for leader in head.leaders]
        if block.rules or any(head.rules for head in heads):
            block.rules.replace(one for head in heads for one in head.rules)
        block.narration.contributors.take(time_ms, plan.group.aggregate, leaders)
        out += block.take(ticks(block, plan.step_ms, time_ms))
        out += block.take([samples_of(merged, heads[0].detector.config.tenant, time_ms)])
        self.counts["steps"] += 1
        self.counts["groups"] += len(merged.labels)

    def _run(self, heads: list[Part]) -> Running:
        """The incarnation of the heads, under the latest revision that any of them knows."""
        detector = max((head.detector for head in heads), key=lambda detector: detector.revision)
        running = self.running
        if running is not None and running.revision >= detector.revision:
            return running
        return self._begin(detector, heads[0].incarnation)

    def _begin(self, detector: Detector, incarnation: int) -> Running:
        """Run a revision of the detector from now on; raises ``ConfigError``."""
        compiled, running = compile_config(detector), self.running
        if compiled.plan is None:
            message = f"detector {detector.id}: parts of a detector that has no group"
            raise ValueError(message)
        if running is None:
            block = self.new_block(compiled.plan)
            block.watch.add_detectors([compiled.merged()])
        else:
            block = running.block
            block.watch.swap_detector(compiled.merged())
        block.revisions.put(compiled.merged())
        self.running = Running(incarnation, detector.revision, compiled.plan, block)
        return self.running

    def _end(self, running: Running, out: list[OutRecord]) -> None:
        """Another incarnation has begun, or none: what is open ends."""
        out += running.block.close_all(ClosedBy.DETECTOR)
        self._keep_counts(running.block)
        self.running = None

    def _gap(self, part: Part, reason: str) -> None:
        if not part.ended:
            self.counts[f"gaps_{reason}"] += part.until - part.first + 1

    def forget(self, block: Block) -> None:
        """A detector can run no more that a snapshot had: what its block has yet to say ends its episodes."""
        self.untold += block.take([])
        self._keep_counts(block)

    def tellings(self) -> list[Telling]:
        """How the groups do, as far as it is to be told since the last call."""
        if self.over:
            return [Telling(self.queues[0][0].detector.id, 0, None)]
        return self.running.block.tellings() if self.running is not None else []

    def _keep_counts(self, block: Block) -> None:
        self.ended.update(block.counts)

    def block_counts(self) -> Counter[str]:
        """What the blocks of all incarnations counted; also for other threads, so nothing that changes is walked."""
        counted, running = self.ended.copy(), self.running
        if running is not None:
            counted.update(running.block.counts.copy())
        return counted

    @property
    def size_bytes(self) -> int:
        """Memory of the block."""
        return self.running.block.size_bytes if self.running is not None else 0


def _rank(part: Part) -> int:
    """Order of what a partition says: an incarnation, its end, the next one."""
    return 2 * part.incarnation + part.ended


def _no_revisions(_start: int, _end: int) -> Sequence[None]:
    return ()
