"""Kernels for one entry of a pushed stream: take it apart, judge it, and write it as records hold it.

An entry that is laid out as every known sender does is copied as it stands; any other well-formed one is written anew:
time, line and metadata in this order, each once, what is unknown left out. That is never longer than what came.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.spans import varint_size, write_bytes, write_varint
from connectors.codec.varint import BYTES, VARINT, kernel, read_byte, read_length, read_tag, read_varint, skip_value

GOOD, BAD_TIME, LINE_TOO_LONG, TOO_MANY_PAIRS, METADATA_TOO_LARGE = range(5)
CODES = 5

ENTRY = 2 << 3 | BYTES
TIME, LINE, METADATA = 1 << 3 | BYTES, 2 << 3 | BYTES, 3 << 3 | BYTES
SECOND, NANO = 1 << 3 | VARINT, 2 << 3 | VARINT
NAME, VALUE = 1 << 3 | BYTES, 2 << 3 | BYTES

SECONDS, NANOS, LINE_FROM, LINE_TO, PAIRS, PAIR_BYTES, PAIR_SIZE, PLAIN, NAME_FROM, NAME_TO, VALUE_FROM, VALUE_TO = (
    range(12)
)
"""``entry`` (12,) int64: what was found of the entry at hand. PAIR_BYTES are those of names and values, PAIR_SIZE what
all pairs take when they are written anew; PLAIN is whether it may be copied. The last four are of one pair."""
COLUMNS = 12
MOST_LINE_BYTES, MOST_PAIRS, MOST_PAIR_BYTES, MOST_SECONDS = range(4)
"""``limits`` (4,) int64."""
NANOS_PER_SECOND = 1_000_000_000


@kernel
def _int32(value):  # type: ignore[no-untyped-def]
    """What a field of type int32 makes of a varint."""
    low = value & np.int64(0xFFFFFFFF)
    return low - ((low & np.int64(0x80000000)) << np.int64(1))


@kernel
def _walk_time(buf, pos, end, entry):  # type: ignore[no-untyped-def]
    """Read the Timestamp in ``buf[pos:end]``; whether it is one."""
    last = np.int64(0)
    while pos < end:
        field = read_byte(buf, pos)
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        entry[PLAIN] &= field > last and field in (SECOND, NANO)
        last = field
        if tag == SECOND:
            entry[SECONDS], pos = read_varint(buf, pos, end)
        elif tag == NANO:
            value, pos = read_varint(buf, pos, end)
            entry[NANOS] = _int32(value)
            entry[PLAIN] &= entry[NANOS] == value
        else:
            pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return False
    return True


@kernel
def _walk_pair(buf, pos, end, entry):  # type: ignore[no-untyped-def]
    """Read the LabelPair in ``buf[pos:end]``; whether it is one."""
    last = np.int64(0)
    entry[NAME_FROM] = entry[NAME_TO] = entry[VALUE_FROM] = entry[VALUE_TO] = 0
    while pos < end:
        field = read_byte(buf, pos)
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        entry[PLAIN] &= field > last and field in (NAME, VALUE)
        last = field
        if tag == NAME:
            entry[NAME_FROM], pos = read_length(buf, pos, end)
            entry[NAME_TO] = pos
        elif tag == VALUE:
            entry[VALUE_FROM], pos = read_length(buf, pos, end)
            entry[VALUE_TO] = pos
        else:
            pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return False
    return True


@kernel
def _text_size(start, end):  # type: ignore[no-untyped-def]
    """Bytes of a field with this text; an empty one is left out."""
    return 1 + varint_size(end - start) + end - start if end > start else np.int64(0)


@kernel
def _pair_content(entry):  # type: ignore[no-untyped-def]
    return _text_size(entry[NAME_FROM], entry[NAME_TO]) + _text_size(entry[VALUE_FROM], entry[VALUE_TO])


@kernel
def walk_entry(buf, pos, end, entry):  # type: ignore[no-untyped-def]
    """Read the Entry in ``buf[pos:end]`` into ``entry``; whether it is one. Of what stands twice the last counts."""
    entry[:] = 0
    entry[PLAIN] = 1
    last = np.int64(0)
    while pos < end:
        field = read_byte(buf, pos)
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        if tag not in (TIME, LINE, METADATA):
            entry[PLAIN] = 0
            pos = skip_value(buf, pos, end, tag & 7)
            if pos < 0:
                return False
            continue
        entry[PLAIN] &= field == tag and (field > last or (field == METADATA and last == METADATA))
        last = field
        pos, after = read_length(buf, pos, end)
        if pos < 0:
            return False
        if tag == TIME:
            if not _walk_time(buf, pos, after, entry):
                return False
        elif tag == LINE:
            entry[LINE_FROM], entry[LINE_TO] = pos, after
        else:
            if not _walk_pair(buf, pos, after, entry):
                return False
            size = _pair_content(entry)
            entry[PAIRS] += 1
            entry[PAIR_BYTES] += entry[NAME_TO] - entry[NAME_FROM] + entry[VALUE_TO] - entry[VALUE_FROM]
            entry[PAIR_SIZE] += 1 + varint_size(size) + size
        pos = after
    return True


@kernel
def judge_entry(entry, limits):  # type: ignore[no-untyped-def]
    """``GOOD``, or what is wrong first with the entry that was walked."""
    seconds, nanos = entry[SECONDS], entry[NANOS]
    if seconds < 0 or seconds >= limits[MOST_SECONDS] or nanos < 0 or nanos >= NANOS_PER_SECOND:
        return BAD_TIME
    if entry[LINE_TO] - entry[LINE_FROM] > limits[MOST_LINE_BYTES]:
        return LINE_TOO_LONG
    if entry[PAIRS] > limits[MOST_PAIRS]:
        return TOO_MANY_PAIRS
    return METADATA_TOO_LARGE if entry[PAIR_BYTES] > limits[MOST_PAIR_BYTES] else GOOD


@kernel
def _time_size(entry):  # type: ignore[no-untyped-def]
    """Bytes of the content of the time field; numbers that are 0 are left out."""
    seconds, nanos = entry[SECONDS], entry[NANOS]
    size = 1 + varint_size(seconds) if seconds > 0 else np.int64(0)
    return size + 1 + varint_size(nanos) if nanos > 0 else size


@kernel
def _write_text(out, at, tag, buf, start, end):  # type: ignore[no-untyped-def]
    if end == start:
        return at
    out[at] = tag
    return write_bytes(out, write_varint(out, at + 1, end - start), buf, start, end)


@kernel
def _write_number(out, at, tag, value):  # type: ignore[no-untyped-def]
    if value == 0:
        return at
    out[at] = tag
    return write_varint(out, at + 1, value)


@kernel
def _write_pairs(out, at, buf, pos, end, entry):  # type: ignore[no-untyped-def]
    """The metadata of the Entry in ``buf[pos:end]``, whose walk has found nothing malformed."""
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if tag != METADATA:
            pos = skip_value(buf, pos, end, tag & 7)
            continue
        pos, after = read_length(buf, pos, end)
        _walk_pair(buf, pos, after, entry)
        out[at] = METADATA
        at = write_varint(out, at + 1, _pair_content(entry))
        at = _write_text(out, at, NAME, buf, entry[NAME_FROM], entry[NAME_TO])
        at = _write_text(out, at, VALUE, buf, entry[VALUE_FROM], entry[VALUE_TO])
        pos = after
    return at


@kernel
def write_entry(out, at, buf, pos, end, entry):  # type: ignore[no-untyped-def]
    """Write the Entry in ``buf[pos:end]``, which was walked and is good, anew; position after it."""
    time = _time_size(entry)
    size = (2 + time if time > 0 else np.int64(0)) + _text_size(entry[LINE_FROM], entry[LINE_TO]) + entry[PAIR_SIZE]
    out[at] = ENTRY
    at = write_varint(out, at + 1, size)
    if time > 0:
        out[at] = TIME
        at = write_varint(out, at + 1, time)
        at = _write_number(out, at, SECOND, entry[SECONDS])
        at = _write_number(out, at, NANO, entry[NANOS])
    at = _write_text(out, at, LINE, buf, entry[LINE_FROM], entry[LINE_TO])
    return _write_pairs(out, at, buf, pos, end, entry)
