"""The bench on which a series is taken apart: scratch arrays, what is counted in them, and who is to blame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec.histogram import FLOATS, STATE
from connectors.codec.limits import MAX_EMPTY, MAX_FIELD_BYTES, MAX_LABELS
from connectors.codec.spans import TOO_MANY_LABELS
from connectors.codec.varint import allocating, kernel

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
def add_span(to, name_from, name_to, value_from, value_to):  # type: ignore[no-untyped-def]
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
def count(series, what, pos, after):  # type: ignore[no-untyped-def]
    """Count a sample, histogram or exemplar of ``buf[pos:after]``."""
    series[what] += 1
    series[FIELD_BYTES] += after - pos + 32  # room for tag, length and a start
    if after - pos > MAX_FIELD_BYTES:
        blame(series, FIELD_TOO_LARGE)
