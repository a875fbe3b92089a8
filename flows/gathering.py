"""When the steps of one detector's groups are told on a partition, and the bounds of what it gathers there.

Once log time has passed the end of a step and the grace, what waits for it is absorbed (``flows.gather``), and the step
is told: one ``Part`` per detector, empty where the partition has no member with a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flows.config import CompiledDetector, GatherKey
from flows.gather import Gather
from flows.group import GroupPlan
from flows.notices import Notices
from flows.partial import Leader, Part, Portion, ending
from flows.shape.rate import MAX_GAP_MS

MAX_MEMBERS = 200_000
"""Members of one detector on one partition."""
MAX_GROUPS = 10_000
"""Groups of one detector on one partition, a classic histogram's buckets counted one by one."""
MAX_WAITING = 2_000_000
"""Samples of one detector that wait on one partition for their step to end, or for log time to come so far."""
THE_MOST = "the most that there may be"
NARROWER = "Narrow its selector, or split it"
FEWER = "Group by fewer labels, narrow its selector, or split it"


@dataclass
class Gathering:
    """All that one detector gathers on one partition."""

    detector: CompiledDetector
    plan: GroupPlan
    incarnation: int
    next_step: int
    """first step not told yet"""
    begun: bool = False
    """whether a step was told; before, nothing is late"""
    overflowed: bool = False
    """beyond a bound; the detector then says nothing more from this partition until its config changes"""
    gathers: dict[GatherKey, Gather] = field(default_factory=dict)
    waiting: int = 0
    """samples that wait"""
    late: int = 0
    """samples that came after their step was told, since the process started"""
    notices: Notices = field(default_factory=Notices)
    """where to say that it overflowed"""
    absorbed_step: int = 0
    """up to which samples were absorbed before the first step was told; a restart may absorb again what is absorbed"""

    @property
    def told_ms(self) -> int:
        """End of the last step that was told."""
        return (self.next_step - 1) * self.plan.step_ms if self.begun else -(1 << 62)

    @property
    def reached(self) -> tuple[str, str] | None:
        """The bound that one more member would exceed, and what to do then; None if there is room."""
        members = sum(map(len, self.gathers.values()))
        if members >= MAX_MEMBERS:
            return f"its groups have {members} members on a partition, {THE_MOST}", NARROWER
        groups = sum(gather.groups for gather in self.gathers.values())
        if groups >= MAX_GROUPS:
            return f"it has {groups} groups on a partition, {THE_MOST}", FEWER
        return None

    def note_waiting(self, samples: int) -> None:
        """Stop when more samples come than may wait."""
        self.waiting += samples
        if self.waiting > MAX_WAITING and not self.overflowed:
            self.overflow(f"more than {MAX_WAITING} samples wait for their step on a partition", NARROWER)

    def overflow(self, why: str, remedy: str) -> None:
        """Beyond a bound: forget what was gathered, and say so."""
        self.overflowed = True
        for gather in self.gathers.values():
            gather.forget()
        source = self.detector.source
        self.notices.add(
            f"{source.id} ({source.config.name!r})",
            f"{why}; none of its groups is judged until its config changes, as without some members they would be "
            f"false. {remedy} (docs/detectors.md)",
        )

    def close(self, log_ms: int) -> Iterator[Part]:
        """Tell the steps whose end and grace lie before the log time."""
        last = (log_ms - self.plan.grace_ms) // self.plan.step_ms
        if not self.begun and self.absorbed_step < last < self.next_step:
            self._absorb(last)  # a range may be hours long: its samples need not all wait for its end
        while self.next_step <= last:
            first, until = self.next_step, self._until(last)
            self._absorb(until)
            portions: list[Portion] = []
            leaders: list[Leader] = []
            for gather in self._ordered() if not self.overflowed else ():
                portions += gather.portions(until)
                leaders += gather.leaders
            self.next_step, self.begun = until + 1, True
            told = Part(self.detector.source, self.incarnation, first, until, tuple(portions), leaders=tuple(leaders))
            yield told._replace(overflowed=self.overflowed)

    def _absorb(self, until: int) -> None:
        """Take in what waits for this step or one before."""
        for gather in self.gathers.values():
            gather.absorb(until * self.plan.step_ms)
        self.absorbed_step = until
        self.waiting = sum(gather.waiting_samples for gather in self.gathers.values())

    def _ordered(self) -> list[Gather]:
        return [self.gathers[key] for key in sorted(self.gathers, key=lambda key: (key.role, key.shape))]

    def _until(self, last: int) -> int:
        """The next step that may have a value: ``next_step`` unless all members are gone."""
        step_ms = self.plan.step_ms
        memory_ms = max(MAX_GAP_MS, self.plan.range_steps * step_ms)
        if any(gather.latest_ms > self.next_step * step_ms - memory_ms for gather in self.gathers.values()):
            return self.next_step
        waiting = [time_ms for gather in self.gathers.values() if (time_ms := gather.next_ms()) is not None]
        if not waiting:
            return last
        return min(last, max(self.next_step, -(-min(waiting) // step_ms)))

    def end(self) -> Part:
        """Say that no more will come."""
        return ending(self.detector.source, self.incarnation, self.next_step)
