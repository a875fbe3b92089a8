"""Records of ``tocsin.logs``: ``logproto.Stream``, as Loki's own Kafka path writes it.

Source: ``pkg/push/push.proto`` of https://github.com/grafana/loki
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from connectors.codec.encode import encode_field, encode_varint

NS = 1_000_000_000


class Entry(NamedTuple):
    """One line of a stream: time in ns since 1970, the line, and its structured metadata."""

    time_ns: int
    line: bytes
    metadata: Sequence[tuple[bytes, bytes]] = ()


def labels_text(labels: Mapping[str, str]) -> str:
    """A stream's labels as Loki writes them: sorted, values quoted as Go does."""
    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in sorted(labels.items())) + "}"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(value: str) -> str:
    """A value between double quotes, with what would end or break it escaped."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


_seconds = lru_cache(256)(encode_varint)
"""Lines that come together are of the same few seconds."""


def encode_entry(entry: Entry) -> bytes:
    """One entry as a field of a Stream."""
    seconds, nanos = divmod(entry.time_ns, NS)
    time = (b"\x08" + _seconds(seconds) if seconds else b"") + (b"\x10" + encode_varint(nanos) if nanos else b"")
    pairs = (encode_field(3, encode_field(1, name) + encode_field(2, value)) for name, value in entry.metadata)
    return encode_field(2, encode_field(1, time) + encode_field(2, entry.line) + b"".join(pairs))


def encode_stream(labels: str, entries: Iterable[Entry], stream_hash: int) -> bytes:
    """The value of one record: one stream with some of its entries."""
    head, tail = encode_field(1, labels.encode()), b"\x18" + encode_varint(stream_hash)
    return head + b"".join(map(encode_entry, entries)) + tail
