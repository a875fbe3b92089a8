"""gzip bodies to bytes, never more of them than allowed. Pure.

A gzip says at its end how long it was, modulo 2^32 and for its last member only: enough to reserve memory by, no bound.
"""

from __future__ import annotations

import zlib

from connectors.errors import Rejected, TooLarge

GZIP = 16 + zlib.MAX_WBITS
LEAST_BYTES = 18
"""Of one member: header and trailer (RFC 1952)."""
MOST_BYTES_EACH = 1032
"""No byte of DEFLATE stands for more: https://zlib.net/zlib_tech.html"""
MAX_MEMBERS = 64
"""A body may be several gzips one behind the other."""


def said_bytes(body: bytes, limit_bytes: int) -> int:
    """Length that the last member tells, as far as it may be; raises ``Rejected`` for what is no gzip."""
    if len(body) < LEAST_BYTES or body[:2] != b"\x1f\x8b":
        raise _no_gzip(body, "no header in front")
    return min(int.from_bytes(body[-4:], "little"), MOST_BYTES_EACH * len(body), limit_bytes)


def inflate(body: bytes, limit_bytes: int) -> bytes:
    """The body decompressed. Raises ``TooLarge`` above the limit and ``Rejected`` for what is no gzip."""
    parts: list[bytes] = []
    left, rest = limit_bytes, body
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(GZIP)
        try:
            part = stream.decompress(rest, left + 1)
        except zlib.error as error:
            raise _no_gzip(body, str(error)) from error
        if len(part) > left:
            raise _too_large(limit_bytes)
        if not stream.eof:
            raise _no_gzip(body, "it ends too early")
        parts.append(part)
        left, rest = left - len(part), stream.unused_data
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise _no_gzip(body, f"more than {MAX_MEMBERS} of them one behind the other")


def _no_gzip(body: bytes, problem: str) -> Rejected:
    message = f"body: {len(body)} bytes are not gzip ({problem})"
    return Rejected(reason="bad_gzip", message=message)


def _too_large(limit_bytes: int) -> TooLarge:
    message = f"body: more than {limit_bytes} bytes after gzip decompression (TOCSIN_INGEST_MAX_DECODED_BYTES)"
    return TooLarge(reason="too_large", message=message)
