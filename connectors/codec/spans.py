"""Labels of one series as spans of a buffer: check, sort, measure, write. Nothing is copied until it is written.

``spans`` is a (labels, 4) int64 array: from and to of the name, from and to of the value. The same code
serves remote write 1.0, whose labels stand in the series, and 2.0, whose labels stand in a symbol table.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.varint import copy_bytes, kernel, read_byte, read_u64

NAME_FROM, NAME_TO, VALUE_FROM, VALUE_TO = range(4)
METRIC_NAME = np.uint64(int.from_bytes(b"__name__", "little"))

GOOD, NO_LABELS, NO_NAME, DUPLICATE, EMPTY_NAME = 0, 10, 11, 12, 13
TOO_MANY_LABELS, LABELS_TOO_LARGE, NAME_TOO_LONG, VALUE_TOO_LONG = 15, 18, 19, 25
MOST_LABELS, NAME_BYTES, VALUE_BYTES, SERIES_BYTES = range(4)
"""Columns of ``limits`` (4,) int64: labels of a series, bytes of a name, of a value, and of all of a series."""


@kernel
def compare(buf, a, a_to, b, b_to):  # type: ignore[no-untyped-def]
    """Sign of ``buf[a:a_to]`` against ``buf[b:b_to]`` as bytes."""
    for i in range(min(a_to - a, b_to - b)):
        x, y = read_byte(buf, a + i), read_byte(buf, b + i)
        if x != y:
            return np.int64(-1) if x < y else np.int64(1)
    return np.int64(np.sign((a_to - a) - (b_to - b)))


@kernel
def is_metric_name(buf, spans, i):  # type: ignore[no-untyped-def]
    """Whether label i is ``__name__``."""
    return spans[i, NAME_TO] - spans[i, NAME_FROM] == 8 and read_u64(buf, spans[i, NAME_FROM]) == METRIC_NAME


@kernel
def ascending(buf, spans, n):  # type: ignore[no-untyped-def]
    """Whether every name is greater than the one before: sorted, and none twice."""
    i = 1
    while i < n and compare(buf, spans[i - 1, 0], spans[i - 1, 1], spans[i, 0], spans[i, 1]) < 0:
        i += 1
    return i >= n


@kernel
def sort_labels(buf, spans, n):  # type: ignore[no-untyped-def]
    """Insertion sort by the bytes of the name. Labels are few, or sorted already."""
    for i in range(1, n):
        at = i
        while at > 0 and (compare(buf, spans[at - 1, 0], spans[at - 1, 1], spans[at, 0], spans[at, 1]) > 0):
            for column in range(4):
                spans[at - 1, column], spans[at, column] = spans[at, column], spans[at - 1, column]
            at -= 1


@kernel
def check_sizes(spans, n, limits):  # type: ignore[no-untyped-def]
    """``GOOD`` or the code of the first of ``limits`` that the labels exceed."""
    if n > limits[MOST_LABELS]:
        return TOO_MANY_LABELS
    for i in range(n):
        if spans[i, NAME_TO] - spans[i, NAME_FROM] > limits[NAME_BYTES]:
            return NAME_TOO_LONG
        if spans[i, VALUE_TO] - spans[i, VALUE_FROM] > limits[VALUE_BYTES]:
            return VALUE_TOO_LONG
    return LABELS_TOO_LARGE if labels_size(spans, n) > limits[SERIES_BYTES] else GOOD


@kernel
def has_name(buf, spans, n, name, name_to):  # type: ignore[no-untyped-def]
    """Whether one of the sorted labels has the name ``buf[name:name_to]``, by binary search."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if compare(buf, spans[middle, NAME_FROM], spans[middle, NAME_TO], name, name_to) < 0:
            low = middle + 1
        else:
            high = middle
    return low < n and compare(buf, spans[low, NAME_FROM], spans[low, NAME_TO], name, name_to) == 0


@kernel
def check_labels(buf, spans, n, unique):  # type: ignore[no-untyped-def]
    """Verdict on sorted labels without empty values: ``GOOD`` or the code of the first rule that they break.

    ``unique`` says that no name can stand twice, which spares looking.
    """
    if n == 0:
        return NO_LABELS
    named = False
    for i in range(n):
        if spans[i, NAME_TO] == spans[i, NAME_FROM]:
            return EMPTY_NAME
        if not unique and i > 0 and compare(buf, spans[i - 1, 0], spans[i - 1, 1], spans[i, 0], spans[i, 1]) == 0:
            return DUPLICATE
        named = named or is_metric_name(buf, spans, i)
    return GOOD if named else NO_NAME


@kernel
def ascii_only(buf, pos, end):  # type: ignore[no-untyped-def]
    """Whether no byte of ``buf[pos:end]`` has its high bit set."""
    bits = np.uint64(0)
    while pos + 8 <= end:
        bits |= read_u64(buf, pos)
        pos += 8
    high = bits & np.uint64(0x8080808080808080)
    rest = np.int64(0)
    while pos < end:
        rest |= read_byte(buf, pos)
        pos += 1
    return high == np.uint64(0) and rest < 0x80


@kernel
def _continuation(buf, pos, end):  # type: ignore[no-untyped-def]
    return pos < end and read_byte(buf, pos) & np.int64(0xC0) == 0x80


@kernel
def _sequence(buf, pos, end):  # type: ignore[no-untyped-def]
    """Length of the UTF-8 sequence at ``pos``, 0 if it is none (RFC 3629: no surrogates, nothing overlong)."""
    first = read_byte(buf, pos)
    if first < 0x80:
        return 1
    if not _continuation(buf, pos + 1, end) or first < 0xC2 or first > 0xF4:
        return 0
    if first < 0xE0:
        return 2
    second = read_byte(buf, pos + 1)
    if not _continuation(buf, pos + 2, end) or (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
        return 0
    if first < 0xF0:
        return 3
    outside = (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F)
    return 0 if outside or not _continuation(buf, pos + 3, end) else 4


@kernel
def valid_utf8(buf, pos, end):  # type: ignore[no-untyped-def]
    """Whether ``buf[pos:end]`` is UTF-8."""
    if ascii_only(buf, pos, end):
        return True
    while pos < end:
        length = _sequence(buf, pos, end)
        if length == 0:
            return False
        pos += length
    return True


@kernel
def clean_label(buf, spans, i):  # type: ignore[no-untyped-def]
    """Whether name and value of label i are UTF-8."""
    if not valid_utf8(buf, spans[i, NAME_FROM], spans[i, NAME_TO]):
        return False
    return valid_utf8(buf, spans[i, VALUE_FROM], spans[i, VALUE_TO])


@kernel
def varint_size(value):  # type: ignore[no-untyped-def]
    """Bytes of a minimal varint (``value`` int64, negative takes ten)."""
    if value < 0:
        return np.int64(10)
    size = np.int64(1)
    while value >= 0x80:
        value >>= np.int64(7)
        size += 1
    return size


@kernel
def write_varint(out, at, value):  # type: ignore[no-untyped-def]
    """Minimal varint of ``value`` at ``out[at]``; position after it."""
    rest = np.uint64(value)
    while rest >= np.uint64(0x80):
        out[at] = np.uint8((rest & np.uint64(0x7F)) | np.uint64(0x80))
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@kernel
def write_bytes(out, at, buf, pos, end):  # type: ignore[no-untyped-def]
    """Copy ``buf[pos:end]`` to ``out[at]``; position after it."""
    copy_bytes(out, at, buf, pos, end - pos)
    return at + end - pos


@kernel
def label_size(spans, i):  # type: ignore[no-untyped-def]
    """Bytes of the content of label i: name and value fields."""
    name, value = spans[i, NAME_TO] - spans[i, NAME_FROM], spans[i, VALUE_TO] - spans[i, VALUE_FROM]
    return 2 + varint_size(name) + name + varint_size(value) + value


@kernel
def labels_size(spans, n):  # type: ignore[no-untyped-def]
    """Bytes of the labels as ``write_labels`` writes them."""
    total = np.int64(0)
    for i in range(n):
        size = label_size(spans, i)
        total += 1 + varint_size(size) + size
    return total


@kernel
def write_label(out, at, buf, spans, i):  # type: ignore[no-untyped-def]
    """Label i as ``0a len 0a nlen name 12 vlen value``; position after it."""
    out[at] = 0x0A
    at = write_varint(out, at + 1, label_size(spans, i))
    out[at] = 0x0A
    at = write_varint(out, at + 1, spans[i, NAME_TO] - spans[i, NAME_FROM])
    at = write_bytes(out, at, buf, spans[i, NAME_FROM], spans[i, NAME_TO])
    out[at] = 0x12
    at = write_varint(out, at + 1, spans[i, VALUE_TO] - spans[i, VALUE_FROM])
    return write_bytes(out, at, buf, spans[i, VALUE_FROM], spans[i, VALUE_TO])


@kernel
def cut_labels(spans, n, part_bytes, total_bytes):  # type: ignore[no-untyped-def]
    """Cut names and values to ``part_bytes`` in place; how many of the first labels then fit into ``total_bytes``."""
    for i in range(n):
        spans[i, NAME_TO] = min(spans[i, NAME_TO], spans[i, NAME_FROM] + part_bytes)
        spans[i, VALUE_TO] = min(spans[i, VALUE_TO], spans[i, VALUE_FROM] + part_bytes)
    while labels_size(spans, n) > total_bytes:
        n -= 1
    return n


@kernel
def write_labels(out, at, buf, spans, n):  # type: ignore[no-untyped-def]
    """All labels in order; position after them."""
    for i in range(n):
        at = write_label(out, at, buf, spans, i)
    return at
