"""When a failed request is made again, and how long to wait before that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from connectors.clock import wall_clock_ms

RETRYABLE = frozenset({429, 499, 502, 503, 504})
"""Answers of a server, or of a proxy before it, that is busy or not there just now. With 499 Prometheus tells since
2.43 that a query was cancelled, as when it is stopped."""
PASSING = ("context canceled", "query was canceled", "TSDB not ready")
"""Words of Prometheus with which it refuses for the moment alone, whatever the status: those of a start or a stop are
422 in some versions (``returnAPIError`` in its web/api/v1)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Full jitter: a wait drawn between 0 and a bound that doubles, so that many clients do not return together.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    tries: int = 4
    first_s: float = 0.25
    longest_s: float = 10.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random
    now_ms: Callable[[], int] = wall_clock_ms

    def wait_s(self, failures: int, retry_after: str | None) -> float | None:
        """How long to wait after so many failures; None to give up. What the server asks for is the least."""
        if failures >= self.tries:
            return None
        asked_s = self._asked_s(retry_after)
        if asked_s > self.longest_s:
            return None
        return asked_s + self.draw() * min(self.longest_s, self.first_s * 2.0 ** (failures - 1))

    def _asked_s(self, retry_after: str | None) -> float:
        """Seconds of a ``Retry-After``, which may be a number or a date; 0 where it is neither."""
        if retry_after is None:
            return 0.0
        if retry_after.strip().isdecimal():
            return float(retry_after)
        try:
            at = parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        return max(0.0, at.timestamp() - self.now_ms() / 1000)


ONCE = Retry(tries=1)
"""No second try: for a person who waits to hear whether a server is there."""
