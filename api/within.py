"""A deadline that says what did not come, and a pause that may end early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from connectors.errors import KafkaUnavailable


@asynccontextmanager
async def within(timeout_s: float, otherwise: str) -> AsyncIterator[None]:
    """Raise ``KafkaUnavailable`` past the time-out."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise KafkaUnavailable(otherwise) from error


async def pause(stopping: asyncio.Event, most_s: float) -> None:
    """Wait so long, or until the event is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await stopping.wait()
