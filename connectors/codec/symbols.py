"""The symbol table of remote write 2.0, and the references into it that stand where 1.0 has names and values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec.bench import BAD_REFS, BAD_UTF8, FIELD_BYTES, PENDING, add_span, blame
from connectors.codec.room import room
from connectors.codec.spans import valid_utf8
from connectors.codec.varint import BYTES, allocating, kernel, read_length, read_tag, read_varint, skip_value

SYMBOL_2 = 4 << 3 | BYTES


class Symbols(NamedTuple):
    """Symbol table of a 2.0 request; empty for 1.0."""

    spans: npt.NDArray[np.int64]
    """(symbols, 2), from and to in the body"""
    clean: npt.NDArray[np.uint8]
    """(symbols,), 1 where the symbol is UTF-8"""


@allocating
def read_symbols(buf, spans):  # type: ignore[no-untyped-def]
    """Symbols of a 2.0 request: whether it is well-formed, how many there are, their (n, 2) spans."""
    n, pos, end = 0, np.int64(0), np.int64(len(buf))
    while pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag == SYMBOL_2:
            spans = room(spans, n, 1)
            spans[n, 0], pos = read_length(buf, pos, end)
            spans[n, 1] = pos
            n += 1
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
        if pos < 0:
            return False, n, spans
    return True, n, spans


@kernel
def mark_clean(buf, spans, clean):  # type: ignore[no-untyped-def]
    """Set ``clean[i]`` to 1 where symbol i is UTF-8."""
    for i in range(len(clean)):
        clean[i] = 1 if valid_utf8(buf, spans[i, 0], spans[i, 1]) else 0


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
def label_ref(value, to, symbols):  # type: ignore[no-untyped-def]
    """One more of the references that are name and value in turn."""
    ref = value & np.int64(0xFFFFFFFF)
    known = _known(ref, symbols, to.series)
    name = to.series[PENDING] - 1
    to.series[PENDING] = 0 if name >= 0 else ref + 1
    if name < 0 or not known or name >= len(symbols.clean):
        return
    table = symbols.spans
    add_span(to, table[name, 0], table[name, 1], table[ref, 0], table[ref, 1])


@kernel
def label_refs(buf, pos, end, to, symbols):  # type: ignore[no-untyped-def]
    """References packed into one field: position after it."""
    pos, after = read_length(buf, pos, end)
    while 0 <= pos < after:
        value, pos = read_varint(buf, pos, after)
        if pos >= 0:
            label_ref(value, to, symbols)
    return pos


@kernel
def exemplar_ref(value, to, symbols):  # type: ignore[no-untyped-def]
    """A name or a value of an exemplar: only its size matters here."""
    ref = value & np.int64(0xFFFFFFFF)
    if _known(ref, symbols, to.series):
        to.series[FIELD_BYTES] += symbols.spans[ref, 1] - symbols.spans[ref, 0] + 16
