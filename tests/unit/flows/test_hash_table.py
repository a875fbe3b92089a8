from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.hash_table import HashTable
from tests.examples import examples

CROWDED = st.tuples(st.sampled_from([0, 1, 62, 63]), st.integers(0, 4)).map(lambda key: key[0] << 32 | key[1])
"""Hashes whose homes collide or lie side by side, across the end of a table of 64."""
KEYS = st.one_of(CROWDED, CROWDED, CROWDED, st.integers(0, 2**64 - 1))


def row_of(table: HashTable, key: int) -> int:
    return int(table.find(np.array([key], np.uint64))[0])


@examples(100)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=60))
def test_it_is_a_dict(steps: list[tuple[bool, int]]) -> None:
    table, twin = HashTable(), dict[int, int]()
    for number, (put, key) in enumerate(steps):
        if put and key not in twin:
            table.add(key, number)
            twin[key] = number
        elif not put:
            table.remove(key)
            twin.pop(key, None)
    keys = [key for _, key in steps]
    assert table.size == len(twin)
    assert table.find(np.array(keys, np.uint64)).tolist() == [twin.get(key, -1) for key in keys]


def test_it_grows_and_stays_at_most_half_full() -> None:
    table = HashTable(8)
    keys = np.random.default_rng(0).integers(0, 2**63, 500).astype(np.uint64)
    for row, key in enumerate(keys.tolist()):
        table.add(key, row)
    assert 2 * table.size <= len(table.keys)
    assert table.find(keys).tolist() == list(range(500))
    assert table.size_bytes == 12 * len(table.keys)


def test_keys_alike_in_their_low_bits_are_spread() -> None:
    """One block sees only hashes of one partition: h % partitions is the same for all."""
    keys = (np.random.default_rng(0).integers(0, 2**58, 2000) * 64 + 5).astype(np.uint64)
    table = HashTable(4096)
    for row, key in enumerate(keys.tolist()):
        table.add(key, row)
    homes = (keys >> np.uint64(32)).astype(np.int64) & 4095
    assert len(np.unique(homes)) > 1500


@pytest.mark.parametrize("key", [0, 2**64 - 1])
def test_the_ends_of_the_range(key: int) -> None:
    table = HashTable()
    assert row_of(table, key) == -1
    table.add(key, 3)
    assert row_of(table, key) == 3
    table.remove(key)
    table.remove(key)
    assert (row_of(table, key), table.size) == (-1, 0)
