"""Finished jobs on their way back to the event loop: those that finish together wake it once."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from connectors.job import Job


class Returns:
    """Counts what is left of jobs, and hands those of which nothing is to the loop. Thread-safe."""

    def __init__(self) -> None:
        self._finished: deque[Job[Any]] = deque()
        self._waking = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on jobs finish in this loop."""
        self._loop = loop

    def one_more(self, jobs: Iterable[Job[Any]]) -> None:
        """These jobs wait for one more record."""
        with self._lock:
            for job in jobs:
                job.left += 1

    def one_less(self, job: Job[Any], error: BaseException | None = None) -> None:
        """A record of the job is settled, or its preparation is; ``error`` is what went wrong with it."""
        job.error = error or job.error
        with self._lock:
            job.left -= 1
            last = job.left == 0
        if last:
            self._finish(job)

    def _finish(self, job: Job[Any]) -> None:
        with self._lock:
            self._finished.append(job)
            wake, self._waking = not self._waking, True
        if wake and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._lock:
            finished, self._finished, self._waking = self._finished, deque(), False
        for job in finished:
            job.finish()
