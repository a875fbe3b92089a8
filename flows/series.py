"""The series of one block: hash, labels, tenant, last sample; one row each, reused when a series is gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from connectors.codec.labels import parse_labels
from flows.chunks import NewSeries
from flows.detectors.base import STALE_MARKER, Column, Floats, Ints, Table
from flows.hash_table import HashTable

NEVER_MS = -(1 << 63)
OBJECT_BYTES = 33
"""What CPython adds to the bytes of a bytes object."""
DROPS = ("unlabelled", "duplicate", "out_of_order", "too_old", "too_new")
"""Why samples are not judged; positions are the codes of ``admit``."""
_UNLABELLED, _DUPLICATE, _OUT_OF_ORDER, _TOO_OLD, _TOO_NEW = range(5)
_STALE = 5
STEP_RATE, LONGEST_PAUSE = 1 / 16, 4.0


class SeriesTable:
    """Rows of a block."""

    COLUMNS = (
        Column("series", np.uint64),
        Column("last_ms", np.int64),
        Column("active_s", np.uint32),
        Column("head", np.int32),  # first entry of the row's routes
        Column("step_s", np.float32),  # usual time from sample to sample, 0 before the second
    )

    def __init__(self) -> None:
        self.index = HashTable()
        self.table = Table(self.COLUMNS)
        self.labels: list[bytes | None] = []
        self.tenants: list[str] = []
        self._free: list[int] = []
        self.label_bytes = 0

    def __len__(self) -> int:
        return self.index.size

    def add(self, new: NewSeries, log_s: int) -> int:
        """Give a series a row."""
        return self.add_all([new], log_s)[0]

    def add_all(self, new: Sequence[NewSeries], log_s: int) -> list[int]:
        """Give different series a row each."""
        rows = [self._free.pop() for _ in range(min(len(self._free), len(new)))]
        first, fresh = len(self.labels), len(new) - len(rows)
        rows += range(first, first + fresh)
        self.labels += [None] * fresh
        self.tenants += [""] * fresh
        self.table.reserve(len(self.labels))
        for row, (_, tenant, labels) in zip(rows, new, strict=True):
            self.labels[row] = labels
            self.tenants[row] = sys.intern(tenant)  # one object per tenant, freed with its last series
            self.label_bytes += len(labels) + OBJECT_BYTES
        series, table = np.array([one.series for one in new], np.uint64), self.table
        table["series"][rows], table["last_ms"][rows], table["active_s"][rows] = series, NEVER_MS, log_s
        table["head"][rows], table["step_s"][rows] = -1, 0.0
        self.index.add_all(series, np.array(rows, np.int64))
        return rows

    def remove(self, row: int) -> None:
        """Give the row back."""
        self.index.remove(int(self.table["series"][row]))
        self.label_bytes -= len(self.labels[row] or b"") + OBJECT_BYTES
        self.labels[row] = None
        self.tenants[row] = ""
        self._free.append(row)

    def live(self) -> Ints:
        """All rows in use, ascending."""
        return np.array([row for row, labels in enumerate(self.labels) if labels is not None], np.int64)

    def idle(self, before_s: int) -> list[int]:
        """Rows whose last sample came before this log time."""
        waiting = np.flatnonzero(self.table["active_s"][: len(self.labels)] < before_s)
        return [row for row in waiting.tolist() if self.labels[row] is not None]

    def tenant(self, row: int) -> str:
        """Whose series it is."""
        return self.tenants[row]

    def labels_of(self, row: int) -> dict[str, str]:
        """Labels of a row in use."""
        return parse_labels(self.labels[row] or b"")

    @property
    def size_bytes(self) -> int:
        """Memory of columns, index and label bytes with the two lists that hold them."""
        return self.table.size_bytes + self.index.size_bytes + self.label_bytes + 16 * len(self.labels)


@njit(cache=True)
def admit(
    rows: Ints, times_ms: Ints, values: Floats,
    last_ms: Ints, active_s: NDArray[np.uint32], step_s: NDArray[np.float32],
    log_s: int, oldest_ms: int, newest_ms: int, counts: Ints,
) -> tuple[Ints, NDArray[np.float32]]:  # fmt: skip
    """Index of the samples to be judged: known series, time increasing per series and near the log time.

    Gives too the cadence of each one's series, in s, as known by then. Adds the others to ``counts`` by the codes of
    ``DROPS``, stale markers to the place behind these.
    """
    kept = np.empty(rows.shape[0], np.int64)
    steps_s = np.empty(rows.shape[0], np.float32)
    bits = values.view(np.int64)
    n = 0
    for i in range(rows.shape[0]):
        row, time_ms = rows[i], times_ms[i]
        if row < 0:
            counts[_UNLABELLED] += 1
        elif time_ms > newest_ms:
            counts[_TOO_NEW] += 1
        elif time_ms < oldest_ms:
            counts[_TOO_OLD] += 1
        elif time_ms <= last_ms[row]:
            counts[_DUPLICATE if time_ms == last_ms[row] else _OUT_OF_ORDER] += 1
            active_s[row] = log_s
        else:
            if last_ms[row] != NEVER_MS:
                step_s[row] = steadied(step_s[row], np.float32(0.001 * (time_ms - last_ms[row])))
            last_ms[row] = time_ms
            active_s[row] = log_s
            if bits[i] == STALE_MARKER:
                counts[_STALE] += 1
            kept[n] = i
            steps_s[n] = step_s[row]
            n += 1
    return kept[:n], steps_s[:n]


@njit(cache=True)
def steadied(step_s: float, pause_s: float) -> float:
    """The cadence after one more pause: a mean of some sixteen, to which a gap adds no more than four steps would."""
    if step_s == 0.0:
        return pause_s
    return step_s + STEP_RATE * (min(pause_s, LONGEST_PAUSE * step_s) - step_s)
