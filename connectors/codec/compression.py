"""Bodies to bytes, never more of them than allowed: the declared length is read before anything is decoded. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cramjam
import numpy as np

from connectors.codec.negotiation import Encoding
from connectors.errors import Rejected, TooLarge

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
KEPT_BYTES = 4 * 1024 * 1024
SKIPPABLE_MAGIC = b"\x2a\x4d\x18"
"""of a skippable frame, after a byte from 0x50 to 0x5f"""
MAX_FRAMES, MAX_BLOCKS = 64, 1024
"""So many frames, and blocks of all, are looked at before decoding: a block usually holds 128 KiB."""
_REPEATED_BYTE = 1
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)


def actual_encoding(body: bytes, said: Encoding) -> Encoding:
    """What the sender said, else zstd by its magic number, else snappy."""
    if said is not Encoding.UNSAID:
        return said
    return Encoding.ZSTD if body.startswith(ZSTD_MAGIC) else Encoding.SNAPPY


def declared_bytes(body: bytes, encoding: Encoding, limit_bytes: int) -> int:
    """Length after decompression as the body declares it; the limit itself for zstd that does not say.

    A zstd body may consist of several frames, skippable ones among them. Raises ``TooLarge`` above the limit,
    ``Rejected`` when there is no such declaration. An empty body decodes to nothing.
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

    def decompress(self, body: bytes, encoding: Encoding, size: int, limit_bytes: int) -> memoryview:
        """The body decompressed; ``size`` is what ``declared_bytes`` said of it.

        Raises ``TooLarge`` above the limit and ``Rejected`` for what is not ``encoding``.
        """
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
    """Content sizes of all frames (RFC 8878, 3.1) together; the limit if one does not say, or there are too many."""
    if not body.startswith(ZSTD_MAGIC) and not _is_skippable(body, 0):
        raise _no_zstd(body, "no magic number in front")
    sizes = list(islice(_zstd_frames(body), MAX_FRAMES + 1))
    said = [size for size in sizes if size is not None]
    return sum(said) if len(said) == len(sizes) <= MAX_FRAMES else limit_bytes


def _zstd_frames(body: bytes) -> Iterator[int | None]:
    """Content size of each frame, None where it does not say."""
    at, blocks = 0, MAX_BLOCKS
    while at < len(body):
        skippable = _is_skippable(body, at)
        if not skippable and not body.startswith(ZSTD_MAGIC, at):
            raise _no_zstd(body, f"no frame at byte {at}")
        size, at, blocks = _skipped(body, at, blocks) if skippable else _zstd_frame(body, at, blocks)
        yield size


def _skipped(body: bytes, at: int, blocks: int) -> tuple[int, int, int]:
    """A skippable frame (3.1.2): nothing, the position after it, and as many blocks left to look at."""
    return 0, at + 8 + int.from_bytes(body[at + 4 : at + 8], "little"), blocks


def _zstd_frame(body: bytes, at: int, blocks: int) -> tuple[int | None, int, int]:
    """Content size in the header of the frame at ``at`` (3.1.1.1), None without one; the position after it.

    Looks at so many ``blocks`` at most, and tells how many are left.
    """
    if at + 6 > len(body):
        raise _no_zstd(body, f"the frame at byte {at} ends in its header")
    descriptor = body[at + 4]
    single_segment, dictionary = descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    width = _CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
    start = at + 5 + (1 - single_segment) + dictionary
    size = int.from_bytes(body[start : start + width], "little") + (256 if width == 2 else 0)
    after, blocks = _after_blocks(body, start + width, blocks)
    if not after:
        return None, len(body), 0
    return (size if width else None), after + 4 * (descriptor >> 2 & 1), blocks  # a checksum at its end


def _after_blocks(body: bytes, at: int, blocks: int) -> tuple[int, int]:
    """Position after the blocks (3.1.1.2) of a frame, 0 if there are too many to look at; and how many are left."""
    for left in reversed(range(blocks)):
        header = int.from_bytes(body[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _REPEATED_BYTE else size)
        if last or at >= len(body):
            return at, left
    return 0, 0


def _is_skippable(body: bytes, at: int) -> bool:
    return body[at + 1 : at + 4] == SKIPPABLE_MAGIC and body[at] >> 4 == 5


def _no_zstd(body: bytes, problem: str) -> Rejected:
    message = f"body: {len(body)} bytes are not zstd ({problem})"
    return Rejected(reason="bad_zstd", message=message)


def _too_large(encoding: Encoding, limit_bytes: int) -> TooLarge:
    message = f"body: more than {limit_bytes} bytes after {encoding} decompression (TOCSIN_INGEST_MAX_DECODED_BYTES)"
    return TooLarge(reason="too_large", message=message)
