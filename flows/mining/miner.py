"""Mine: what all partitions say of a step, to patterns and totals, and those to samples.

A step is mined when every partition has told of it, partitions in their order: so what comes out depends neither on
which is read first nor on where a stream lies. Its samples bear the time at which it was over, end and grace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from connectors.messages import OutRecord
from flows.mining.count import LogPart, StepCounts
from flows.mining.known_lines import UNKNOWN, KnownLines
from flows.mining.limits import MiningLimits
from flows.mining.lines import NewLine
from flows.mining.numbers import Numbers
from flows.mining.scope import Scope
from flows.mining.tree import Pattern, Tree

MAX_WAITING = 2048
"""Steps for which a partition is waited for: beyond, they are mined without it."""
MAX_NEW = 100_000
"""Masked lines that wait to be learned; those beyond are told of again before long."""
SWEEPS_PER_IDLE = 4


class Miner:
    """All that is known of the lines of logs."""

    def __init__(self, numbers: Numbers, partitions: int, limits: MiningLimits) -> None:
        self.limits, self.numbers = limits, numbers
        self.told: list[int | None] = [None] * partitions
        """up to which step each partition has told"""
        self.waiting: dict[int, dict[int, StepCounts]] = {}
        self.texts: dict[int, dict[tuple[int, int], tuple[NewLine, ...]]] = {}
        """masked lines that are learned before a step, by partition and by the step up to which it told of them"""
        self.next_step = 0
        self.tree = Tree()
        self.lines = KnownLines(limits.max_lines)
        self.counts: Counter[str] = Counter()
        self._full_at: int | None = None
        """the step in which no pattern could make room, so that it is not sought for each line"""

    def take(self, parts: Iterable[tuple[int, LogPart]]) -> list[OutRecord]:
        """Everything that these parts cause; each comes with its partition."""
        for partition, part in parts:
            self.told[partition] = part.until
            for step, counts in part.steps:
                if step < self.next_step:
                    self.counts["stalled"] += sum(n for n, _ in counts.scopes.values())
                else:
                    self.waiting.setdefault(step, {})[partition] = counts
            if part.new:
                self._take_new(partition, part)
        return [record for step in self._ready() for record in self._mine(step)]

    def _take_new(self, partition: int, part: LogPart) -> None:
        """Keep the new lines of a part until its step is mined, as far as there is room."""
        room = MAX_NEW - sum(len(new) for told in self.texts.values() for new in told.values())
        self.counts["new_refused"] += max(0, len(part.new) - room)
        if room > 0:
            at = self.texts.setdefault(max(part.since, self.next_step), {})
            at[partition, part.until] = part.new[:room]

    def _ready(self) -> list[int]:
        """Steps that all have told of, and those for which one was waited too long."""
        told = [until for until in self.told if until is not None]
        if not told:
            return []
        least = min(told) if len(told) == len(self.told) else 0
        until = max(least, max(told) - MAX_WAITING)
        ready = sorted(step for step in self.waiting.keys() | self.texts.keys() if step < until)
        self.next_step = max(self.next_step, until)
        return ready

    def _mine(self, step: int) -> list[OutRecord]:
        for (_, until), new in sorted(self.texts.pop(step, {}).items()):
            for line in new:
                self._learn(line, step, max(step, until - 1))
        counted = self.waiting.pop(step, None)
        if counted is None:
            return []
        for _, counts in sorted(counted.items()):
            self._add(counts, step)
        if step % (self.limits.idle_steps // SWEEPS_PER_IDLE + 1) == 0:
            self.lines.forget_before(step - self.limits.idle_steps)
        self.counts["steps"] += 1
        return self.numbers.tell(step, self.tree)

    def _learn(self, new: NewLine, step: int, told: int) -> None:
        """Find the pattern of a masked line, or have one born of it: in the step with which it was told of.

        That is a later one behind a gap of log time, of whose both ends a partition tells at once.
        """
        if self.lines.find(new.line, step) != UNKNOWN:
            return
        pattern, born = self.tree.learn(new.scope, new.text, step)
        pattern.seen = step  # of those that make room it is none
        if born and not self._has_room(step):
            self.tree.forget(pattern.number)
            self.counts["patterns_refused"] += 1
            self.lines.add(new.line, UNKNOWN, step)
            return
        self.lines.add(new.line, pattern.number, step)
        if born:
            pattern.born = told
            self.numbers.born(pattern, told)
            self.counts["births"] += 1

    def _has_room(self, step: int) -> bool:
        """Whether the patterns are no more than there may be, if need be by forgetting some."""
        if len(self.tree.patterns) > self.limits.max_patterns and self._full_at != step:
            self._make_room(step)
        full = len(self.tree.patterns) > self.limits.max_patterns
        self._full_at = step if full else None
        return not full

    def _make_room(self, step: int) -> None:
        """Forget a tenth of the patterns: of those that are idle the ones longest so."""
        idle = [one for one in self.tree if one.seen < step - self.limits.idle_steps]
        idle.sort(key=lambda one: (one.seen, one.number))
        gone = idle[: self.limits.max_patterns // 10 + 1]
        for pattern in gone:
            self.tree.forget(pattern.number)
            self.numbers.forget(pattern)
        self.lines.forget_patterns({pattern.number for pattern in gone})
        self.counts["patterns_forgotten"] += len(gone)

    def _add(self, counts: StepCounts, step: int) -> None:
        for scope, (n, size) in counts.scopes.items():
            self._add_scope(scope, n, size, step)
        for line, n in counts.lines.items():
            pattern = self._pattern(line, step)
            if pattern is None:
                self.counts["lines_unmined"] += n
            else:
                pattern.lines += n
                pattern.seen = step

    def _pattern(self, line: int, step: int) -> Pattern | None:
        number = self.lines.find(line, step)
        return None if number == UNKNOWN else self.tree.patterns[number]

    def _add_scope(self, scope: Scope, n: int, size: int, step: int) -> None:
        if not self.numbers.add(scope, n, size, step):
            self.counts["scopes_refused"] += 1
