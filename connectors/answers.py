"""Whether Kafka still answers: the only sign that a consumer gives of a broker that hangs is that nothing comes.

A poll that ends with nothing looks the same whether the broker said "nothing new" or said nothing at all. What differs
is the answer to the fetch, and an idle one is answered after ``FETCH_WAIT_MS`` at the latest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SILENT_S = 5.0
"""Silence from which on a broker counts as gone: several answers of an idle one are missing then."""


class Answers:
    """When the broker last answered a fetch of one consumer. Written by the client's threads, read by the probes."""

    def __init__(self, address: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock_s = clock_s
        self._came_s: float | None = None
        self._pausing = False
        self.count = 0
        """Fetches answered."""

    def listen(self, consumer: Any) -> None:
        """Note the time of every fetch that the broker answers from now on, be it with an error."""
        # kafka-python tells nobody of an answer without records; its fetcher looks this method up for each request
        fetcher = consumer._fetcher  # noqa: SLF001 - as above
        handle: Callable[..., None] = fetcher._handle_fetch_response  # noqa: SLF001 - as above

        def answered(*response: object) -> None:
            self.count += 1
            self.came()
            handle(*response)

        fetcher._handle_fetch_response = answered  # noqa: SLF001 - as above

    def came(self) -> None:
        """The broker answered now; or nothing was asked until now, which is no silence of the broker either."""
        self._came_s = self._clock_s()

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Nothing is asked meanwhile, so no answer is missing."""
        self._pausing = True
        try:
            yield
        finally:
            self.came()
            self._pausing = False

    def missing_reason(self) -> str:
        """Why the broker counts as gone; empty while it answers."""
        if self._came_s is None:
            return f"Kafka at {self._address} (TOCSIN_KAFKA) has not answered yet"
        silent_s = self._clock_s() - self._came_s
        if silent_s <= SILENT_S or self._pausing:
            return ""
        return f"Kafka at {self._address} (TOCSIN_KAFKA) has not answered for {silent_s:.0f} s"
