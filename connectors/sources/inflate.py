"""Compressed answers, piece by piece: a few bytes may stand for gigabytes, so no more is unpacked than is read next."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
ACCEPTED = "gzip, deflate"
PLAIN = ("", "identity")
KNOWN = ("gzip", "x-gzip", "deflate")


class Inflater:
    """Undoes one ``Content-Encoding``; raises ``ValueError`` for one that was not asked for, and for what is none."""

    def __init__(self, encoding: str, piece_bytes: int) -> None:
        name = encoding.strip().lower()
        if name not in (*PLAIN, *KNOWN):
            message = f"Content-Encoding {encoding[:100]!r}, and only {ACCEPTED} were asked for"
            raise ValueError(message)
        self._plain = name in PLAIN
        self._piece_bytes = piece_bytes
        self._stream = zlib.decompressobj(GZIP_OR_ZLIB)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What some more of it stands for, in pieces of the size that was given, at most."""
        if self._plain:
            yield chunk
            return
        piece = b""
        try:
            while chunk or len(piece) == self._piece_bytes:  # a full one may not be all that these bytes stand for
                piece = self._stream.decompress(chunk, self._piece_bytes)
                chunk = self._stream.unconsumed_tail
                yield piece
        except zlib.error as error:
            message = f"what is called compressed is not: {error}"
            raise ValueError(message) from error
