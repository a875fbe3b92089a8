"""Series hash → row: open addressing with linear probing, 12 bytes an entry, looked up a column at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Ints

Hashes = NDArray[np.uint64]
EMPTY = -1
_HIGH_BITS = np.uint64(32)
"""The home of a key is taken from its high bits: the low ones chose the partition and are alike in one block."""


class HashTable:
    """A map from uint64 to int32 that stays at most half full."""

    def __init__(self, capacity: int = 64) -> None:
        self.size = 0
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self.keys: Hashes = np.zeros(capacity, np.uint64)
        self.rows: NDArray[np.int32] = np.full(capacity, EMPTY, np.int32)

    def find(self, series: Hashes) -> Ints:
        """Row of each hash, −1 where absent; (n,) int64."""
        return find_rows(self.keys, self.rows, series)

    def add(self, series: int, row: int) -> None:
        """Insert a hash that is absent."""
        if 2 * (self.size + 1) > len(self.keys):
            self._grow()
        insert(self.keys, self.rows, np.uint64(series), row)
        self.size += 1

    def add_all(self, series: Hashes, rows: Ints) -> None:
        """Insert different hashes that are absent."""
        while 2 * (self.size + len(series)) > len(self.keys):
            self._grow()
        insert_all(self.keys, self.rows, series, rows.astype(np.int32))
        self.size += len(series)

    def remove(self, series: int) -> None:
        """Take a hash out; does nothing if it is absent."""
        if remove(self.keys, self.rows, np.uint64(series)):
            self.size -= 1

    @property
    def size_bytes(self) -> int:
        """Memory of both arrays."""
        return self.keys.nbytes + self.rows.nbytes

    def _grow(self) -> None:
        keys, rows = self.keys, self.rows
        self._allocate(2 * len(keys))
        insert_all(self.keys, self.rows, keys, rows)


@njit(cache=True, inline="always")
def home_of(key: Any, mask: int) -> int:
    """Where probing for a key starts."""
    return int(np.int64(key >> _HIGH_BITS)) & mask


@njit(cache=True)
def find_rows(keys: Hashes, rows: NDArray[np.int32], series: Hashes) -> Ints:
    """Row of each hash, −1 where absent."""
    mask = keys.shape[0] - 1
    found = np.empty(series.shape[0], np.int64)
    for i in range(series.shape[0]):
        at = home_of(series[i], mask)
        while rows[at] != EMPTY and keys[at] != series[i]:
            at = (at + 1) & mask
        found[i] = rows[at]
    return found


@njit(cache=True)
def insert(keys: Hashes, rows: NDArray[np.int32], key: Any, row: int) -> None:
    """Put an absent key into a table that has room."""
    mask = keys.shape[0] - 1
    at = home_of(key, mask)
    while rows[at] != EMPTY:
        at = (at + 1) & mask
    keys[at] = key
    rows[at] = row


@njit(cache=True)
def insert_all(keys: Hashes, rows: NDArray[np.int32], old_keys: Hashes, old_rows: NDArray[np.int32]) -> None:
    """Put in all entries of a smaller table."""
    for i in range(old_keys.shape[0]):
        if old_rows[i] != EMPTY:
            insert(keys, rows, old_keys[i], old_rows[i])


@njit(cache=True)
def remove(keys: Hashes, rows: NDArray[np.int32], key: Any) -> bool:
    """Take a key out and close the gap, so that no tombstones are left (Knuth 6.4, algorithm R)."""
    mask = keys.shape[0] - 1
    at = home_of(key, mask)
    while rows[at] != EMPTY and keys[at] != key:
        at = (at + 1) & mask
    if rows[at] == EMPTY:
        return False
    gap = at
    at = (at + 1) & mask
    while rows[at] != EMPTY:
        home = home_of(keys[at], mask)
        if ((at - home) & mask) >= ((at - gap) & mask):
            keys[gap] = keys[at]
            rows[gap] = rows[at]
            gap = at
        at = (at + 1) & mask
    rows[gap] = EMPTY
    return True
