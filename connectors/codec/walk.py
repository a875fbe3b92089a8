"""Kernels that walk one TimeSeries of remote write 1.0 or 2.0: well-formed or not, what is in it, can it be copied.

A walk returns False only when the protobuf itself is malformed (then the whole request is); what is wrong with the
series alone goes to ``series[STATUS]``. Nothing is copied here. Field numbers:
https://github.com/prometheus/prometheus/blob/main/prompb/types.proto and .../prompb/io/prometheus/write/v2/types.proto
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec.histogram import FLOATS, STATE, check_histogram, read_histogram
from connectors.codec.kernels import any_sample, plain_sample
from connectors.codec.limits import MAX_EMPTY, MAX_FIELD_BYTES, MAX_LABELS
from connectors.codec.spans import TOO_MANY_LABELS, clean_label
from connectors.codec.varint import (
    BAD,
    BYTES,
    VARINT,
    allocating,
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

GOOD, BAD_UTF8, FIELD_TOO_LARGE, BAD_REFS = 0, 14, 16, 17

LABELS, SAMPLES, HISTOGRAMS, EXEMPLARS, PLAIN, STATUS, START, FIELD_BYTES, RUN_FROM, RUN_TO, PENDING = range(11)
HAS_METADATA, META_TYPE, META_HELP, META_UNIT, EMPTY = range(11, 16)


class Bench(NamedTuple):
    """What a walk writes to, allocated once per request."""

    spans: npt.NDArray[np.int64]
    """(MAX_LABELS, 4), see ``spans``"""
    series: npt.NDArray[np.int64]
    """counts and flags of the series"""
    sample: npt.NDArray[np.int64]
    """(6, 1), what the sample readers write to"""
    integers: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    word: npt.NDArray[np.uint64]
    """state of the histogram check"""
    pair: npt.NDArray[np.int64]
    """(1, 4), one label apart from ``spans``"""
    empty: npt.NDArray[np.int64]
    """(MAX_EMPTY, 2), names of labels without a value, as far as ``series[EMPTY]``"""
    limits: npt.NDArray[np.int64]
    """(4,), see ``spans``"""


class Symbols(NamedTuple):
    """Symbol table of a 2.0 request; empty for 1.0."""

    spans: npt.NDArray[np.int64]
    """(symbols, 2), from and to in the body"""
    clean: npt.NDArray[np.uint8]
    """(symbols,), 1 where the symbol is UTF-8"""


@allocating
def bench(limits):  # type: ignore[no-untyped-def]
    """Fresh scratch arrays. Made in compiled code: numba takes 0.3 ms to look at a named tuple that Python passes."""
    return Bench(
        np.zeros((MAX_LABELS, 4), np.int64),
        np.zeros(16, np.int64),
        np.zeros((6, 1), np.int64),
        np.zeros(STATE, np.int64),
        np.zeros(FLOATS, np.float64),
        np.zeros(1, np.uint64),
        np.zeros((1, 4), np.int64),
        np.empty((MAX_EMPTY, 2), np.int64),
        limits,
    )


@kernel
def blame(series, code):  # type: ignore[no-untyped-def]
    """Remember the first thing that is wrong with the series."""
    if series[STATUS] == GOOD:
        series[STATUS] = code


@kernel
def _note_empty(to, name_from, name_to):  # type: ignore[no-untyped-def]
    n = to.series[EMPTY]
    to.series[PLAIN] = 0
    if n == len(to.empty):
        blame(to.series, TOO_MANY_LABELS)
        return
    to.empty[n, 0] = name_from
    to.empty[n, 1] = name_to
    to.series[EMPTY] = n + 1


@kernel
def _add_span(to, name_from, name_to, value_from, value_to):  # type: ignore[no-untyped-def]
    """Enter a label; of one with an empty value, which means the same as no label, only the name is noted."""
    if value_to == value_from:
        _note_empty(to, name_from, name_to)
        return
    n = to.series[LABELS]
    if n == len(to.spans):
        blame(to.series, TOO_MANY_LABELS)
        return
    to.spans[n, 0] = name_from
    to.spans[n, 1] = name_to
    to.spans[n, 2] = value_from
    to.spans[n, 3] = value_to
    to.series[LABELS] = n + 1


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
    _add_span(to, pair[0, 0], pair[0, 1], pair[0, 2], pair[0, 3])
    return after


@kernel
def _label(buf, field, end, to):  # type: ignore[no-untyped-def]
    """The label field at ``field``: position after it."""
    after = plain_label(buf, field, end)
    if after < 0:
        return _any_label(buf, field + 1, end, to)
    name_to = field + 4 + read_byte(buf, field + 3)
    _add_span(to, field + 4, name_to, name_to + 2, after)
    if to.series[LABELS] == 1:
        to.series[RUN_FROM] = field
    elif to.series[RUN_TO] != field:
        to.series[PLAIN] = 0
    to.series[RUN_TO] = after
    return after


@kernel
def _count(series, what, pos, after):  # type: ignore[no-untyped-def]
    series[what] += 1
    series[FIELD_BYTES] += after - pos + 32  # room for tag, length and a start
    if after - pos > MAX_FIELD_BYTES:
        blame(series, FIELD_TOO_LARGE)


@kernel
def _sample(buf, pos, end, to):  # type: ignore[no-untyped-def]
    after = plain_sample(buf, pos - 1, end, to.sample, 0)
    if after < 0:
        after = any_sample(buf, pos - 1, end, to.sample, 0)
    _count(to.series, SAMPLES, pos, after)
    return after


@kernel
def _histogram(buf, pos, end, to):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    if pos < 0 or not read_histogram(buf, pos, after, to.integers, to.floats, to.word):
        return np.int64(BAD)
    verdict = check_histogram(to.integers, to.floats)
    if verdict != GOOD:
        blame(to.series, verdict)
    _count(to.series, HISTOGRAMS, pos, after)
    return after


@kernel
def _exemplar_1(buf, pos, end, to):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    _count(to.series, EXEMPLARS, pos, after)
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
def _known(ref, symbols, series):  # type: ignore[no-untyped-def]
    """Whether ``ref`` is a usable symbol; if not the series is to blame."""
    if ref >= len(symbols.clean):
        blame(series, BAD_REFS)
        return False
    if symbols.clean[ref] == 0:
        blame(series, BAD_UTF8)
    return True


@kernel
def _label_ref(value, to, symbols):  # type: ignore[no-untyped-def]
    """One more of the references that are name and value in turn."""
    ref = value & np.int64(0xFFFFFFFF)
    known = _known(ref, symbols, to.series)
    name = to.series[PENDING] - 1
    to.series[PENDING] = 0 if name >= 0 else ref + 1
    if name < 0 or not known or name >= len(symbols.clean):
        return
    table = symbols.spans
    _add_span(to, table[name, 0], table[name, 1], table[ref, 0], table[ref, 1])


@kernel
def _label_refs(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    while 0 <= pos < after:
        value, pos = read_varint(buf, pos, after)
        if pos >= 0:
            _label_ref(value, to, symbols)
    return pos


@kernel
def _exemplar_ref(value, to, symbols):  # type: ignore[no-untyped-def]
    ref = value & np.int64(0xFFFFFFFF)
    if _known(ref, symbols, to.series):
        to.series[FIELD_BYTES] += symbols.spans[ref, 1] - symbols.spans[ref, 0] + 16


@kernel
def _exemplar_2(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]
    pos, after = read_length(buf, pos, end)
    before, refs = to.series[FIELD_BYTES], 0
    _count(to.series, EXEMPLARS, pos, after)
    while 0 <= pos < after:
        tag, pos = read_tag(buf, pos, after)
        if tag == LABEL_REFS and pos >= 0:
            pos, packed_end = read_length(buf, pos, after)
            while 0 <= pos < packed_end:
                value, pos = read_varint(buf, pos, packed_end)
                _exemplar_ref(value, to, symbols)
                refs += 1
        elif tag == LABEL_REF and pos >= 0:
            value, pos = read_varint(buf, pos, after)
            _exemplar_ref(value, to, symbols)
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
            pos = _label_refs(buf, pos, end, to, symbols)
        elif tag == LABEL_REF:
            value, pos = read_varint(buf, pos, end)
            _label_ref(value, to, symbols)
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
