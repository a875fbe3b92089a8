"""The contract of a detector, and the columnar memory it works on.

A detector holds frozen parameters only; its memory is a ``Table`` with one row per signal. For each sample it scores
first and learns then. It knows no clock, does no I/O, logs nothing and draws nothing at random. Cutting the same
input into other batches must not change the output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BAND_SURPRISE = 3.0
"""The expected band holds the values whose surprise is below this (1 in 1,000 outside by chance)."""
BAND_Z = 3.2905267314918945
"""Two-sided Gaussian quantile for ``BAND_SURPRISE``: ``scipy.stats.norm.isf(1e-3 / 2)``."""
SURPRISE_MAX = 300.0
"""Surprises end here: beyond it the tail of a double is no longer a number."""
VALUE_LIMIT = 1e38
"""Larger values are gaps, as infinities are: float32 offsets and squares in float64 hold all that is smaller."""
STALE_MARKER = 0x7FF0000000000002
"""The NaN by which Prometheus says that a series has ended or its target was not reached (``model/value/value.go``):
told from others by its bits, never by arithmetic."""


class Scored(NamedTuple):
    """What a detector says of ``n`` samples; each ``(n,)`` float64, all NaN while warming up and for gaps."""

    score: Floats
    expected: Floats
    lower: Floats
    upper: Floats

    @classmethod
    def empty(cls, n: int) -> Scored:
        """Room for ``n`` verdicts."""
        return cls(np.empty(n), np.empty(n), np.empty(n), np.empty(n))


class Silences(NamedTuple):
    """What a detector says of ``n`` pauses: which of the rows, (n,) int64, how long, and verdicts, in seconds."""

    at: Ints
    length_s: Floats
    scored: Scored


class Column(NamedTuple):
    """One column of a table. ``derived`` columns are left out of snapshots and rebuilt by ``Detector.derive``."""

    name: str
    dtype: type
    width: int = 0
    derived: bool = False


class Table:
    """Arrays with a common first dimension that grow together; a row that was never used is zero everywhere."""

    GROWTH = 1.125

    def __init__(self, columns: tuple[Column, ...], rows: int = 0) -> None:
        self.columns = columns
        self.arrays: dict[str, NDArray[Any]] = {c.name: np.zeros(_shape(c, rows), c.dtype) for c in columns}
        self.rows = rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def reserve(self, rows: int) -> None:
        """Make room for at least ``rows`` rows, with some slack for the next ones."""
        if rows <= self.rows:
            return
        rows = max(rows, int(self.rows * self.GROWTH), 16)
        for column in self.columns:
            grown: NDArray[Any] = np.zeros(_shape(column, rows), column.dtype)
            grown[: self.rows] = self.arrays[column.name]
            self.arrays[column.name] = grown
        self.rows = rows

    def clear(self, rows: Ints) -> None:
        """Zero these rows, for reuse."""
        for array in self.arrays.values():
            array[rows] = 0

    def save(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """Columns of these rows that cannot be derived, for a snapshot: values only, nothing that lives on."""
        return {column.name: self[column.name][rows] for column in self.columns if not column.derived}

    def load(self, rows: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """Put saved columns into these rows."""
        for column in self.columns:
            if not column.derived:
                self[column.name][rows] = columns[column.name]

    @property
    def saved_bytes(self) -> int:
        """Of a row in a snapshot."""
        kept = (self.arrays[column.name] for column in self.columns if not column.derived)
        return sum(array.itemsize * math.prod(array.shape[1:]) for array in kept)

    @property
    def size_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def _shape(column: Column, rows: int) -> tuple[int, ...]:
    return (rows, column.width) if column.width else (rows,)


class Detector(Protocol):
    """What every kind of detector offers."""

    def allocate(self, rows: int) -> Table:
        """Memory for ``rows`` signals."""
        ...

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn ``n`` samples.

        ``rows`` (n,) int64, which signal; ``times_ms`` (n,) int64, increasing per row; ``values`` (n,) float64, NaN
        infinities and what exceeds ``VALUE_LIMIT`` are gaps: not scored, not learned.
        """
        ...

    def derive(self, state: Table, rows: Ints) -> None:
        """Rebuild the derived columns of these rows from the others, after a snapshot was read."""
        ...

    def needs(self, state: Table, rows: Ints) -> Ints:
        """How many more samples each row needs before it is scored; (n,) int64, 0 when ready."""
        ...


@runtime_checkable
class Silent(Protocol):
    """What a kind offers besides, if it judges silence: pauses take the place of values in what is told."""

    def hear(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Silences:
        """As ``Detector.step``, with the pause before each of the ``n`` samples."""
        ...

    def advance(self, state: Table, rows: Ints, until_ms: int) -> Silences:
        """Judge rows at this log time, once per control record; gives those that are silent for too long."""
        ...

    def hear_on(self, state: Table, rows: Ints, before: Mapping[str, NDArray[Any]]) -> None:
        """Rows have learned from history: the next pause is that after the sample heard live, of ``before``."""
        ...


@runtime_checkable
class Learned(Protocol):
    """What a kind offers besides, if it can say in words what it takes a signal for."""

    def note(self, state: Table, rows: Ints) -> None:
        """Note it for these rows, once a minute of log time: at fixed places of the log, so replays note the same."""
        ...

    def learned(self, state: Table, row: int) -> str | None:
        """What was noted last, in words; None until it was noted that the row is judged."""
        ...
