"""Kernel that writes one series anew: canonical labels, 1.0 field numbers, starts in their one place.

It runs for all of 2.0 and for what 1.0 senders lay out unusually. The walk has found the series well-formed and good,
so nothing can fail here; the caller has made room. A series larger than a record becomes several with the same labels.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.bench import FIELD_BYTES, LABELS, START
from connectors.codec.histogram import START as HISTOGRAM_START
from connectors.codec.histogram import read_histogram
from connectors.codec.kernels import START as SAMPLE_START
from connectors.codec.kernels import any_sample
from connectors.codec.limits import RECORD_BYTES
from connectors.codec.spans import (
    label_size,
    labels_size,
    varint_size,
    write_bytes,
    write_label,
    write_labels,
    write_varint,
)
from connectors.codec.varint import VARINT, kernel, read_length, read_tag, read_varint, skip_value
from connectors.codec.walk import EXEMPLAR_1, EXEMPLAR_2, HISTOGRAM_1, HISTOGRAM_2, LABEL_REF, LABEL_REFS, SAMPLE

PARTITION, SOURCE, FROM, TO = range(4)
"""A row per TimeSeries to be written: its partition, 0 for the body or 1 for the arena, and its span there."""
HEADER = 6
"""Room for ``0a len`` before a series."""
SAMPLE_START_TAG, HISTOGRAM_START_TAG = 3 << 3 | VARINT, 17 << 3 | VARINT


@kernel
def arena_bound(to):  # type: ignore[no-untyped-def]
    """No more bytes and rows than this does ``rewrite`` take for the series that was walked."""
    labels = labels_size(to.spans, to.series[LABELS])
    fields = to.series[FIELD_BYTES]
    rows = 2 + fields // (RECORD_BYTES // 4)  # a full record lacks at most labels (1/8) and one field (1/2)
    return fields + rows * (labels + HEADER), rows


@kernel
def carried(tag, version):  # type: ignore[no-untyped-def]
    """Tag that the field has in the record, 0 if it is not carried."""
    if version == 1:
        return tag if tag in (SAMPLE, HISTOGRAM_1, EXEMPLAR_1) else 0
    if tag == SAMPLE:
        return SAMPLE
    if tag == HISTOGRAM_2:
        return HISTOGRAM_1
    return EXEMPLAR_1 if tag == EXEMPLAR_2 else 0


@kernel
def _missing_start(buf, pos, end, tag, to):  # type: ignore[no-untyped-def]
    """The series' start if the sample or histogram in ``buf[pos:end]`` has none of its own, else 0."""
    start = to.series[START]
    if start == 0 or tag == EXEMPLAR_1:
        return np.int64(0)
    if tag == SAMPLE:
        any_sample(buf, pos, end, to.sample, 0)
        return start if to.sample[SAMPLE_START, 0] == 0 else np.int64(0)
    content, _ = read_length(buf, pos + 1, end)
    read_histogram(buf, content, end, to.integers, to.floats, to.word)
    return start if to.integers[HISTOGRAM_START] == 0 else np.int64(0)


@kernel
def _write_message(out, at, tag, buf, pos, end, start):  # type: ignore[no-untyped-def]
    """The message ``buf[pos:end]`` as field ``tag``, with ``start`` appended unless it is 0."""
    start_tag = SAMPLE_START_TAG if tag == SAMPLE else HISTOGRAM_START_TAG
    extra = varint_size(np.int64(start_tag)) + varint_size(start) if start != 0 else np.int64(0)
    out[at] = tag
    at = write_varint(out, at + 1, end - pos + extra)
    at = write_bytes(out, at, buf, pos, end)
    if start != 0:
        at = write_varint(out, at, start_tag)
        at = write_varint(out, at, start)
    return at


@kernel
def _exemplar_label(buf, name, value, out, at, symbols, pair):  # type: ignore[no-untyped-def]
    pair[0, 0], pair[0, 1] = symbols.spans[name, 0], symbols.spans[name, 1]
    pair[0, 2], pair[0, 3] = symbols.spans[value, 0], symbols.spans[value, 1]
    if len(out) == 0:
        size = label_size(pair, 0)
        return at + 1 + varint_size(size) + size
    return write_label(out, at, buf, pair, 0)


@kernel
def _exemplar_content(buf, pos, end, out, at, symbols, pair):  # type: ignore[no-untyped-def]
    """Content of a 2.0 exemplar with labels for references, at ``out[at]``; only measured if ``out`` is empty."""
    name = np.int64(-1)
    while pos < end:
        field = pos
        tag, pos = read_tag(buf, pos, end)
        refs_end = skip_value(buf, pos, end, tag & 7)
        if tag not in (LABEL_REFS, LABEL_REF):
            at = write_bytes(out, at, buf, field, refs_end) if len(out) > 0 else at + refs_end - field
            pos = refs_end
            continue
        if tag == LABEL_REFS:
            pos, refs_end = read_length(buf, pos, end)
        while pos < refs_end:
            value, pos = read_varint(buf, pos, refs_end)
            value &= np.int64(0xFFFFFFFF)
            if name < 0:
                name = value
                continue
            at = _exemplar_label(buf, name, value, out, at, symbols, pair)
            name = np.int64(-1)
    return at


@kernel
def _write_exemplar(out, at, buf, pos, end, symbols, pair):  # type: ignore[no-untyped-def]
    size = _exemplar_content(buf, pos, end, out[:0], np.int64(0), symbols, pair)
    out[at] = EXEMPLAR_1
    at = write_varint(out, at + 1, size)
    return _exemplar_content(buf, pos, end, out, at, symbols, pair)


@kernel
def _close(out, start, at, rows, n, partition):  # type: ignore[no-untyped-def]
    """Put tag and length before the payload ``out[start:at]`` and enter it as row n."""
    first = start - 1 - varint_size(at - start)
    out[first] = 0x0A
    write_varint(out, first + 1, at - start)
    rows[n, PARTITION], rows[n, SOURCE], rows[n, FROM], rows[n, TO] = partition, 1, first, at


@kernel
def rewrite(buf, pos, end, to, symbols, version, out, used, rows, n, partition):  # type: ignore[no-untyped-def]
    """Write the series in ``buf[pos:end]`` into ``out`` from ``used`` on: new ``used`` and new number of rows."""
    labels = to.series[LABELS]
    start = used + HEADER
    bare = at = write_labels(out, start, buf, to.spans, labels)
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        after = skip_value(buf, pos, end, tag & 7)
        kind = carried(tag, version)
        if kind != 0:
            content, _ = read_length(buf, pos, end)
            extra = _missing_start(buf, pos - 1, after, kind, to)
            before = at
            if version == 2 and kind == EXEMPLAR_1:
                at = _write_exemplar(out, at, buf, content, after, symbols, to.pair)
            else:
                at = _write_message(out, at, kind, buf, content, after, extra)
            if (
                at - start > RECORD_BYTES and before > bare
            ):  # too much: close before it and write it again after new labels
                _close(out, start, before, rows, n, partition)
                n += 1
                start = before + HEADER
                bare = at = write_labels(out, start, buf, to.spans, labels)
                if version == 2 and kind == EXEMPLAR_1:
                    at = _write_exemplar(out, at, buf, content, after, symbols, to.pair)
                else:
                    at = _write_message(out, at, kind, buf, content, after, extra)
        pos = after
    if at > bare:
        _close(out, start, at, rows, n, partition)
        return at, n + 1
    return used, n
