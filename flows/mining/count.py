"""Count: what one partition says of each step: lines per scope, and per masked line.

Time is that of the control records in the partition. A step is over once log time has passed its end by the grace;
lines that come later are counted as late and nothing else, but their patterns are learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from connectors.messages import ControlRecord, OutRecord
from connectors.status import LogsStatus, logs_key
from flows.chunks import Poison
from flows.dead_letter import dead_letter
from flows.mining.limits import MiningLimits
from flows.mining.lines import Lines, LogChunk, NewLine
from flows.mining.scope import Scope

GAP_MS = 30_000
"""Log time that passes for so long without a control record was witnessed by nobody."""
TELL_EVERY_MS = 30_000
DROPPED = "dropped_"
MAX_NEW = 20_000
"""Masked lines that wait to be told of, until the step at hand is over: they are told of again before long."""
MAX_OPEN = 512
"""Steps that are counted at the same time, the earliest of those that are met: only before log time is known, or where
a sender's clock is wrong, there may be so many."""


@dataclass(slots=True)
class StepCounts:
    """Of one step: lines and bytes per scope, lines per masked line."""

    scopes: dict[Scope, tuple[int, int]] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)


class LogPart(NamedTuple):
    """What a partition says of the steps from ``since`` up to but not including ``until``: those that it witnessed."""

    since: int
    until: int
    steps: tuple[tuple[int, StepCounts], ...]
    new: tuple[NewLine, ...]
    """masked lines met since the part before"""


class LogsTelling(NamedTuple):
    """That a partition is counted, for ``tocsin.status``."""

    log_ms: int
    lines: int
    size: int
    drops: dict[str, int]

    def record(self, topic: str, partition: int) -> OutRecord:
        """As it is written."""
        told = LogsStatus(partition=partition, log_ms=self.log_ms, lines=self.lines, bytes=self.size, drops=self.drops)
        return OutRecord(topic, logs_key(partition), told.encode(), [])


Said = LogPart | LogsTelling | OutRecord


class Counting:
    """The state of one partition."""

    def __init__(self, dead_letters: str, limits: MiningLimits) -> None:
        self.log_ms = self.told_ms = 0
        """log time, and that at which it was told of last"""
        self.next_step: int | None = None
        """the first that is not over; None before the first control record"""
        self.open: dict[int, StepCounts] = {}
        self.unseen = (0, 0)
        """the last gap of log time: the first step that lies in it, whole or in part, and the one behind the last"""
        self.new: list[NewLine] = []
        self.counts: Counter[str] = Counter()
        self._dead_letters = dead_letters
        self.limits, self._step_ms = limits, limits.step_ms

    def take(self, chunks: Iterable[LogChunk]) -> list[Said]:
        """Everything that these chunks cause."""
        out: list[Said] = []
        for chunk in chunks:
            match chunk:
                case Lines():
                    self._count(chunk)
                case ControlRecord():
                    out += self._tick(chunk.time_ms)
                case Poison():
                    self.counts[f"poison_{chunk.reason}"] += 1
                    out.append(dead_letter(self._dead_letters, chunk))
        return out

    def _count(self, lines: Lines) -> None:
        room = MAX_NEW - len(self.new)
        self.new.extend(lines.new[:room])
        self.counts["new_refused"] += max(0, len(lines.new) - room)
        self.counts["lines"] += len(lines.masked)
        self.counts["bytes"] += int(lines.sizes.sum())
        steps = lines.times_ms // self._step_ms
        distinct, n = np.unique(steps, return_counts=True)
        late = 0 if self.next_step is None else int(np.searchsorted(distinct, self.next_step))
        self.counts[f"{DROPPED}late"] += int(n[:late].sum())
        for at, step in enumerate(distinct[late:].tolist(), late):
            if step not in self.open and not self._has_room(step):  # nor is there for those that are later still
                self.counts[f"{DROPPED}no_room"] += int(n[at:].sum())
                break
            _add(self.open.setdefault(step, StepCounts()), lines, np.flatnonzero(steps == step))

    def _has_room(self, step: int) -> bool:
        """Whether another step can be counted, if need be in the place of the latest."""
        if len(self.open) < MAX_OPEN:
            return True
        latest = max(self.open)
        if step < latest:
            self._drop([latest], "no_room")
        return step < latest

    def _drop(self, steps: Iterable[int], reason: str) -> None:
        """Count no more what was counted in these steps."""
        for step in steps:
            self.counts[f"{DROPPED}{reason}"] += _lines_of(self.open.pop(step))

    def _tick(self, time_ms: int) -> Iterable[Said]:
        """The steps that are over by now, if any, and now and then that there is life."""
        if self.log_ms and time_ms - self.log_ms >= GAP_MS:
            self._see_gap(time_ms)
        self.log_ms = max(self.log_ms, time_ms)
        latest = (self.log_ms + self.limits.too_new_ms) // self._step_ms
        self._drop([step for step in self.open if step > latest], "too_new")
        if self.log_ms - self.told_ms >= TELL_EVERY_MS:
            self.told_ms = self.log_ms
            drops = {name.removeprefix(DROPPED): n for name, n in self.counts.items() if n and name.startswith(DROPPED)}
            yield LogsTelling(self.log_ms, self.counts["lines"], self.counts["bytes"], drops)
        yield from self._over()

    def _see_gap(self, time_ms: int) -> None:
        """Remember which steps a gap before this time leaves unseen; some of them will be over later."""
        begin, (before, behind) = self.log_ms // self._step_ms, self.unseen
        self.unseen = (before if begin <= behind else begin), time_ms // self._step_ms + 1

    def _over(self) -> Iterable[LogPart]:
        until = (self.log_ms - self.limits.grace_ms) // self._step_ms
        since = self.next_step
        if since is not None and until <= since:
            return
        self.next_step = until
        if since is None:  # older lines than the first step that is seen whole were met by chance
            self._drop([step for step in self.open if step < until], "late")
            since = until
        told = tuple((step, self.open.pop(step, StepCounts())) for step in sorted(self._seen(since, until)))
        new, self.new = tuple(self.new), []
        yield LogPart(since, until, told, new)

    def _seen(self, since: int, until: int) -> set[int]:
        """Steps of these that were witnessed, and those in a gap, however long, that have lines all the same."""
        begin, behind = self.unseen
        witnessed = {*range(since, min(begin, until)), *range(max(behind, since), until)}
        return witnessed | {step for step in self.open if since <= step < until}


def _add(counts: StepCounts, lines: Lines, at: np.ndarray) -> None:
    masked, n = np.unique(lines.masked[at], return_counts=True)
    for line, more in zip(masked.tolist(), n.tolist(), strict=True):
        counts.lines[line] = counts.lines.get(line, 0) + more
    places, where, n = np.unique(lines.at[at], return_inverse=True, return_counts=True)
    sizes = np.bincount(where, lines.sizes[at], len(places))
    for place, more, size in zip(places.tolist(), n.tolist(), sizes.tolist(), strict=True):
        scope = lines.scopes[place]
        had = counts.scopes.get(scope, (0, 0))
        counts.scopes[scope] = had[0] + more, had[1] + int(size)


def _lines_of(counts: StepCounts) -> int:
    return sum(n for n, _ in counts.scopes.values())
