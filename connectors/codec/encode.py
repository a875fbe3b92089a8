"""Encoders for senders: the demo source, tests and benchmarks. Plain Python, no kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

_double = struct.Struct("<d").pack
_BYTE = [bytes([value]) for value in range(0x80)]
"""Most tags and lengths are these."""


def encode_varint(value: int) -> bytes:
    """Minimal varint of ``value`` (negative: two's complement of 64 bits)."""
    if 0 <= value < 0x80:
        return _BYTE[value]
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: a message, a text or bytes."""
    return encode_varint(number << 3 | 2) + encode_varint(len(payload)) + payload


def encode_label(name: bytes, value: bytes) -> bytes:
    """One label as a field of a TimeSeries."""
    return encode_field(1, encode_field(1, name) + encode_field(2, value))


def encode_labels(labels: Mapping[str, str]) -> bytes:
    """Canonical label bytes: the label fields of a TimeSeries, sorted by name, empty values dropped."""
    pairs = sorted((name.encode(), value.encode()) for name, value in labels.items() if value)
    return b"".join(encode_label(name, value) for name, value in pairs)


def encode_sample(time_ms: int, value: float, start_ms: int = 0) -> bytes:
    """One sample as a field of a TimeSeries; ``start_ms`` is the created timestamp, 0 for none.

    A Python float may lose the payload bits of a NaN; pass those through ``struct`` from integers instead.
    """
    payload = b"\x09" + _double(value) + b"\x10" + encode_varint(time_ms)
    return encode_field(2, payload + (b"\x18" + encode_varint(start_ms) if start_ms else b""))


def encode_write_request(series: Iterable[tuple[Mapping[str, str], Sequence[tuple[int, float]]]]) -> bytes:
    """A remote-write 1.0 request, not compressed: labels and (time_ms, value) pairs of each series."""
    return b"".join(
        encode_field(1, encode_labels(labels) + b"".join(encode_sample(time_ms, value) for time_ms, value in samples))
        for labels, samples in series
    )
