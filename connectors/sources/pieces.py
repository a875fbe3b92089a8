"""Ranges in pieces that a server is willing to answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

POINTS_PER_REQUEST = 10_000
"""Prometheus refuses more than 11,000 points per series (``maxPointsPerTS`` in its web/api/v1), and so does Loki."""
MAX_POINTS = 20_000_000
"""Bound of all points of a range: 16 bytes each."""


class Range(NamedTuple):
    """Which samples: an expression at ``start_ms``, every ``step_ms``, until ``end_ms`` at the latest."""

    query: str
    start_ms: int
    end_ms: int
    step_ms: int

    def parts(self, longest_ms: int | None = None) -> Iterator[tuple[int, int]]:
        """Consecutive ranges with few enough points and not much longer than ``longest_ms``, both ends included."""
        points = POINTS_PER_REQUEST if longest_ms is None else min(POINTS_PER_REQUEST, longest_ms // self.step_ms + 1)
        length_ms = (points - 1) * self.step_ms
        for start_ms in range(self.start_ms, self.end_ms + 1, length_ms + self.step_ms):
            yield start_ms, min(start_ms + length_ms, self.end_ms)

    def ttl_s(self, now_ms: int, usual_s: float) -> float:
        """How long its result holds: one that reaches to now has another point a step later."""
        return usual_s if self.end_ms < now_ms - self.step_ms else min(usual_s, self.step_ms / 1000)


def seconds(time_ms: int) -> str:
    """As both servers read times and steps."""
    return f"{time_ms // 1000}.{time_ms % 1000:03}"
