"""What was remembered on one grid of steps, put on another: for a start with another ``TOCSIN_LOGS_STEP_S``.

Steps that were not over are left out, and counted; patterns, totals and what is known of services stay.
"""

from __future__ import annotations

from flows.mining.count import DROPPED, Counting
from flows.mining.miner import Miner


class Regrid:
    """From steps of ``old_ms`` to steps of ``new_ms``."""

    def __init__(self, old_ms: int, new_ms: int) -> None:
        self._old_ms, self._new_ms = old_ms, new_ms

    def counting(self, one: Counting) -> None:
        """Put a partition on the new grid."""
        one.counts[f"{DROPPED}regrid"] += sum(n for counts in one.open.values() for n, _ in counts.scopes.values())
        one.open.clear()
        one.next_step = None if one.next_step is None else self._after(one.next_step)
        one.unseen = self._at(one.unseen[0]), self._after(one.unseen[1])

    def miner(self, one: Miner) -> None:
        """Put the miner on the new grid."""
        waiting = (counts for told in one.waiting.values() for counts in told.values())
        one.counts["stalled"] += sum(n for counts in waiting for n, _ in counts.scopes.values())
        one.waiting.clear()
        one.told[:] = [None if until is None else self._after(until) for until in one.told]
        one.next_step = self._after(one.next_step)
        texts, one.texts = list(one.texts.values()), {}
        for told in texts:
            for (partition, until), new in told.items():
                at = one.texts.setdefault(one.next_step, {})
                place = partition, self._after(until)
                at[place] = at.get(place, ()) + new
        for pattern in one.tree:
            pattern.born, pattern.seen = self._at(pattern.born), self._at(pattern.seen)
        one.lines.seen = {line: self._at(step) for line, step in one.lines.seen.items()}
        self._numbers(one)

    def _numbers(self, one: Miner) -> None:
        numbers = one.numbers
        for total in numbers.totals.values():
            total.seen = self._at(total.seen)
        for novelty in numbers.novelties.values():
            novelty.first, novelty.weighed = self._at(novelty.first), self._at(novelty.weighed)
            novelty.event = None if novelty.event is None else self._at(novelty.event)
            novelty.began = self._at(novelty.began)
        # as if nothing had been told in the step before: so it is told once more how each counter stood
        numbers.told = {key: (self._at(step) - 1, value) for key, (step, value) in numbers.told.items()}

    def _at(self, step: int) -> int:
        """The step that holds the beginning of one."""
        return step * self._old_ms // self._new_ms

    def _after(self, step: int) -> int:
        """The first step that begins with one, or later."""
        return -(-step * self._old_ms // self._new_ms)
