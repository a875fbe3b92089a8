"""Flat loops over protobuf bytes. Nothing here trusts a length: every read goes through ``varint``."""

from __future__ import annotations

import numpy as np

from connectors.codec.runs import FROM, FULL, HASH, LAST, NEW, expected, learn
from connectors.codec.series_hash import xxh64
from connectors.codec.varint import (
    BAD,
    BYTES,
    FIXED64,
    VARINT,
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

OK, MALFORMED, NO_LABELS, SPLIT_LABELS, NO_ROOM, NOT_LEARNED = range(6)
SCAN_ERRORS = {
    MALFORMED: "malformed protobuf",
    NO_LABELS: "no labels",
    SPLIT_LABELS: "label fields that do not follow each other",
}

LABEL, SAMPLE, HISTOGRAM = 1 << 3 | BYTES, 2 << 3 | BYTES, 4 << 3 | BYTES
"""Tags within a TimeSeries of remote write 1.0, which is what records hold."""
SAMPLE_VALUE, SAMPLE_TIME, SAMPLE_START = 1 << 3 | FIXED64, 2 << 3 | VARINT, 3 << 3 | VARINT


SERIES, TIME, BITS, START, NEW_SERIES, NEW_FROM, NEW_TO = range(7)
"""Rows of the table that ``scan_record`` fills; all int64, hashes and bits are to be viewed as what they are.

The first four have a column per sample, the others one per series of the record that the memory of runs did not know:
its hash and the span of its label bytes.
"""
POS, N, NOTED, HISTOGRAMS, STARTED, RUN_FROM, RUN_TO = range(7)
"""``scan``: position in the record; samples, new series and native histograms so far; whether any sample has a start;
and the span of the labels of the series at hand."""


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


@kernel
def known_series(buf, pos, end, n, seed, table, runs, arena, state):  # type: ignore[no-untyped-def]
    """Series of usual layout whose label runs come as they came before: position after them and the next column."""
    last = state[LAST]
    while pos < end and read_byte(buf, pos) == LABEL:
        start, after = read_length(buf, pos + 1, end)
        run = expected(buf, start, after, seed, last, runs, arena, state) if start >= 0 else np.int64(0)
        if run == 0:
            break
        at, column = start + runs[run + 1, FROM] - runs[run, FROM], n
        while 0 <= at < after and column < table.shape[1] and read_byte(buf, at) == SAMPLE:
            table[SERIES, column] = runs[run, HASH]
            at = plain_sample(buf, at, after, table, column)
            column += 1
        if at != after:
            break
        pos, n, last = after, column, run
    state[LAST] = last
    return np.int64(pos), n


@kernel
def scan_series(buf, pos, end, scan, table):  # type: ignore[no-untyped-def]
    """Samples of the TimeSeries in ``buf[pos:end]`` into the columns from ``scan[N]`` on: status, and next column."""
    n = scan[N]
    scan[RUN_FROM] = BAD
    while pos < end:
        field, tag = pos, read_byte(buf, pos)
        if tag == LABEL and scan[RUN_FROM] >= 0:
            return SPLIT_LABELS, n
        if tag == LABEL:
            pos = label_run(buf, pos, end)
            scan[RUN_FROM], scan[RUN_TO] = field, pos
        elif tag == SAMPLE:
            if n == table.shape[1]:
                return NO_ROOM, n
            pos = plain_sample(buf, field, end, table, n)
            if pos < 0:
                pos = any_sample(buf, field, end, table, n)
                scan[STARTED] |= table[START, n] != 0
            n += 1
        else:
            tag, pos = read_tag(buf, pos, end)
            scan[HISTOGRAMS] += tag == HISTOGRAM
            odd = tag in (LABEL, SAMPLE)
            pos = np.int64(BAD) if pos < 0 or odd else skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return MALFORMED, n
    return (NO_LABELS if scan[RUN_FROM] < 0 else OK), n


@kernel
def enter_series(buf, seed, scan, table, end, runs, slots, arena, state):  # type: ignore[no-untyped-def]
    """Hash the series whose samples stand in the columns up to ``end``; a new one is noted with its label bytes."""
    start, to = scan[RUN_FROM], scan[RUN_TO]
    digest = xxh64(buf, start, to, seed)
    if end > scan[N]:
        learned = learn(buf, start, to, digest, seed, runs, slots, arena, state)
        if learned == FULL:
            return NOT_LEARNED
        if learned == NEW:
            note = scan[NOTED]
            table[NEW_SERIES, note] = np.int64(digest)
            table[NEW_FROM, note] = start
            table[NEW_TO, note] = to
            scan[NOTED] = note + 1
    for column in range(scan[N], end):
        table[SERIES, column] = np.int64(digest)
    scan[N] = end
    return OK


@kernel
def scan_record(buf, seed, scan, table, runs, slots, arena, state):  # type: ignore[no-untyped-def]
    """Samples of the WriteRequest in ``buf`` (uint8) from byte ``scan[POS]`` on into ``table`` (7, any) int64.

    Returns a status. After NO_ROOM and NOT_LEARNED the call may be repeated with more room: ``scan`` then stands at the
    series that found none.
    """
    end = np.int64(len(buf))
    while scan[POS] < end:
        pos, scan[N] = known_series(buf, scan[POS], end, scan[N], seed, table, runs, arena, state)
        scan[POS] = pos
        if pos == end:
            break
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag != LABEL:  # 1: TimeSeries, the same tag
            pos = skip_value(buf, pos, end, tag & 7)
        elif pos >= 0:
            pos, after = read_length(buf, pos, end)
            if pos >= 0:
                histograms = scan[HISTOGRAMS]
                status, n = scan_series(buf, pos, after, scan, table)
                if status == OK:
                    status = enter_series(buf, seed, scan, table, n, runs, slots, arena, state)
                if status != OK:
                    scan[HISTOGRAMS] = histograms
                    return status
                pos = after
        if pos < 0:
            return MALFORMED
        scan[POS] = pos
    return OK
