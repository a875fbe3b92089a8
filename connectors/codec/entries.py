"""Records of ``tocsin.logs`` to spans: where each line of a ``logproto.Stream`` stands. No Python object per line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec.varint import (
    BAD,
    BYTES,
    VARINT,
    kernel,
    read_byte,
    read_length,
    read_tag,
    read_varint,
    skip_value,
)
from connectors.errors import Rejected

TIME_MS, LINE_FROM, LINE_TO, LEVEL_FROM, LEVEL_TO = range(5)
"""Rows of the table that ``scan_stream`` fills, a column per line; −1 where no metadata tells a level."""
N, LABELS_FROM, LABELS_TO = range(3)
"""``scan``: lines found, and the span of the stream's labels (−1: none)."""
FIRST_LINES = 1024


def _packed(text: bytes) -> int:
    return int.from_bytes(text, "little")


LEVEL, SEVERITY, SEVERITY_TEXT = _packed(b"level"), _packed(b"severity"), _packed(b"ity_text")
"""So end the names of metadata that tell a level: ``level``, ``detected_level``, ``log.level``, ``severity`` …"""

LABELS, ENTRY = 1 << 3 | BYTES, 2 << 3 | BYTES
TIME, LINE, METADATA = 1 << 3 | BYTES, 2 << 3 | BYTES, 3 << 3 | BYTES
SECONDS, NANOS = 1 << 3 | VARINT, 2 << 3 | VARINT
NAME, VALUE = 1 << 3 | BYTES, 2 << 3 | BYTES
OK, MALFORMED, NO_ROOM = range(3)


class Entries(NamedTuple):
    """The lines of one record: ``table`` (5, n) int64 as above, spans are of ``buf`` (uint8)."""

    labels: bytes
    buf: npt.NDArray[np.uint8]
    table: npt.NDArray[np.int64]


def read_entries(value: bytes) -> Entries:
    """The lines of a record's value; raises ``Rejected(reason="poison")`` when it is no stream with labels."""
    buf, scan = np.frombuffer(value, np.uint8), np.zeros(3, np.int64)
    table = np.empty((5, min(FIRST_LINES, len(buf))), np.int64)
    while (status := int(scan_stream(buf, scan, table))) == NO_ROOM:
        table = np.empty((5, min(4 * table.shape[1], len(buf))), np.int64)
    if status == MALFORMED or scan[LABELS_FROM] < 0:
        message = f"record of {len(value)} bytes: {'malformed protobuf' if status == MALFORMED else 'no labels'}"
        raise Rejected(reason="poison", message=message)
    return Entries(value[scan[LABELS_FROM] : scan[LABELS_TO]], buf, table[:, : scan[N]])


@kernel
def _end_of(buf, start, end, size):  # type: ignore[no-untyped-def]
    """The last ``size`` bytes of ``buf[start:end]`` as one number, 0 where there are fewer."""
    value = np.int64(0)
    if end - start >= size:
        for i in range(size):
            value |= read_byte(buf, end - size + i) << np.int64(8 * i)
    return value


@kernel
def _tells_level(buf, start, end):  # type: ignore[no-untyped-def]
    last = _end_of(buf, start, end, 8)
    return _end_of(buf, start, end, 5) == LEVEL or last in (SEVERITY, SEVERITY_TEXT)


@kernel
def _time_ms(buf, pos, end):  # type: ignore[no-untyped-def]
    """Milliseconds since 1970 of the Timestamp in ``buf[pos:end]``, rounded down, and whether it is one."""
    seconds, nanos = np.int64(0), np.int64(0)
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if tag == SECONDS:
            seconds, pos = read_varint(buf, pos, end)
        elif tag == NANOS:
            nanos, pos = read_varint(buf, pos, end)
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
    return seconds * 1000 + nanos // 1_000_000, pos >= 0


@kernel
def _level(buf, pos, end):  # type: ignore[no-untyped-def]
    """Span of the value of the label pair in ``buf[pos:end]`` if its name tells a level, else −1; and if it is one."""
    start = to = np.int64(BAD)
    tells = False
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag in (NAME, VALUE):
            pos, after = read_length(buf, pos, end)
            if pos >= 0 and tag == NAME:
                tells = _tells_level(buf, pos, after)
            elif pos >= 0:
                start, to = pos, after
            pos = after
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
    return (start, to, pos >= 0) if tells else (np.int64(BAD), np.int64(BAD), pos >= 0)


@kernel
def _entry(buf, pos, end, table, n):  # type: ignore[no-untyped-def]
    """The entry in ``buf[pos:end]`` into column n; whether it is one. What stands twice counts as it stands last."""
    table[TIME_MS, n] = table[LINE_FROM, n] = table[LINE_TO, n] = 0
    table[LEVEL_FROM, n] = table[LEVEL_TO, n] = BAD
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        if tag & 7 != BYTES:
            pos = skip_value(buf, pos, end, tag & 7)
            continue
        pos, after = read_length(buf, pos, end)
        fine = pos >= 0
        if fine and tag == TIME:
            table[TIME_MS, n], fine = _time_ms(buf, pos, after)
        elif fine and tag == LINE:
            table[LINE_FROM, n], table[LINE_TO, n] = pos, after
        elif fine and tag == METADATA:
            start, to, fine = _level(buf, pos, after)
            if start >= 0:
                table[LEVEL_FROM, n], table[LEVEL_TO, n] = start, to
        if not fine:
            return False
        pos = after
    return pos >= 0


@kernel
def scan_stream(buf, scan, table):  # type: ignore[no-untyped-def]
    """Spans of the Stream in ``buf`` (uint8) into ``table`` (5, any) int64; a status."""
    pos, end = np.int64(0), np.int64(len(buf))
    scan[N], scan[LABELS_FROM], scan[LABELS_TO] = 0, BAD, BAD
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return MALFORMED
        if tag not in (LABELS, ENTRY):
            pos = skip_value(buf, pos, end, tag & 7)
            if pos < 0:
                return MALFORMED
            continue
        pos, after = read_length(buf, pos, end)
        if pos < 0:
            return MALFORMED
        if tag == LABELS:
            scan[LABELS_FROM], scan[LABELS_TO] = pos, after
        elif scan[N] == table.shape[1]:
            return NO_ROOM
        elif _entry(buf, pos, after, table, scan[N]):
            scan[N] += 1
        else:
            return MALFORMED
        pos = after
    return OK
