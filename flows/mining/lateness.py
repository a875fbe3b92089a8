"""Whether many lines come too late to be counted: then it is said, for nobody looks for what is not there."""

from __future__ import annotations

from collections.abc import Mapping

from flows.mining.count import DROPPED

WINDOW_S = 60.0
MOST_LATE = 0.05
"""Share of the lines of a minute; some are late after each pause of a sender."""


class Lateness:
    """Compares counts a minute apart; time is an argument."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._at_s: float | None = None
        self._before = (0, 0)
        self._share = 0.0

    def reason(self, counts: Mapping[str, int], now_s: float) -> str:
        """Why the counts of services may be too low; empty if few lines were late in the last full minute."""
        late, lines = counts.get(f"{DROPPED}late", 0), counts.get("lines", 0)
        if self._at_s is None or now_s - self._at_s >= WINDOW_S:
            more = lines - self._before[1]
            self._share = (late - self._before[0]) / more if self._at_s is not None and more > 0 else 0.0
            self._at_s, self._before = now_s, (late, lines)
        if self._share <= MOST_LATE:
            return ""
        return (
            f"{self._share:.0%} of the lines of a minute came too late to be counted, more than {self._grace_s:g} s "
            "after the end of their step (TOCSIN_LOGS_GRACE_S)"
        )
