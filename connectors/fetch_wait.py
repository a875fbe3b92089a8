"""How long a consumer's fetch waits at the broker when there is nothing: short at first and while data flows.

Apache Kafka answers a waiting fetch as soon as a record arrives, the embedded broker only when the wait is over. There
a wait of a second would be felt in every anomaly, and one of 50 ms would cost an idle process 5 % of a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from connectors.kafka_clients import FETCH_WAIT_MS

BUSY_WAIT_MS = 50
BUSY_S = 5.0
"""A consumer counts as busy for so long after it saw data."""
BUSY_POLL_MS, IDLE_POLL_MS = 500, 1500
"""How long a poll may last. One that ends without a record costs as much as a fetch, so an idle one outlasts the wait
of its fetch."""
RESTING_POLL_MS = 40
"""How long a poll lasts between rests: less than the wait of its fetch, or it would send another one."""
FIRST_POLL_MS = 100
"""How long a poll lasts until the ends of all topics are known: whoever starts waits for them, and in a topic that has
nothing new only the answer to a fetch that is over tells."""


class FetchWait:
    """Sets the wait of one consumer by what it receives."""

    def __init__(self, consumer: Any, clock_s: Callable[[], float] = time.monotonic, rests: bool = False) -> None:
        # kafka-python has no public way to change the wait of a living consumer; its fetcher reads this per request
        self._config: dict[str, Any] = consumer._fetcher.config  # noqa: SLF001
        self._clock_s = clock_s
        self._rests = rests
        self._starting_until_s = clock_s() + BUSY_S
        self._busy_until_s = 0.0
        self._starting = True
        self.busy = False
        self._config["fetch_max_wait_ms"] = BUSY_WAIT_MS

    @property
    def poll_ms(self) -> int:
        """How long the next poll may last."""
        if self._starting:
            return FIRST_POLL_MS
        if self.resting:
            return RESTING_POLL_MS
        return BUSY_POLL_MS if self.busy else IDLE_POLL_MS

    @property
    def resting(self) -> bool:
        """Whether to rest before the next poll."""
        return self._rests and not self.busy and not self._starting

    def saw(self, data: bool, at_end: bool = True) -> None:
        """A poll is over; whether it gave more than control records, and whether all topics were read to their ends."""
        now_s = self._clock_s()
        if data:
            self._busy_until_s = now_s + BUSY_S
        self._starting = self._starting and not at_end and now_s < self._starting_until_s
        self.busy = now_s < self._busy_until_s
        short = self.busy or self._starting or self._rests
        self._config["fetch_max_wait_ms"] = BUSY_WAIT_MS if short else FETCH_WAIT_MS
