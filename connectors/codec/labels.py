"""Label bytes to a dict, once per new series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connectors.codec.varint import BYTES, FIXED32, FIXED64, VARINT
from connectors.errors import Rejected

SIZES = {FIXED64: 8, FIXED32: 4}
WORD = (1 << 64) - 1


class Field(NamedTuple):
    """A field of a message: an unsigned integer for a varint, bytes for all else."""

    number: int
    wire_type: int
    value: int | bytes


def _poison(at: int, what: str) -> Rejected:
    message = f"label bytes: {what} at byte {at}"
    return Rejected(reason="poison", message=message)


def read_one(raw: bytes, pos: int) -> tuple[int, int]:
    """The varint at ``pos`` and the position after it; raises ``Rejected(reason="poison")``.

    Bits above the 64th are dropped, as the kernels do.
    """
    value = shift = 0
    for at in range(pos, min(len(raw), pos + 10)):
        value |= (raw[at] & 0x7F) << shift
        if raw[at] < 0x80:
            return value & WORD, at + 1
        shift += 7
    raise _poison(pos, "bad varint")


def _length(raw: bytes, pos: int, end: int) -> tuple[int, int]:
    length, start = read_one(raw, pos)
    if length > end - start:
        raise _poison(pos, f"length {length} reaches outside")
    return start, start + length


def _parts(raw: bytes, pos: int, end: int) -> dict[int, bytes]:
    parts = {0x0A: b"", 0x12: b""}
    while pos < end:
        tag = raw[pos]
        if tag not in parts:
            raise _poison(pos, f"field tag {tag:#x} instead of name or value")
        start, after = _length(raw, pos + 1, end)
        parts[tag] = raw[start:after]
        pos = after
    return parts


def _label(raw: bytes, pos: int, end: int) -> tuple[str, str]:
    parts = _parts(raw, pos, end)
    try:
        return parts[0x0A].decode(), parts[0x12].decode()
    except UnicodeDecodeError as error:
        raise _poison(pos, "not UTF-8") from error


def read_fields(raw: bytes) -> Iterator[Field]:
    """Fields of any message in their order. Raises ``Rejected(reason="poison")`` on malformed bytes."""
    pos = 0
    while pos < len(raw):
        tag, pos = read_one(raw, pos)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, pos = read_one(raw, pos)
            yield Field(number, wire_type, value)
            continue
        if wire_type != BYTES and wire_type not in SIZES:
            raise _poison(pos, f"wire type {wire_type}")
        size, start = read_one(raw, pos) if wire_type == BYTES else (SIZES[wire_type], pos)
        if size > len(raw) - start:
            raise _poison(pos, f"length {size} reaches outside")
        pos = start + size
        yield Field(number, wire_type, raw[start:pos])


def lenient_labels(raw: bytes) -> list[tuple[str, str]]:
    """Pairs of name and value for an error message: whatever is not UTF-8 is replaced, names may repeat."""
    pairs: list[tuple[str, str]] = []
    pos = 0
    while pos < len(raw):
        start, pos = _length(raw, pos + 1, len(raw))
        parts = _parts(raw, start, pos)
        pairs.append((parts[0x0A].decode(errors="replace"), parts[0x12].decode(errors="replace")))
    return pairs


def parse_labels(raw: bytes) -> dict[str, str]:
    """Labels of a span that ``decode_record`` gave; raises ``Rejected(reason="poison")`` when they are malformed."""
    labels: dict[str, str] = {}
    pos, end = 0, len(raw)
    while pos < end:
        after = _plain_end(raw, pos, end)
        if after:  # the usual layout, read in place: a fifth of the time
            value_at = pos + 4 + raw[pos + 3]
            try:
                labels[raw[pos + 4 : value_at].decode()] = raw[value_at + 2 : after].decode()
            except UnicodeDecodeError as error:
                raise _poison(pos, "not UTF-8") from error
            pos = after
            continue
        if raw[pos] != 0x0A:
            raise _poison(pos, f"field tag {raw[pos]:#x} instead of a label")
        start, pos = _length(raw, pos + 1, end)
        name, value = _label(raw, start, pos)
        labels[name] = value
    return labels


def _plain_end(raw: bytes, pos: int, end: int) -> int:
    """End of the label at ``pos`` if it is ``0a len 0a len name 12 len value`` with lengths of one byte, else 0."""
    if end - pos < 6 or raw[pos] != 0x0A or raw[pos + 2] != 0x0A:
        return 0
    after = pos + 2 + raw[pos + 1]
    value_at = pos + 4 + raw[pos + 3]
    if raw[pos + 1] > 0x7F or after > end or value_at + 2 > after or raw[value_at] != 0x12:
        return 0
    return after if value_at + 2 + raw[value_at + 1] == after else 0
