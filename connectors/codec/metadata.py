"""Types, helps and units of metric families, as both versions of remote write tell them, in one table."""

from __future__ import annotations

import numpy as np

from connectors.codec.bench import HAS_METADATA, LABELS, META_HELP, META_TYPE, META_UNIT
from connectors.codec.limits import MAX_FAMILIES
from connectors.codec.room import room
from connectors.codec.spans import is_metric_name
from connectors.codec.totals import METADATA, N_UNTOLD
from connectors.codec.varint import BYTES, allocating, kernel, read_length, read_tag, read_varint, skip_value

TYPE, FAMILY_FROM, FAMILY_TO, HELP_FROM, HELP_TO, UNIT_FROM, UNIT_TO = range(7)
"""Columns of the metadata table."""


@allocating
def add_metadata(total, metadata, row):  # type: ignore[no-untyped-def]
    """Enter a metadata row unless it repeats the one before, as the series of one family do in 2.0.

    One too many is only counted.
    """
    n = total[METADATA]
    if n > 0 and np.all(metadata[n - 1] == row):
        return metadata
    if n == MAX_FAMILIES:
        total[N_UNTOLD] += 1
        return metadata
    metadata = room(metadata, n, 1)
    metadata[n] = row
    total[METADATA] = n + 1
    return metadata


@allocating
def series_metadata(buf, to, symbols, total, metadata, row):  # type: ignore[no-untyped-def]
    """Enter what a 2.0 series says of its family, if anything."""
    if not to.series[HAS_METADATA] or len(symbols.clean) == 0:
        return metadata
    row[TYPE] = to.series[META_TYPE]
    for i in range(to.series[LABELS]):
        if is_metric_name(buf, to.spans, i):
            row[FAMILY_FROM], row[FAMILY_TO] = to.spans[i, 2], to.spans[i, 3]
    row[HELP_FROM], row[HELP_TO] = symbols.spans[to.series[META_HELP], 0], symbols.spans[to.series[META_HELP], 1]
    row[UNIT_FROM], row[UNIT_TO] = symbols.spans[to.series[META_UNIT], 0], symbols.spans[to.series[META_UNIT], 1]
    said = row[TYPE] + row[HELP_TO] - row[HELP_FROM] + row[UNIT_TO] - row[UNIT_FROM]
    return add_metadata(total, metadata, row) if said > 0 else metadata


@kernel
def read_family(buf, pos, end, row):  # type: ignore[no-untyped-def]
    """A 1.0 MetricMetadata into ``row``: position after it."""
    row[:] = 0
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        field = tag >> 3
        if pos >= 0 and tag == 1 << 3:
            row[TYPE], pos = read_varint(buf, pos, end)
            row[TYPE] &= np.int64(0xFFFFFFFF)
        elif pos >= 0 and tag & 7 == BYTES and field in (2, 4, 5):
            column = FAMILY_FROM if field == 2 else HELP_FROM if field == 4 else UNIT_FROM
            row[column], pos = read_length(buf, pos, end)
            row[column + 1] = pos
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
    return pos
