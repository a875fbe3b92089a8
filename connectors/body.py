"""The body of a request, read within bounds of size, memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from connectors.budget import Held
from connectors.errors import TooLarge, TooSlow

REQUEST_BYTES = 4096
"""What a request costs beside its bytes; bounds how many may wait."""

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Disconnected(Exception):  # noqa: N818 - nobody is left to be told of an error
    """The client went away while it was sending."""


async def read_body(receive: Receive, length: str, held: Held, limit: int, timeout_s: float) -> bytes:
    """The body; refused as soon as it is known to be too large, or not whole in time."""
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    held.receive(REQUEST_BYTES)
    try:
        async with asyncio.timeout(timeout_s):
            chunks = await _chunks(receive, limit, held)
    except TimeoutError as error:
        message = f"body: not whole within {timeout_s:g} s (TOCSIN_INGEST_BODY_TIMEOUT_S)"
        raise TooSlow(reason="body_timeout", message=message) from error
    held.whole()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _chunks(receive: Receive, limit: int, held: Held) -> list[bytes]:
    """All pieces of a body; only what has really arrived counts as in flight."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        held.receive(len(chunk))
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks


def _too_large(limit: int) -> TooLarge:
    message = f"body: more than {limit} bytes (TOCSIN_INGEST_MAX_BODY_BYTES)"
    return TooLarge(reason="too_large", message=message)
