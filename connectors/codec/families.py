"""Types of metric families as they stand in the log: a ``WriteRequest`` that holds nothing but metadata."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.codec.encode import encode_varint
from connectors.codec.labels import read_fields
from connectors.messages import MetricType

METADATA = 3
TYPE, FAMILY = 1, 2
"""Field numbers of ``WriteRequest`` and ``MetricMetadata`` in remote write 1.0."""
NUMBERS = {kind: number for number, kind in enumerate(MetricType)}


def encode_types(families: Iterable[tuple[str, MetricType]]) -> bytes:
    """A record of ``tocsin.metrics`` that tells these types."""
    out = []
    for family, kind in families:
        name = family.encode()
        body = b"\x08" + encode_varint(NUMBERS[kind]) + b"\x12" + encode_varint(len(name)) + name
        out.append(b"\x1a" + encode_varint(len(body)) + body)
    return b"".join(out)


def read_types(value: bytes) -> list[tuple[str, MetricType]]:
    """Types that a record tells; raises ``Rejected(reason="poison")`` on malformed bytes."""
    types = []
    for number, _, content in read_fields(value):
        if number == METADATA and isinstance(content, bytes):
            said = {field.number: field.value for field in read_fields(content)}
            family, kind = said.get(FAMILY, b""), said.get(TYPE, 0)
            if isinstance(family, bytes) and isinstance(kind, int) and family:
                types.append((family.decode(errors="replace"), MetricType.of(kind)))
    return types
