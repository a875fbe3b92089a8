"""The kernels of mining, compiled or loaded before the first line needs them."""

from __future__ import annotations

from typing import NamedTuple

from connectors.codec.lean_numba import make_numba_lean
from connectors.codec.stream import Entry, encode_stream
from connectors.messages import Header
from flows.mining.limits import USUAL_LABELS
from flows.mining.lines import LineDecoder


class _Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


def warm_lines() -> None:
    """Decode one line, with metadata."""
    make_numba_lean()
    value = encode_stream('{app="warm"}', [Entry(1, b"warm 1 () /a/b", [(b"level", b"info")])], 1)
    LineDecoder(60, USUAL_LABELS).decode([_Record("logs", 0, 0, b"warm", value, [])])
