"""Documents that never change while the process runs: read once, for the first who asks, and sent as they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from hashlib import blake2b

from fastapi import Request, Response

from api.if_match import ANYTHING

ETAG_BYTES = 8


class Document:
    """One of them. It is read in a thread, for the disk may be slow."""

    def __init__(self, read: Callable[[], bytes], media_type: str) -> None:
        self._read = read
        self._media_type = media_type
        self._reading = threading.Lock()
        self._whole: bytes | None = None
        self._etag = ""

    async def answer(self, request: Request) -> Response:
        """The document with its ETag, or 304 to who has it already."""
        if self._whole is None:
            await asyncio.to_thread(self._read_once)
        headers = {"ETag": self._etag}
        if self._is_known(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(self._whole, media_type=self._media_type, headers=headers)

    def _read_once(self) -> None:
        with self._reading:
            if self._whole is None:
                whole = self._read()
                self._etag = f'"{blake2b(whole, digest_size=ETAG_BYTES).hexdigest()}"'
                self._whole = whole

    def _is_known(self, if_none_match: str) -> bool:
        """Whether one of the tags names it; a weak one does as well (RFC 9110, 13.1.2)."""
        tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
        return any(tag in (self._etag, ANYTHING) for tag in tags)
