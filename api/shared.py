"""Answers that many ask for: worked out once for all who ask while nothing changes.

Dashboards ask for the same lists over and over. An answer is kept with the version of what it was made of, and for a
moment only, because other replicas change the store too. Who asks while it is being made waits for the same answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any

from api.meters import ApiMeters

MOST, MOST_BYTES = 1024, 32 * 1024 * 1024
FRESH_S = 1.0
"""For so long an answer stands if nothing that this process knows of has changed."""


@dataclass(slots=True)
class _Made:
    version: Hashable
    until_s: float
    answer: asyncio.Task[bytes]
    size_bytes: int = 0
    """as counted: 0 until it is there"""


class Shared:
    """At most ``MOST`` answers of ``MOST_BYTES`` in all; those asked for longest ago make room. For the loop alone."""

    def __init__(self, meters: ApiMeters, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._meters = meters
        self._clock_s = clock_s
        self._made: OrderedDict[Hashable, _Made] = OrderedDict()
        self._share, self._make = (meters.http.shared_answers.labels(result) for result in ("shared", "made"))
        self.size_bytes = 0
        meters.http.shared_bytes.set_function(lambda: self.size_bytes)

    def __len__(self) -> int:
        return len(self._made)

    async def answer(
        self, key: Hashable, version: Hashable, work: Callable[[], Coroutine[Any, Any, bytes]], fresh_s: float = FRESH_S
    ) -> bytes:
        """The answer to ``key`` as of a version, for so long; raises what ``work`` raises, which is not kept."""
        made = self._made.get(key)
        if made is not None and made.version == version and (not made.answer.done() or self._clock_s() < made.until_s):
            self._made.move_to_end(key)
            self._share.inc()
            return made.answer.result() if made.answer.done() else await asyncio.shield(made.answer)
        self._make.inc()
        self._drop(key)
        made = _Made(version, self._clock_s() + fresh_s, asyncio.create_task(work()))
        self._made[key] = made
        made.answer.add_done_callback(lambda answer: self._settle(key, answer))
        return await asyncio.shield(made.answer)

    def _settle(self, key: Hashable, answer: asyncio.Task[bytes]) -> None:
        made = self._made.get(key)
        failed = answer.cancelled() or answer.exception() is not None  # asked for, so that nobody is warned of it
        if made is None or made.answer is not answer:
            return
        if failed:
            del self._made[key]
            return
        made.size_bytes = len(answer.result())
        self.size_bytes += made.size_bytes
        while len(self._made) > MOST or (self.size_bytes > MOST_BYTES and len(self._made) > 1):
            self._drop(next(iter(self._made)))

    def _drop(self, key: Hashable) -> None:
        made = self._made.pop(key, None)
        if made is not None:
            self.size_bytes -= made.size_bytes
