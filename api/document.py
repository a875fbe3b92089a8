"""Documents that never change while the process runs: made once, by the first who asks, and sent as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b

from fastapi import Request, Response

from api.if_match import ANYTHING

ETAG_BYTES = 8
PREPARE_AFTER_S = 30.0
"""So long after the start, when all topics are read, what nobody has asked for yet is made."""


class Document:
    """One of them. It is made in a thread, for it may take as long as some hundred requests."""

    def __init__(self, make: Callable[[], bytes], media_type: str) -> None:
        self._make = make
        self._media_type = media_type
        self._making = asyncio.Lock()
        self._whole: bytes | None = None
        self._etag = ""

    async def answer(self, request: Request) -> Response:
        """The document with its ETag, or 304 to who has it already."""
        if self._whole is None:
            await self.prepare()
        headers = {"ETag": self._etag}
        if self._is_known(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(self._whole, media_type=self._media_type, headers=headers)

    async def prepare(self) -> None:
        """Make it, if nobody has."""
        async with self._making:
            if self._whole is None:
                whole = await asyncio.to_thread(self._make)
                self._etag = f'"{blake2b(whole, digest_size=ETAG_BYTES).hexdigest()}"'
                self._whole = whole

    def _is_known(self, if_none_match: str) -> bool:
        """Whether one of the tags names it; a weak one does as well (RFC 9110, 13.1.2)."""
        tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
        return any(tag in (self._etag, ANYTHING) for tag in tags)


async def prepare_later(documents: Sequence[Document], after_s: float = PREPARE_AFTER_S) -> None:
    """Make them, one after the other, so that the first who asks need not wait."""
    await asyncio.sleep(after_s)
    for document in documents:
        await document.prepare()
