"""Kernels that walk one TimeSeries of remote write 1.0 or 2.0: well-formed or not, what is in it, can it be copied.

A walk returns False only when the protobuf itself is malformed (then the whole request is); what is wrong with the
series alone goes to ``series[STATUS]``. Nothing is copied here. Field numbers:
https://github.com/prometheus/prometheus/blob/main/prompb/types.proto and .../prompb/io/prometheus/write/v2/types.proto
"""

from __future__ import annotations

import numpy as np

from connectors.codec.bench import (
    BAD_REFS,
    BAD_UTF8,
    EXEMPLARS,
    FIELD_BYTES,
    FIELD_TOO_LARGE,
    GOOD,
    HAS_METADATA,
    HISTOGRAMS,
    LABELS,
    META_HELP,
    META_TYPE,
    META_UNIT,
    PENDING,
    PLAIN,
    RUN_FROM,
    RUN_TO,
    SAMPLES,
    START,
    add_span,
    blame,
    count,
)
from connectors.codec.histogram import check_histogram, read_histogram
from connectors.codec.kernels import any_sample, plain_sample
from connectors.codec.limits import MAX_FIELD_BYTES
from connectors.codec.spans import clean_label
from connectors.codec.symbols import exemplar_ref, label_ref, label_refs
from connectors.codec.varint import (
    BAD,
    BYTES,
    VARINT,
    kernel,
    plain_label,
    read_byte,
    read_length,
    read_tag,
    read_varint,
    skip_value,
)

LABEL, LABEL_REFS, LABEL_REF = 1 << 3 | BYTES, 1 << 3 | BYTES, 1 << 3 | VARINT
SAMPLE = 2 << 3 | BYTES
EXEMPLAR_1, HISTOGRAM_1 = 3 << 3 | BYTES, 4 << 3 | BYTES
HISTOGRAM_2, EXEMPLAR_2, METADATA_2, CREATED_2 = 3 << 3 | BYTES, 4 << 3 | BYTES, 5 << 3 | BYTES, 6 << 3 | VARINT


@kernel
def _pair(buf, pos, end, pair):  # type: ignore[no-untyped-def]
    """Spans of name and value of the Label in ``buf[pos:end]``, the last of each wins; position after it."""
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag in (1 << 3 | BYTES, 2 << 3 | BYTES):
            at = 0 if tag == 1 << 3 | BYTES else 2
            start, pos = read_length(buf, pos, end)
            pair[0, at], pair[0, at + 1] = start, pos
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
    return pos


@kernel
def _any_label(buf, pos, end, to):  # type: ignore[no-untyped-def]
    """A label laid out in some unusual way; ``pos`` is after its tag."""
    pos, after = read_length(buf, pos, end)
    pair = to.pair
    pair[:] = 0
    if pos < 0 or _pair(buf, pos, after, pair) < 0:
        return np.int64(BAD)
    to.series[PLAIN] = 0
    add_span(to, pair[0, 0], pair[0, 1], pair[0, 2], pair[0, 3])
    return after


@kernel
def _label(buf, field, end, to):  # type: ignore[no-untyped-def]
    """The label field at ``field``: position after it."""
    after = plain_label(buf, field, end)
    if after < 0:
        return _any_label(buf, field + 1, end, to)
    name_to = field + 4 + read_byte(buf, field + 3)
    add_span(to, field + 4, name_to, name_to + 2, after)
    if to.series[LABELS] == 1:
        to.series[RUN_FROM] = field
    elif to.series[RUN_TO] != field:
        to.series[PLAIN] = 0
    to.series[RUN_TO] = after
    return after


@kernel
def _sample(buf, pos, end, to):  # type: ignore[no-untyped-def]
    after = plain_sample(buf, pos - 1, end, to.sample, 0)
    if after < 0:
        after = any_sample(buf, pos - 1, end, to.sample, 0)
    count(to.series, SAMPLES, pos, after)
    return after


@kernel
def _histogram(buf, pos, end, to):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    if pos < 0 or not read_histogram(buf, pos, after, to.integers, to.floats, to.word):
        return np.int64(BAD)
    verdict = check_histogram(to.integers, to.floats)
    if verdict != GOOD:
        blame(to.series, verdict)
    count(to.series, HISTOGRAMS, pos, after)
    return after


@kernel
def _exemplar_1(buf, pos, end, to):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    count(to.series, EXEMPLARS, pos, after)
    pair = to.pair
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if pos >= 0 and tag == LABEL:
            pos, label_end = read_length(buf, pos, after)
            pair[:] = 0
            pos = _pair(buf, pos, label_end, pair) if pos >= 0 else pos
            if pos >= 0 and not clean_label(buf, pair, 0):
                blame(to.series, BAD_UTF8)
        elif pos >= 0:
            pos = skip_value(buf, pos, after, tag & 7)
    return after if pos >= 0 else np.int64(BAD)


@kernel
def walk_1(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]  # noqa: ARG001 - one signature for both
    """Walk the 1.0 TimeSeries in ``buf[pos:end]``; whether it is well-formed protobuf."""
    to.series[:] = 0
    to.series[PLAIN] = 1
    while pos < end:
        field = pos
        tag, pos = read_tag(buf, pos, end)
        if pos != field + 1:
            to.series[PLAIN] = 0  # a padded tag is legal, but records have none
        if pos < 0:
            return False
        if tag == LABEL:
            pos = _label(buf, pos - 1, end, to)
        elif tag == SAMPLE:
            pos = _sample(buf, pos, end, to)
        elif tag == HISTOGRAM_1:
            pos = _histogram(buf, pos, end, to)
        elif tag == EXEMPLAR_1:
            pos = _exemplar_1(buf, pos, end, to)
        else:
            to.series[PLAIN] = 0
            pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return False
    return True


@kernel
def _exemplar_2(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    before, refs = to.series[FIELD_BYTES], 0
    count(to.series, EXEMPLARS, pos, after)
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if tag == LABEL_REFS and pos >= 0:
            pos, packed_end = read_length(buf, pos, after)
            while 0 <= pos < packed_end:
                value, pos = read_varint(buf, pos, packed_end)
                exemplar_ref(value, to, symbols)
                refs += 1
        elif tag == LABEL_REF and pos >= 0:
            value, pos = read_varint(buf, pos, after)
            exemplar_ref(value, to, symbols)
            refs += 1
        elif pos >= 0:
            pos = skip_value(buf, pos, after, tag & 7)
    if refs & 1:
        blame(to.series, BAD_REFS)
    if to.series[FIELD_BYTES] - before > MAX_FIELD_BYTES:
        blame(to.series, FIELD_TOO_LARGE)
    return after if pos >= 0 else np.int64(BAD)


@kernel
def _metadata_2(buf, pos, end, to):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    to.series[HAS_METADATA] = 1
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if pos >= 0 and tag in (1 << 3 | VARINT, 3 << 3 | VARINT, 4 << 3 | VARINT):
            value, pos = read_varint(buf, pos, after)
            value &= np.int64(0xFFFFFFFF)
            if tag == 1 << 3 | VARINT:
                to.series[META_TYPE] = value
            elif tag == 3 << 3 | VARINT:
                to.series[META_HELP] = value
            else:
                to.series[META_UNIT] = value
        elif pos >= 0:
            pos = skip_value(buf, pos, after, tag & 7)
    return after if pos >= 0 else np.int64(BAD)


@kernel
def _field_2(buf, pos, end, tag, to, symbols):  # type: ignore[no-untyped-def]
    """Any field of a 2.0 series but its label references and samples: position after it."""
    if tag == HISTOGRAM_2:
        return _histogram(buf, pos, end, to)
    if tag == EXEMPLAR_2:
        return _exemplar_2(buf, pos, end, to, symbols)
    if tag == METADATA_2:
        return _metadata_2(buf, pos, end, to)
    if tag == CREATED_2:
        to.series[START], pos = read_varint(buf, pos, end)
        return pos
    return skip_value(buf, pos, end, tag & 7)


@kernel
def walk_2(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]
    """Walk the 2.0 TimeSeries in ``buf[pos:end]``; whether it is well-formed protobuf."""
    to.series[:] = 0
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0:
            return False
        if tag == LABEL_REFS:
            pos = label_refs(buf, pos, end, to, symbols)
        elif tag == LABEL_REF:
            value, pos = read_varint(buf, pos, end)
            label_ref(value, to, symbols)
        elif tag == SAMPLE:
            pos = _sample(buf, pos, end, to)
        else:
            pos = _field_2(buf, pos, end, tag, to, symbols)
        if pos < 0:
            return False
    if to.series[PENDING] > 0:
        blame(to.series, BAD_REFS)
    if to.series[HAS_METADATA] and max(to.series[META_HELP], to.series[META_UNIT]) >= max(1, len(symbols.clean)):
        blame(to.series, BAD_REFS)
    return True
