"""Bodies to bytes, never more of them than allowed: the declared length is read before anything is decoded. Pure."""

from __future__ import annotations

import cramjam
import numpy as np

from connectors.codec.negotiation import Encoding
from connectors.errors import Rejected, TooLarge

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
KEPT_BYTES = 4 * 1024 * 1024
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)


def actual_encoding(body: bytes, said: Encoding) -> Encoding:
    """What the sender said, else zstd by its magic number, else snappy."""
    if said is not Encoding.UNSAID:
        return said
    return Encoding.ZSTD if body[:4] == ZSTD_MAGIC else Encoding.SNAPPY


def declared_bytes(body: bytes, encoding: Encoding, limit_bytes: int) -> int:
    """Length after decompression as the body declares it; the limit itself for zstd that does not say.

    Raises ``TooLarge`` above the limit, ``Rejected`` when there is no such declaration. An empty body decodes to
    nothing.
    """
    if not body:
        return 0
    size = _snappy_bytes(body) if encoding is Encoding.SNAPPY else _zstd_bytes(body, limit_bytes)
    if size > limit_bytes:
        raise _too_large(encoding, limit_bytes)
    return size


class Decompressor:
    """Decompresses into a buffer that it keeps: what it returns is good until the next call. Not thread-safe."""

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint8)

    def decompress(self, body: bytes, encoding: Encoding, limit_bytes: int) -> memoryview:
        """The body decompressed; raises ``TooLarge`` above the limit and ``Rejected`` for what is not ``encoding``."""
        size = declared_bytes(body, encoding, limit_bytes)
        if not body or (size == 0 and len(body) == 1):
            return memoryview(b"")
        return self._decode(body, encoding, size, limit_bytes)

    def _decode(self, body: bytes, encoding: Encoding, size: int, limit_bytes: int) -> memoryview:
        out = self._buffer(size + 1)  # one byte more than declared: more is seen, not kept
        decode = cramjam.snappy.decompress_raw_into if encoding is Encoding.SNAPPY else cramjam.zstd.decompress_into
        try:
            written = decode(body, out)
        except cramjam.DecompressionError as error:
            if size == limit_bytes and "whole buffer" in str(error):  # zstd that declared nothing
                raise _too_large(encoding, limit_bytes) from error
            message = f"body: {len(body)} bytes are not {encoding} ({error})"
            raise Rejected(reason=f"bad_{encoding}", message=message) from error
        if written > limit_bytes:
            raise _too_large(encoding, limit_bytes)
        return out[:written]

    def _buffer(self, size: int) -> memoryview:
        """Room for ``size`` bytes; small buffers are kept, since fresh memory costs as much as decoding into it."""
        if size > KEPT_BYTES:
            return np.empty(size, np.uint8).data
        if len(self._kept) < size:
            self._kept = np.empty(size, np.uint8)
        return self._kept[:size].data


def _snappy_bytes(body: bytes) -> int:
    """Leading varint of the block format; at most 32 bits."""
    size = 0
    for index, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return size
    message = f"body: {len(body)} bytes are not snappy (no length in front)"
    raise Rejected(reason="bad_snappy", message=message)


def _zstd_bytes(body: bytes, limit_bytes: int) -> int:
    """Content size in the frame header (RFC 8878, 3.1.1.1), else the limit."""
    if body[:4] != ZSTD_MAGIC or len(body) < 6:
        message = f"body: {len(body)} bytes are not zstd (no magic number in front)"
        raise Rejected(reason="bad_zstd", message=message)
    descriptor = body[4]
    single_segment, dictionary = descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    width = _CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
    if width == 0:
        return limit_bytes
    at = 5 + (1 - single_segment) + dictionary
    size = int.from_bytes(body[at : at + width], "little")
    return size + 256 if width == 2 else size


def _too_large(encoding: Encoding, limit_bytes: int) -> TooLarge:
    message = f"body: more than {limit_bytes} bytes after {encoding} decompression (TOCSIN_INGEST_MAX_DECODED_BYTES)"
    return TooLarge(reason="too_large", message=message)
