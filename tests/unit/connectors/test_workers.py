"""Threads of one kind of work: bounded, counted, and apart from those of others."""

from __future__ import annotations

import asyncio
import threading

import pytest

from connectors.errors import Overloaded
from connectors.workers import Workers


def test_what_is_too_much_is_refused_and_what_was_given_up_counts_as_long_as_it_runs() -> None:
    go, begun = threading.Event(), threading.Event()

    def long() -> int:
        begun.set()
        go.wait(10)
        return threading.get_ident()

    async def main() -> None:
        workers = Workers("tests", 1, 1)
        running, waiting = (asyncio.create_task(workers.run(long)) for _ in range(2))
        await asyncio.to_thread(begun.wait, 10)
        with pytest.raises(Overloaded, match="tests"):
            await workers.run(int)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert workers.inside == 1, "what had not begun is not done"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert workers.inside == 1, "the thread is still busy"
        last = asyncio.create_task(workers.run(long))
        go.set()
        assert await last != threading.get_ident()
        assert workers.inside == 0
        workers.stop()

    asyncio.run(main())


def test_errors_go_to_who_waits() -> None:
    async def main() -> None:
        workers = Workers("tests", 1, 1)
        with pytest.raises(ValueError, match="invalid literal"):
            await workers.run(lambda: int("x"))
        assert workers.inside == 0
        workers.stop()

    asyncio.run(main())
