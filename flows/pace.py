"""How much is done a second by the clock of the process, where log time runs faster: while a flow catches up."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """``per_s`` things a second, as many at once after a rest; what may not be done now is to be done later."""

    def __init__(self, per_s: int, clock_s: Callable[[], float]) -> None:
        self.per_s = per_s
        self._clock_s = clock_s
        self._left = float(per_s)
        self._at_s = clock_s()

    def left(self) -> int:
        """How many may be done now."""
        now_s = self._clock_s()
        self._left = min(self.per_s, self._left + self.per_s * (now_s - self._at_s))
        self._at_s = now_s
        return int(self._left)

    def spend(self, done: int) -> None:
        """So many were done, no more than were left."""
        self._left -= done
