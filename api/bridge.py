"""From a Follower's thread to the event loop: only the loop touches the api's state, so that needs no locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from connectors.received import Received

SLICE_RECORDS = 200
"""Records handled before the loop serves others again: about 5 ms of decoding."""

Handler = Callable[[Sequence[Received]], None]


def on_loop(loop: asyncio.AbstractEventLoop, handle: Handler) -> Handler:
    """Wrap ``handle`` so that another thread can call it: it runs on ``loop``, and the thread waits until it is done.

    So at most one batch is under way between Kafka and the loop. An error of ``handle`` is raised in that thread.
    """

    async def run(records: Sequence[Received]) -> None:
        for start in range(0, len(records), SLICE_RECORDS):
            handle(records[start : start + SLICE_RECORDS])
            await asyncio.sleep(0)

    def carry(records: Sequence[Received]) -> None:
        asyncio.run_coroutine_threadsafe(run(records), loop).result()

    return carry
