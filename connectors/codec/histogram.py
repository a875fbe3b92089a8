"""Kernel that checks one native histogram: count, buckets, spans and schema must agree.

The rules are those of Prometheus' ``histogram.Validate`` (model/histogram), with one more: Prometheus does not compare
count and buckets of float histograms; here they are refused when they differ by more than ``FLOAT_TOLERANCE``, which
no rounding explains. Histograms have the same field numbers in remote write 1.0 and 2.0.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.varint import (
    BAD,
    BYTES,
    FIXED64,
    VARINT,
    kernel,
    read_length,
    read_tag,
    read_u64,
    read_varint,
    skip_value,
)

FLOAT_TOLERANCE = 1e-3
"""Relative; rounding of rates and averages of native histograms stays below 1e-6."""
CUSTOM_BUCKETS = -53
"""Schema of histograms whose bounds stand in the message."""
LOWEST_SCHEMA, HIGHEST_SCHEMA = -9, 52
"""Exponential schemas: -4 to 8 in use, the rest reserved and reduced by Prometheus when it meets them."""

GOOD, BAD_COUNT, BAD_SPANS, NEGATIVE_BUCKET, BAD_SCHEMA, BAD_BOUNDS = 0, 20, 21, 22, 23, 24

IS_FLOAT, COUNT, ZERO_COUNT, SCHEMA, START, BOUNDS, BOUNDS_WRONG = range(7)
POSITIVE, NEGATIVE = 7, 16
LAST, TOTAL, BUCKETS, BELOW_ZERO, SPANNED, SPANS, REACH, OFFSET_WRONG, STARTS_BELOW = range(9)
"""Integer state: seven scalars, then nine numbers for each side."""
INTEGERS = NEGATIVE + 9
FLOAT_COUNT, FLOAT_ZERO, SUM, ZERO_THRESHOLD, LAST_BOUND = range(5)
POSITIVE_SUM, NEGATIVE_SUM = 5, 6
FLOATS = 7
POSITIVE_FLOAT_BUCKETS, NEGATIVE_FLOAT_BUCKETS, FLOAT_BELOW_ZERO = INTEGERS, INTEGERS + 1, INTEGERS + 2
STATE = INTEGERS + 3


@kernel
def _double(buf, pos, word):  # type: ignore[no-untyped-def]
    word[0] = read_u64(buf, pos)
    return word.view(np.float64)[0]


@kernel
def _zigzag(value):  # type: ignore[no-untyped-def]
    return ((value >> np.int64(1)) & np.int64(0x7FFFFFFFFFFFFFFF)) ^ -(value & np.int64(1))


@kernel
def _int32(value):  # type: ignore[no-untyped-def]
    low = value & np.int64(0xFFFFFFFF)
    return low - np.int64(0x100000000) if low > 0x7FFFFFFF else low


@kernel
def _add_delta(state, side, delta):  # type: ignore[no-untyped-def]
    state[side + LAST] += delta
    state[side + TOTAL] += state[side + LAST]
    state[side + BUCKETS] += 1
    state[side + BELOW_ZERO] |= state[side + LAST] < 0


@kernel
def _deltas(buf, pos, end, wire_type, state, side):  # type: ignore[no-untyped-def]
    """Buckets as differences, packed or single: position after them."""
    if wire_type == VARINT:
        value, pos = read_varint(buf, pos, end)
        _add_delta(state, side, _zigzag(value))
        return pos
    pos, after = read_length(buf, pos, end)
    while 0 <= pos < after:
        value, pos = read_varint(buf, pos, after)
        _add_delta(state, side, _zigzag(value))
    return pos


@kernel
def _add_double(value, field, state, floats):  # type: ignore[no-untyped-def]
    if field == 16:
        first = state[BOUNDS] == 0
        ordered = (first or value > floats[LAST_BOUND]) and value < np.inf
        state[BOUNDS_WRONG] |= not ordered
        floats[LAST_BOUND] = value
        state[BOUNDS] += 1
        return
    floats[POSITIVE_SUM if field == 13 else NEGATIVE_SUM] += value
    state[POSITIVE_FLOAT_BUCKETS if field == 13 else NEGATIVE_FLOAT_BUCKETS] += 1
    state[FLOAT_BELOW_ZERO] |= value < 0


@kernel
def _doubles(buf, pos, end, wire_type, field, state, floats, word):  # type: ignore[no-untyped-def]
    """Float buckets or custom bounds, packed or single: position after them."""
    if wire_type == FIXED64:
        if end - pos < 8:
            return np.int64(BAD)
        _add_double(_double(buf, pos, word), field, state, floats)
        return pos + 8
    pos, after = read_length(buf, pos, end)
    if pos < 0 or (after - pos) % 8 != 0:
        return np.int64(BAD)
    while pos < after:
        _add_double(_double(buf, pos, word), field, state, floats)
        pos += 8
    return pos


@kernel
def _span(buf, pos, end, state, side):  # type: ignore[no-untyped-def]
    """One BucketSpan: position after it."""
    pos, after = read_length(buf, pos, end)
    offset, length = np.int64(0), np.int64(0)
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if tag == 1 << 3 | VARINT:
            value, pos = read_varint(buf, pos, after)
            offset = _int32(_zigzag(value & np.int64(0xFFFFFFFF)))
        elif tag == 2 << 3 | VARINT:
            value, pos = read_varint(buf, pos, after)
            length = value & np.int64(0xFFFFFFFF)
        elif pos >= 0:
            pos = skip_value(buf, pos, after, tag & 7)
    if state[side + SPANS] == 0:  # exponential buckets may start below 0, custom ones may not
        state[side + STARTS_BELOW] = offset < 0
    else:
        state[side + OFFSET_WRONG] |= offset < 0
    state[side + SPANS] += 1
    state[side + SPANNED] += length
    state[side + REACH] += offset + length
    return pos


@kernel
def _scalar(buf, pos, end, tag, state, floats, word):  # type: ignore[no-untyped-def]
    """Count, sum, schema and the other single fields: position after the value, whatever the field."""
    field = tag >> 3
    if tag & 7 == VARINT:
        value, pos = read_varint(buf, pos, end)
        if field == 1:
            state[COUNT] = value
            state[IS_FLOAT] = 0
        elif field == 4:
            state[SCHEMA] = _int32(_zigzag(value & np.int64(0xFFFFFFFF)))
        elif field == 6:
            state[ZERO_COUNT] = value
            floats[FLOAT_ZERO] = 0.0
        elif field == 17:
            state[START] = value
        return pos
    if tag & 7 == FIXED64 and end - pos >= 8:
        value = _double(buf, pos, word)
        if field == 2:
            floats[FLOAT_COUNT] = value
            state[IS_FLOAT] = 1
        elif field == 3:
            floats[SUM] = value
        elif field == 5:
            floats[ZERO_THRESHOLD] = value
        elif field == 7:
            floats[FLOAT_ZERO] = value
            state[ZERO_COUNT] = 0
    return skip_value(buf, pos, end, tag & 7)


@kernel
def read_histogram(buf, pos, end, state, floats, word):  # type: ignore[no-untyped-def]
    """Read the Histogram in ``buf[pos:end]`` into the scratch arrays; whether it is well-formed."""
    state[:] = 0
    floats[:] = 0.0
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        field, wire_type = tag >> 3, tag & 7
        if pos < 0:
            break
        if (field in (8, 11)) and wire_type == BYTES:
            pos = _span(buf, pos, end, state, POSITIVE if field == 11 else NEGATIVE)
        elif (field in (9, 12)) and (wire_type in (VARINT, BYTES)):
            pos = _deltas(buf, pos, end, wire_type, state, POSITIVE if field == 12 else NEGATIVE)
        elif (field in (10, 13, 16)) and (wire_type in (FIXED64, BYTES)):
            pos = _doubles(buf, pos, end, wire_type, field, state, floats, word)
        else:
            pos = _scalar(buf, pos, end, tag, state, floats, word)
    return pos >= 0


@kernel
def _check_schema(state, floats):  # type: ignore[no-untyped-def]
    if state[SCHEMA] == CUSTOM_BUCKETS:
        negative = state[NEGATIVE + SPANS] + state[NEGATIVE + BUCKETS] + state[NEGATIVE_FLOAT_BUCKETS]
        zero = state[ZERO_COUNT] != 0 or floats[FLOAT_ZERO] != 0.0 or floats[ZERO_THRESHOLD] != 0.0
        outside = state[POSITIVE + STARTS_BELOW] or state[POSITIVE + REACH] > state[BOUNDS] + 1
        if state[BOUNDS_WRONG] or negative > 0 or zero or outside:
            return BAD_BOUNDS
        return GOOD
    if state[BOUNDS] > 0:
        return BAD_BOUNDS
    return GOOD if LOWEST_SCHEMA <= state[SCHEMA] <= HIGHEST_SCHEMA else BAD_SCHEMA


@kernel
def _check_spans(state):  # type: ignore[no-untyped-def]
    if state[POSITIVE + OFFSET_WRONG] or state[NEGATIVE + OFFSET_WRONG]:
        return BAD_SPANS
    floating = state[IS_FLOAT] == 1
    positive = state[POSITIVE_FLOAT_BUCKETS] if floating else state[POSITIVE + BUCKETS]
    negative = state[NEGATIVE_FLOAT_BUCKETS] if floating else state[NEGATIVE + BUCKETS]
    if positive != state[POSITIVE + SPANNED] or negative != state[NEGATIVE + SPANNED]:
        return BAD_SPANS
    return GOOD


@kernel
def _check_integer_count(state, floats):  # type: ignore[no-untyped-def]
    if state[POSITIVE + BELOW_ZERO] or state[NEGATIVE + BELOW_ZERO]:
        return NEGATIVE_BUCKET
    total = np.uint64(state[POSITIVE + TOTAL] + state[NEGATIVE + TOTAL] + state[ZERO_COUNT])
    count = np.uint64(state[COUNT])
    if total > count or (total != count and not np.isnan(floats[SUM])):  # NaN observations are in no bucket
        return BAD_COUNT
    return GOOD


@kernel
def _check_float_count(state, floats):  # type: ignore[no-untyped-def]
    if state[FLOAT_BELOW_ZERO] or floats[FLOAT_ZERO] < 0 or floats[FLOAT_COUNT] < 0:
        return NEGATIVE_BUCKET
    total = floats[POSITIVE_SUM] + floats[NEGATIVE_SUM] + floats[FLOAT_ZERO]
    count = floats[FLOAT_COUNT]
    slack = FLOAT_TOLERANCE * max(total, count)
    if total > count + slack or (count > total + slack and not np.isnan(floats[SUM])):
        return BAD_COUNT
    return GOOD


@kernel
def check_histogram(state, floats):  # type: ignore[no-untyped-def]
    """Verdict on what ``read_histogram`` read: ``GOOD`` or the code of the first rule that it breaks."""
    verdict = _check_schema(state, floats)
    if verdict == GOOD:
        verdict = _check_spans(state)
    if verdict != GOOD:
        return verdict
    return _check_float_count(state, floats) if state[IS_FLOAT] else _check_integer_count(state, floats)
