"""Answers that must be of now, made once for all who asked before the making began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """Of each key one answer is made at a time; who asks meanwhile waits for the next. For the loop alone.

    As many wait as there are requests, and of keys there are no more.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Task[T]] = {}
        self._making: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._making)

    async def answer(self, key: Hashable, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """What ``work`` returns or raises, of a call that begins after this one."""
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._make(key, self._making.get(key), work))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked, so nobody is warned
        return await asyncio.shield(task)

    async def _make(
        self, key: Hashable, before: asyncio.Task[T] | None, work: Callable[[], Coroutine[object, object, T]]
    ) -> T:
        if before is not None:
            await asyncio.wait((before,))
        task = self._making[key] = self._waiting.pop(key)
        try:
            return await work()
        finally:
            if self._making.get(key) is task:
                del self._making[key]
