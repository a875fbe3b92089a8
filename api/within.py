"""A deadline that says what did not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.errors import KafkaUnavailable


@asynccontextmanager
async def within(timeout_s: float, otherwise: str) -> AsyncIterator[None]:
    """Raise ``KafkaUnavailable`` past the time-out."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise KafkaUnavailable(otherwise) from error
