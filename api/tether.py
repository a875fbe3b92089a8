"""The supervisor's end of the pipe to its guard: tells it what lives, and starts another one when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from api.child import describe_exit, python

PAUSE_S = 1.0
"""Between the death of a guard and the next one, so that a guard that cannot live does not take the machine with it."""


class Tether:
    """A guard that always runs. Belongs to the event loop in which it was made; ``release`` ends it."""

    def __init__(self, keep_open: Sequence[int], show: Callable[[str], None], pause_s: float = PAUSE_S) -> None:
        self._keep_open = keep_open
        self._show = show
        self._pause_s = pause_s
        self._groups: dict[int, None] = {}
        self._released = asyncio.Event()
        self._guard = self._start()
        self._watching = asyncio.create_task(self._watch())

    def hold(self, group: int) -> None:
        """Say that a process group lives: the guard ends it when the supervisor is gone."""
        self._groups[group] = None
        self._tell([f"+{group} "])

    def let_go(self, group: int) -> None:
        """Say that a process group has ended; its number may soon be another's."""
        self._groups.pop(group, None)
        self._tell([f"-{group} "])

    async def release(self) -> None:
        """End the guard, which ends what is held still."""
        self._released.set()
        _stdin(self._guard).close()
        await self._watching

    async def _watch(self) -> None:
        while True:
            code = await asyncio.to_thread(self._guard.wait)
            if self._released.is_set():
                return
            self._show(f"the guard, which ends all if this process is killed, died with {describe_exit(code)}")
            _stdin(self._guard).close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), self._pause_s)
                return
            self._start_again()

    def _start_again(self) -> None:
        try:
            self._guard = self._start()
        except OSError as error:
            self._show(f"the guard cannot be started again: {error}")
            return
        self._tell(f"+{group} " for group in self._groups)
        self._show("the guard is started again")

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module
            python("api.guard"), stdin=subprocess.PIPE, pass_fds=self._keep_open, start_new_session=True, bufsize=0
        )

    def _tell(self, words: Iterable[str]) -> None:
        """While there is no guard nobody can be told; the next one hears of all that lives then."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            _stdin(self._guard).write("".join(words).encode())


def _stdin(guard: subprocess.Popen[bytes]) -> IO[bytes]:
    assert guard.stdin is not None  # noqa: S101 - it was started with a pipe
    return guard.stdin
