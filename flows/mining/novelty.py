"""How surprising a new pattern is, by how often the service had new ones lately.

The chance that a step of a service brings a birth is estimated as Krichevsky and Trofimov do ("The performance of
universal encoding", 1981): half a step more with one, and one step more. Steps weigh by their age, from nothing for
the first to one for the latest: every service has many births when it is met, and fewer and fewer then, so what was
long ago says little. One that was calm ever since can be believed to be so for half of the time that it was watched.

Births with at most ``BURST_MS`` between them are one event, for a fault speaks many lines; but no longer than
``MAX_BURST_MS``, or a service that has new patterns all the time would have had one event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BURST_MS = 60_000
MAX_BURST_MS = 600_000


@dataclass(slots=True)
class Novelty:
    """Of one service. Steps are numbers on the grid."""

    first: int
    """the step in which it was met"""
    weighed: int = 0
    """sum of the ages of the service at its events, in steps"""
    event: int | None = None
    """the step of the last birth"""
    surprise: float = 0.0
    """of that event"""
    births: int = 0
    began: int = 0
    """the step in which that event began"""

    def born(self, step: int, step_ms: int) -> float:
        """Learn of a birth: −log10 of the chance that a step like this one has any."""
        goes_on = self.event is not None and (step - self.event) * step_ms <= BURST_MS
        if not goes_on or (step - self.began) * step_ms > MAX_BURST_MS:
            self.surprise, self.began = self.surprise_at(step), step
            self.weighed += step - self.first
        self.event = step
        self.births += 1
        return self.surprise

    def surprise_at(self, step: int) -> float:
        """What a birth in this step would be."""
        age = step - self.first
        if age <= 0:
            return 0.0
        events, steps = self.weighed / age, (age + 1) / 2
        return -math.log10(min(1.0, (events + 0.5) / (steps + 1.0)))
