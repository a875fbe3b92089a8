"""The hash of a series: XXH64 over its canonical label bytes, seeded with the hash of its tenant.

``partition = hash % partitions``; the same hash names the series' row in a block, so it must never change.
Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from connectors.codec.varint import kernel, read_u64

_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_P3 = np.uint64(1609587929392839161)
_P4 = np.uint64(9650029242287828579)
_P5 = np.uint64(2870177450012600261)


@kernel
def _rotl(x, bits):  # type: ignore[no-untyped-def]
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@kernel
def _round(acc, lane):  # type: ignore[no-untyped-def]
    return _rotl(acc + lane * _P2, 31) * _P1


@kernel
def _stripes(buf, pos, last, seed):  # type: ignore[no-untyped-def]
    """Fold whole 32-byte stripes up to ``last`` into one accumulator."""
    v1, v2, v3, v4 = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
    while pos <= last:
        v1 = _round(v1, read_u64(buf, pos))
        v2 = _round(v2, read_u64(buf, pos + 8))
        v3 = _round(v3, read_u64(buf, pos + 16))
        v4 = _round(v4, read_u64(buf, pos + 24))
        pos += 32
    acc = _rotl(v1, 1) + _rotl(v2, 7) + _rotl(v3, 12) + _rotl(v4, 18)
    for lane in (v1, v2, v3, v4):
        acc = (acc ^ _round(np.uint64(0), lane)) * _P1 + _P4
    return acc, pos


@kernel
def xxh64(buf, pos, end, seed):  # type: ignore[no-untyped-def]
    """XXH64 of ``buf[pos:end]`` (uint8) with ``seed`` (uint64)."""
    length = np.uint64(end - pos)
    acc = seed + _P5
    if end - pos >= 32:
        acc, pos = _stripes(buf, pos, end - 32, seed)
    acc = acc + length
    while pos + 8 <= end:
        acc = _rotl(acc ^ _round(np.uint64(0), read_u64(buf, pos)), 27) * _P1 + _P4
        pos += 8
    if pos + 4 <= end:
        word = np.uint64(buf[pos]) | np.uint64(buf[pos + 1]) << np.uint64(8)
        word |= np.uint64(buf[pos + 2]) << np.uint64(16) | np.uint64(buf[pos + 3]) << np.uint64(24)
        acc = _rotl(acc ^ (word * _P1), 23) * _P2 + _P3
        pos += 4
    while pos < end:
        acc = _rotl(acc ^ (np.uint64(buf[pos]) * _P5), 11) * _P1
        pos += 1
    acc = (acc ^ (acc >> np.uint64(33))) * _P2
    acc = (acc ^ (acc >> np.uint64(29))) * _P3
    return acc ^ (acc >> np.uint64(32))


MAX_TENANTS = 10_000
"""Seeds of so many tenants are remembered; beyond, they are computed again."""


def hash_bytes(value: bytes, seed: int) -> int:
    """XXH64 of ``value``, for one value at a time."""
    with np.errstate(over="ignore"):  # wrap-around is the algorithm; numpy warns when the JIT is off
        return int(xxh64(np.frombuffer(value, np.uint8), 0, len(value), np.uint64(seed)))


@lru_cache(maxsize=MAX_TENANTS)
def tenant_seed(tenant: str) -> int:
    """Seed of a tenant's series: XXH64 of its UTF-8 name with seed 0."""
    return hash_bytes(tenant.encode(), 0)


def series_hash(label_bytes: bytes, tenant: str) -> int:
    """Hash of the series with these canonical label bytes (``encode_labels``)."""
    return hash_bytes(label_bytes, tenant_seed(tenant))
