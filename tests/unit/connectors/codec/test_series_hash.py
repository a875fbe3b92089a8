from __future__ import annotations

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import MAX_TENANTS, hash_bytes, series_hash, tenant_seed
from tests.examples import examples


@examples(200)
@given(st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_as_the_xxhash_package(value: bytes, seed: int) -> None:
    assert hash_bytes(value, seed) == xxhash.xxh64_intdigest(value, seed)


def test_every_length_around_the_stripes() -> None:
    value = bytes(range(256))
    for length in range(200):
        assert hash_bytes(value[:length], 1) == xxhash.xxh64_intdigest(value[:length], 1)


def test_a_series_hash_never_changes() -> None:
    # rows of blocks and partitions hang on these numbers: a change loses what every flow has learned
    assert tenant_seed("anonymous") == 12_347_681_700_326_277_588
    labels = encode_labels({"__name__": "up", "job": "x"})
    assert labels == b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01x"
    assert series_hash(labels, "anonymous") == 6_058_483_818_776_619_401


def test_tenants_do_not_share_series() -> None:
    labels = encode_labels({"__name__": "up"})
    assert series_hash(labels, "a") != series_hash(labels, "b")


def test_remembered_seeds_are_bounded() -> None:
    assert tenant_seed.cache_info().maxsize == MAX_TENANTS
    seeds = [tenant_seed(f"tenant-{n}") for n in range(MAX_TENANTS + 1)]
    assert tenant_seed.cache_info().currsize == MAX_TENANTS
    assert tenant_seed("tenant-0") == seeds[0]
