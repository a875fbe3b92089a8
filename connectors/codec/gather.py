"""Kernels that copy good series behind those of their partition, cut into record bodies."""

from __future__ import annotations

import numpy as np

from connectors.codec.emit import FROM, PARTITION, SOURCE, TO
from connectors.codec.limits import RECORD_BYTES
from connectors.codec.spans import write_bytes
from connectors.codec.varint import allocating, kernel


@kernel
def _offsets(rows, n, cursor):  # type: ignore[no-untyped-def]
    """Set ``cursor`` (partitions + 1) to where each partition's bytes begin."""
    for i in range(n):
        cursor[rows[i, PARTITION] + 1] += rows[i, TO] - rows[i, FROM]
    for partition in range(len(cursor) - 1):
        cursor[partition + 1] += cursor[partition]


@kernel
def _gather(body, arena, rows, n, out, cursor, started, records):  # type: ignore[no-untyped-def]
    """Copy the rows to ``out`` and note the records that are full; returns their number."""
    count = 0
    for i in range(n):
        partition, pos, end = rows[i, PARTITION], rows[i, FROM], rows[i, TO]
        at = cursor[partition]
        if at > started[partition] and at + end - pos - started[partition] > RECORD_BYTES:
            records[count, 0], records[count, 1], records[count, 2] = partition, started[partition], at
            count += 1
            started[partition] = at
        if rows[i, SOURCE] == 0:
            cursor[partition] = write_bytes(out, at, body, pos, end)
        else:
            cursor[partition] = write_bytes(out, at, arena, pos, end)
    return count


@allocating
def gather(body, arena, rows, n, partitions):  # type: ignore[no-untyped-def]
    """Copy rows behind those of their partition and cut at RECORD_BYTES.

    Returns the bytes and the (records, 3) table of partition, from and to.
    """
    cursor = np.zeros(partitions + 1, np.int64)
    _offsets(rows, n, cursor)
    out = np.empty(cursor[partitions], np.uint8)
    records = np.empty((partitions + 2 * (len(out) // RECORD_BYTES) + 1, 3), np.int64)
    started = cursor.copy()
    count = _gather(body, arena, rows, n, out, cursor, started, records)
    for partition in range(partitions):
        if cursor[partition] > started[partition]:
            records[count, 0], records[count, 1], records[count, 2] = partition, started[partition], cursor[partition]
            count += 1
    return out, records[:count]
