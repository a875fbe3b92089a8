"""Label bytes to a dict, once per new series."""

from __future__ import annotations

from connectors.errors import Rejected


def _poison(at: int, what: str) -> Rejected:
    message = f"label bytes: {what} at byte {at}"
    return Rejected(reason="poison", message=message)


def _varint(raw: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    for at in range(pos, min(len(raw), pos + 10)):
        value |= (raw[at] & 0x7F) << shift
        if raw[at] < 0x80:
            return value, at + 1
        shift += 7
    raise _poison(pos, "bad varint")


def _length(raw: bytes, pos: int, end: int) -> tuple[int, int]:
    length, start = _varint(raw, pos)
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
    pos = 0
    while pos < len(raw):
        if raw[pos] != 0x0A:
            raise _poison(pos, f"field tag {raw[pos]:#x} instead of a label")
        start, pos = _length(raw, pos + 1, len(raw))
        name, value = _label(raw, start, pos)
        labels[name] = value
    return labels
