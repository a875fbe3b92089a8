"""Flat loops over protobuf bytes. Nothing here trusts a length: every read goes through ``varint``."""

from __future__ import annotations

import numpy as np

from connectors.codec.series_hash import xxh64
from connectors.codec.varint import (
    BAD,
    BYTES,
    FIXED64,
    VARINT,
    allocating,
    kernel,
    plain_label,
    read_byte,
    read_length,
    read_tag,
    read_u64,
    read_varint,
    skip_value,
    well_formed,
)

OK, MALFORMED, NO_LABELS, SPLIT_LABELS = 0, 1, 2, 3
SCAN_ERRORS = {
    MALFORMED: "malformed protobuf",
    NO_LABELS: "no labels",
    SPLIT_LABELS: "label fields that do not follow each other",
}

LABEL, SAMPLE, HISTOGRAM = 1 << 3 | BYTES, 2 << 3 | BYTES, 4 << 3 | BYTES
"""Tags within a TimeSeries of remote write 1.0, which is what records hold."""
SAMPLE_VALUE, SAMPLE_TIME, SAMPLE_START = 1 << 3 | FIXED64, 2 << 3 | VARINT, 3 << 3 | VARINT


SERIES, TIME, BITS, START, LABELS_FROM, LABELS_TO = range(6)
"""Rows of the table that ``scan_record`` fills; all int64, hash and bits are to be viewed as what they are."""


@allocating
def grown(table, n):  # type: ignore[no-untyped-def]
    """A copy of the first n columns of ``table`` with twice the room."""
    wider = np.empty((table.shape[0], 2 * table.shape[1]), table.dtype)
    wider[:, :n] = table[:, :n]
    return wider


@kernel
def plain_time(buf, pos, end):  # type: ignore[no-untyped-def]
    """Value of the varint that fills ``buf[pos:end]``, at most 9 bytes; ``BAD`` if it ends elsewhere."""
    value, shift, last = np.int64(0), np.int64(0), end - 1
    while pos < last:
        byte = read_byte(buf, pos)
        if byte < 0x80:
            return np.int64(BAD)
        value |= (byte & np.int64(0x7F)) << shift
        shift += np.int64(7)
        pos += 1
    byte = read_byte(buf, last)
    return value | byte << shift if byte < 0x80 else np.int64(BAD)


@kernel
def plain_sample(buf, pos, end, table, n):  # type: ignore[no-untyped-def]
    """Put the sample field at ``pos`` into column n if it is ``12 len 09 value 10 time``: position after it or BAD."""
    if end - pos < 13 or read_byte(buf, pos + 2) != SAMPLE_VALUE or read_byte(buf, pos + 11) != SAMPLE_TIME:
        return np.int64(BAD)
    length = read_byte(buf, pos + 1)
    after = pos + 2 + length
    if length < 11 or length > 19 or after > end:
        return np.int64(BAD)
    time_ms = plain_time(buf, pos + 12, after)
    table[TIME, n] = time_ms
    table[BITS, n] = np.int64(read_u64(buf, pos + 3))
    table[START, n] = 0
    return np.int64(after) if time_ms >= 0 else np.int64(BAD)


@kernel
def any_sample(buf, pos, end, table, n):  # type: ignore[no-untyped-def]
    """Put the sample field at ``pos``, laid out in any way, into column n; position after it or ``BAD``."""
    table[TIME, n] = table[BITS, n] = table[START, n] = 0
    pos, after = read_length(buf, pos + 1, end)
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if tag == SAMPLE_VALUE and after - pos >= 8:
            table[BITS, n] = np.int64(read_u64(buf, pos))
            pos += 8
        elif tag == SAMPLE_TIME:
            table[TIME, n], pos = read_varint(buf, pos, after)
        elif tag == SAMPLE_START:
            table[START, n], pos = read_varint(buf, pos, after)
        elif pos >= 0:
            pos = skip_value(buf, pos, after, tag & 7)
    return after if pos >= 0 else np.int64(BAD)


@kernel
def label_run(buf, pos, end):  # type: ignore[no-untyped-def]
    """Position after the label fields that follow each other from ``pos``; ``BAD`` when one is malformed."""
    while pos < end and read_byte(buf, pos) == LABEL:
        after = plain_label(buf, pos, end)
        if after < 0:
            start, after = read_length(buf, pos + 1, end)
            if after < 0 or not well_formed(buf, start, after):
                return np.int64(BAD)
        pos = after
    return np.int64(pos)


@allocating
def scan_record(buf, seed, table):  # type: ignore[no-untyped-def]
    """All samples of the WriteRequest in ``buf`` (uint8) into ``table`` (6, any) int64.

    Returns status, position of the series, samples, histograms, whether any sample has a start, and the table
    (another one when it had to grow).
    """
    n, histograms, status, at = np.int64(0), np.int64(0), OK, np.int64(0)
    starts = np.int64(0)
    pos, end = np.int64(0), np.int64(len(buf))
    while pos < end and status == OK:
        at = pos
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag != LABEL:  # 1: TimeSeries, the same tag
            pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            status = MALFORMED
        if status != OK or tag != LABEL:
            continue
        pos, series_end = read_length(buf, pos, end)
        if pos < 0:
            status = MALFORMED
            break
        first, run_from, run_to = n, np.int64(BAD), np.int64(BAD)
        while pos < series_end:
            field = pos
            tag = read_byte(buf, pos)
            if tag == LABEL and run_from >= 0:
                status = SPLIT_LABELS
                break
            if tag == LABEL:
                pos = label_run(buf, pos, series_end)
                run_from, run_to = field, pos
            elif tag == SAMPLE:
                if n == table.shape[1]:
                    table = grown(table, n)
                pos = plain_sample(buf, field, series_end, table, n)
                if pos < 0:
                    pos = any_sample(buf, field, series_end, table, n)
                    starts |= table[START, n]
                n += 1
            else:
                tag, pos = read_tag(buf, pos, series_end)
                histograms += tag == HISTOGRAM
                odd = tag in (LABEL, SAMPLE)
                pos = np.int64(BAD) if pos < 0 or odd else skip_value(buf, pos, series_end, tag & 7)
            if pos < 0:
                status = MALFORMED
                break
        if status == OK and run_from < 0:
            status = NO_LABELS
        if status == OK:
            digest = np.int64(xxh64(buf, run_from, run_to, seed))
            for column in range(first, n):
                table[SERIES, column] = digest
                table[LABELS_FROM, column] = run_from
                table[LABELS_TO, column] = run_to
    return status, at, n, histograms, starts != 0, table
