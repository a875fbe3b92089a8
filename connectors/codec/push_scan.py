"""Kernels that scan a push of protobuf: walk and judge every line, and gather the good ones of each stream.

What comes out are *chunks*: entries of one stream that stand together in ``out``, ready to be put between the first and
the last bytes of a record. Nothing here makes a Python object, or an array.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.entry import (
    BAD_TIME,
    CODES,
    ENTRY,
    GOOD,
    LINE_FROM,
    LINE_TO,
    LINE_TOO_LONG,
    NANOS,
    PAIR_BYTES,
    PAIRS,
    PLAIN,
    SECONDS,
    judge_entry,
    walk_entry,
    write_entry,
)
from connectors.codec.limits import RECORD_BYTES
from connectors.codec.spans import write_bytes
from connectors.codec.varint import BAD, BYTES, kernel, read_byte, read_length, read_tag, skip_value

STREAM, LABELS = 1 << 3 | BYTES, 1 << 3 | BYTES
"""Tags of a stream in a request, and of the labels in a stream."""
LABELS_FROM, LABELS_TO, LINES, BAD_LINE, BAD_CODE, BAD_A, BAD_B, REFUSED = range(8)
"""``streams`` (streams, 8 + CODES) int64: span of the labels, lines, the first bad line (−1: none) with what is wrong
and two numbers of it, and from REFUSED on how many lines are refused for each code."""
STREAM_COLUMNS = 8 + CODES
OF, FROM, TO = range(3)
"""``chunks`` (any, 3) int64: number of the stream and span in ``out``."""
CHUNKS, USED = range(2)
"""``total`` (2,) int64: chunks, and bytes of ``out``."""


@kernel
def count_streams(buf):  # type: ignore[no-untyped-def]
    """How many streams the PushRequest in ``buf`` has, ``BAD`` if it is malformed; inside of them nobody looks."""
    pos, end, count = np.int64(0), np.int64(len(buf)), np.int64(0)
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return np.int64(BAD)
        count += tag == STREAM
        pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return np.int64(BAD)
    return count


@kernel
def _refuse(stream, entry, code):  # type: ignore[no-untyped-def]
    """Count a bad line of a stream, and remember the first."""
    stream[REFUSED + code] += 1
    if stream[BAD_LINE] < 0:
        stream[BAD_LINE], stream[BAD_CODE] = stream[LINES], code
        if code == BAD_TIME:
            stream[BAD_A], stream[BAD_B] = entry[SECONDS], entry[NANOS]
        elif code == LINE_TOO_LONG:
            stream[BAD_A] = entry[LINE_TO] - entry[LINE_FROM]
        else:
            stream[BAD_A], stream[BAD_B] = entry[PAIRS], entry[PAIR_BYTES]


@kernel
def _keep(buf, field, pos, end, entry, out, n, chunks, total):  # type: ignore[no-untyped-def]
    """Put the good entry, whose field starts at ``field``, behind those of its stream n."""
    at = total[USED]
    if entry[PLAIN] and read_byte(buf, field) == ENTRY:
        after = write_bytes(out, at, buf, field, end)
    else:
        after = write_entry(out, at, buf, pos, end, entry)
    chunk = total[CHUNKS] - 1
    if chunk < 0 or chunks[chunk, OF] != n or after - chunks[chunk, FROM] > RECORD_BYTES:
        chunk += 1
        chunks[chunk, OF], chunks[chunk, FROM] = n, at
        total[CHUNKS] = chunk + 1
    chunks[chunk, TO] = after
    total[USED] = after


@kernel
def _scan_stream(buf, pos, end, n, limits, entry, streams, chunks, out, total):  # type: ignore[no-untyped-def]
    """Walk the Stream in ``buf[pos:end]``; whether it is one."""
    stream = streams[n]
    while pos < end:
        field = pos
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        if tag != LABELS and tag != ENTRY:
            pos = skip_value(buf, pos, end, tag & 7)
            if pos < 0:
                return False
            continue
        pos, after = read_length(buf, pos, end)
        if pos < 0:
            return False
        if tag == LABELS:
            stream[LABELS_FROM], stream[LABELS_TO] = pos, after
        else:
            if not walk_entry(buf, pos, after, entry):
                return False
            code = judge_entry(entry, limits)
            if code == GOOD:
                _keep(buf, field, pos, after, entry, out, n, chunks, total)
            else:
                _refuse(stream, entry, code)
            stream[LINES] += 1
        pos = after
    return True


@kernel
def scan_push(buf, limits, entry, streams, chunks, out, total):  # type: ignore[no-untyped-def]
    """Scan the PushRequest in ``buf`` (uint8), whose streams were counted; whether it is one.

    ``streams`` (zeroed) has a row for each, ``chunks`` has ``max_chunks`` rows, ``out`` as many bytes as ``buf``.
    """
    pos, end, n = np.int64(0), np.int64(len(buf)), 0
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if tag != STREAM:
            pos = skip_value(buf, pos, end, tag & 7)
            continue
        pos, after = read_length(buf, pos, end)
        streams[n, BAD_LINE] = -1
        if not _scan_stream(buf, pos, after, n, limits, entry, streams, chunks, out, total):
            return False
        n += 1
        pos = after
    return True


def max_chunks(streams: int, size_bytes: int) -> int:
    """Chunks that a request of this size has at most: two that follow each other in a stream exceed a record."""
    return streams + 2 * (size_bytes // RECORD_BYTES) + 1
