"""Protobuf wire primitives for the kernels: varints, tags, lengths, UTF-8. Every read is bounds-checked.

Positions are int64; a failed read returns the position ``BAD`` (-1), which callers test before using the value.
Limits are those of the reference decoder (upb): varints of at most 10 bytes, tags and lengths of at most 5.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

import numpy as np

from connectors.codec.compiled import Deferred, njit

BAD = -1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; groups (3 and 4) are refused: nothing that writes remote write has ever used them."""

MAX_LENGTH = 0x7FFFFFFF
MAX_TAG = 0xFFFFFFFF

kernel: Any = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
"""Compile without reference counting: arrays passed on cost nothing, and none may be allocated. The counting would
take most of the time, since it is atomic and done for each array at each call that is not inlined."""
allocating: Any = njit(cache=True, nogil=True, error_model="numpy")
"""Compile what makes arrays."""


def _of_memory(name: str) -> Any:
    def make() -> Any:
        from connectors.codec import memory  # which imports numba

        return getattr(memory, name)

    return Deferred(make, globals())


read_byte: Any = _of_memory("read_byte")
"""Byte at a position as int64; the caller has checked the bounds."""
read_u64: Any = _of_memory("read_u64")
"""Little-endian 64 bits at a position as uint64; the caller has checked the bounds."""
copy_bytes: Any = _of_memory("copy_bytes")
"""Copy ``buf[pos : pos + size]`` to ``out[at]``; the caller has checked the bounds."""
same_bytes: Any = _of_memory("same_bytes")
"""Whether ``size`` bytes of two arrays are the same; the caller has checked the bounds."""


@kernel
def read_varint(buf, pos, end):  # type: ignore[no-untyped-def]
    """Varint at ``pos`` as int64 (two's complement) and the position after it, or ``(0, BAD)``."""
    if pos >= end:
        return np.int64(0), np.int64(BAD)
    byte = read_byte(buf, pos)
    if byte < 0x80:
        return byte, np.int64(pos + 1)
    return read_long_varint(buf, pos, end, 10)


@kernel
def read_long_varint(buf, pos, end, most):  # type: ignore[no-untyped-def]
    """Varint of at most ``most`` bytes; bits above the 64th are dropped, as upb does."""
    value = np.int64(0)
    shift = np.int64(0)
    stop = min(end, pos + most)
    while pos < stop:
        byte = read_byte(buf, pos)
        pos += 1
        value |= (byte & np.int64(0x7F)) << shift
        if byte < 0x80:
            return value, np.int64(pos)
        shift += np.int64(7)
    return np.int64(0), np.int64(BAD)


@kernel
def read_length(buf, pos, end):  # type: ignore[no-untyped-def]
    """Length prefix at ``pos``: start and end of its bytes, both inside ``end``; or ``(BAD, BAD)``."""
    if pos >= end:
        return np.int64(BAD), np.int64(BAD)
    length = read_byte(buf, pos)
    pos = np.int64(pos + 1)
    if length >= 0x80:
        length, pos = read_long_varint(buf, pos - 1, end, 5)
    if pos < 0 or length < 0 or length > MAX_LENGTH or length > end - pos:
        return np.int64(BAD), np.int64(BAD)
    return pos, pos + length


@kernel
def read_tag(buf, pos, end):  # type: ignore[no-untyped-def]
    """Tag at ``pos`` (field number shifted left by 3, or wire type) and the position after it, or ``(0, BAD)``."""
    if pos >= end:
        return np.int64(0), np.int64(BAD)
    tag = read_byte(buf, pos)
    pos = np.int64(pos + 1)
    if tag >= 0x80:
        tag, pos = read_long_varint(buf, pos - 1, end, 5)
    if pos < 0 or tag < 8 or tag > MAX_TAG:
        return np.int64(0), np.int64(BAD)
    return tag, pos


@kernel
def skip_value(buf, pos, end, wire_type):  # type: ignore[no-untyped-def]
    """Position after a value of ``wire_type`` at ``pos``, or ``BAD``; groups are ``BAD``."""
    if wire_type == VARINT:
        return read_varint(buf, pos, end)[1]
    if wire_type == BYTES:
        return read_length(buf, pos, end)[1]
    size = 8 if wire_type == FIXED64 else 4
    if (wire_type != FIXED64 and wire_type != FIXED32) or size > end - pos:
        return np.int64(BAD)
    return np.int64(pos + size)


@kernel
def well_formed(buf, pos, end):  # type: ignore[no-untyped-def]
    """Whether ``buf[pos:end]`` is a flat sequence of fields."""
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return False
    return True


@kernel
def plain_label(buf, pos, end):  # type: ignore[no-untyped-def]
    """Position after the label field at ``pos`` if it is laid out as every known sender does, else ``BAD``.

    That is ``0a len 0a nlen name 12 vlen value`` with lengths below 128. Most labels are, so kernels try this first.
    """
    if end - pos < 6 or read_byte(buf, pos) != 0x0A or read_byte(buf, pos + 2) != 0x0A:
        return np.int64(BAD)
    length, name = read_byte(buf, pos + 1), read_byte(buf, pos + 3)
    after = pos + 2 + length
    at = pos + 4 + name
    if (length | name) >= 0x80 or after > end or at + 2 > after or read_byte(buf, at) != 0x12:
        return np.int64(BAD)
    if read_byte(buf, at + 1) >= 0x80 or at + 2 + read_byte(buf, at + 1) != after:
        return np.int64(BAD)
    return np.int64(after)
