"""How much is done a second by the clock of the process, where log time runs faster: while a flow catches up."""

from __future__ import annotations

from collections.abc import Callable

AHEAD, AHEAD_SHARE = 2.0, 0.25
"""While log time passes more than twice as fast as the clock, a quarter is done: a backlog comes first."""
LOOK_EVERY_S = 1.0


class Pace:
    """``per_s`` things a second, as many at once after a rest; what may not be done now is to be done later."""

    def __init__(self, per_s: int, clock_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock_s = clock_s
        self._left = float(per_s)
        self._at_s = self._looked_s = clock_s()
        self._log_ms: int | None = None
        """when it was looked last"""
        self._share = 1.0

    def left(self, most: int, log_ms: int) -> int:
        """How many may be done at this log time; none until ``most`` may: many at once cost less."""
        now_s = self._clock_s()
        self._look(now_s, log_ms)
        self._left = min(self._per_s, self._left + self._share * self._per_s * (now_s - self._at_s))
        self._at_s = now_s
        most = min(most, self._per_s)
        return most if self._left >= most else 0

    def _look(self, now_s: float, log_ms: int) -> None:
        """See now and then how fast log time passes."""
        passed_s = now_s - self._looked_s
        if self._log_ms is None:
            self._log_ms = log_ms
        if passed_s >= LOOK_EVERY_S:
            self._share = AHEAD_SHARE if log_ms - self._log_ms > 1000.0 * AHEAD * passed_s else 1.0
            self._looked_s, self._log_ms = now_s, max(log_ms, self._log_ms)

    def spend(self, done: int) -> None:
        """So many were done, no more than were left."""
        self._left -= done
