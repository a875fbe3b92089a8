"""Threads for one kind of long work, beside the event loop and apart from other work.

asyncio's own pool is for what is short: it is small and shared by all, so that look-ups of names which hang, or long
computations, would hold up everything else that waits for a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from connectors.errors import Overloaded

T = TypeVar("T")


class Workers:
    """So many threads, and a bound on the work that waits for one; threads begin when they are needed."""

    def __init__(self, name: str, threads: int, waiting_most: int) -> None:
        self.name = name
        self.most = threads + waiting_most
        self._pool = ThreadPoolExecutor(threads, f"tocsin-{name}")
        self._lock = threading.Lock()
        self._inside = 0

    @property
    def inside(self) -> int:
        """Work that runs or waits, also what nobody waits for any more and cannot be ended."""
        return self._inside

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises; ``Overloaded`` if too much waits. What is given up waiting is not done."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """The same for who waits in another way."""
        with self._lock:
            if self._inside >= self.most:
                message = f"{self._inside} pieces of work of its kind ({self.name}) wait or are under way"
                raise Overloaded(message, retry_after_s=5)
            self._inside += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return future

    def stop(self) -> None:
        """Do no more of what waits; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self._inside -= 1
