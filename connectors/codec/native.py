"""Native histograms of a record: where they stand, and one of them as buckets. Few series have them: no hot path."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec.histogram import CUSTOM_BUCKETS, HIGHEST_SCHEMA, LOWEST_SCHEMA
from connectors.codec.kernels import HISTOGRAM, LABEL, label_run
from connectors.codec.labels import read_fields, read_one
from connectors.codec.series_hash import xxh64
from connectors.codec.varint import (
    BYTES,
    FIXED64,
    VARINT,
    allocating,
    kernel,
    read_length,
    read_tag,
    read_varint,
    skip_value,
)
from connectors.errors import Rejected

GAUGE_HINT = 3
"""``ResetHint.GAUGE`` of remote write."""
STALE_SUM = struct.pack("<Q", 0x7FF0000000000002)
TIME = 15 << 3 | VARINT
H_SERIES, H_TIME, H_FROM, H_TO, H_LABELS_FROM, H_LABELS_TO = range(6)

_double = struct.Struct("<d")


class FoundHistograms(NamedTuple):
    """Histograms of a record in its order; all arrays have the shape (n,)."""

    series: npt.NDArray[np.uint64]
    times_ms: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    """span of the Histogram message in the record"""
    labels_from: npt.NDArray[np.int64]
    labels_to: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """Counts by bucket index (``docs/detectors.md``); all counts are floats, so that sums and rates are histograms too.

    Bucket i of an exponential schema s reaches from 2^((i−1)·2^−s), excluded, to 2^(i·2^−s); those of ``negative``
    mirror it. With custom buckets it reaches from ``bounds[i − 1]`` to ``bounds[i]``.
    """

    schema: int
    count: float
    total: float
    """sum of the observations"""
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    start_ms: int = 0
    gauge: bool = False


def find_histograms(value: bytes, seed: int) -> FoundHistograms:
    """Where the histograms of a record stand that ``decode_record`` has accepted."""
    table = np.empty((6, 16), np.int64)
    with np.errstate(over="ignore"):  # hashes wrap around; numpy warns of it when the JIT is off
        n, table = scan_histograms(np.frombuffer(value, np.uint8), np.uint64(seed), table)
    found = table[:, :n]
    return FoundHistograms(found[H_SERIES].view(np.uint64), *found[H_TIME:])


@kernel
def _time_of(buf, pos, end):  # type: ignore[no-untyped-def]
    """Timestamp of the Histogram in ``buf[pos:end]``, 0 if it has none."""
    time_ms = np.int64(0)
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if tag == TIME:
            time_ms, pos = read_varint(buf, pos, end)
        elif pos >= 0:
            pos = skip_value(buf, pos, end, tag & 7)
    return time_ms


@allocating
def wider(table):  # type: ignore[no-untyped-def]
    """A copy of ``table`` with twice the columns."""
    out = np.empty((table.shape[0], 2 * table.shape[1]), table.dtype)
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            out[row, column] = table[row, column]
    return out


@allocating
def scan_histograms(buf, seed, table):  # type: ignore[no-untyped-def]
    """Rows for all histograms of a well-formed record; their number, and the table, another one when it had to grow."""
    n, pos, end = np.int64(0), np.int64(0), np.int64(len(buf))
    while 0 <= pos < end:
        tag, pos = read_tag(buf, pos, end)
        if pos < 0 or tag != LABEL:
            pos = skip_value(buf, pos, end, tag & 7) if pos >= 0 else pos
            continue
        pos, series_end = read_length(buf, pos, end)
        first, labels_from, labels_to = n, np.int64(0), np.int64(0)
        while 0 <= pos < series_end:
            field_at = pos
            tag, pos = read_tag(buf, pos, series_end)
            if tag == LABEL:
                labels_from, labels_to = field_at, label_run(buf, field_at, series_end)
                pos = labels_to
            elif tag == HISTOGRAM:
                if n == table.shape[1]:
                    table = wider(table)
                table[H_FROM, n], pos = read_length(buf, pos, series_end)
                table[H_TO, n] = pos
                table[H_TIME, n] = _time_of(buf, table[H_FROM, n], pos)
                n += 1
            elif pos >= 0:
                pos = skip_value(buf, pos, series_end, tag & 7)
        for column in range(first, n):
            table[H_SERIES, column] = np.int64(xxh64(buf, labels_from, labels_to, seed))
            table[H_LABELS_FROM, column], table[H_LABELS_TO, column] = labels_from, labels_to
    return n, table


def read_histogram(raw: bytes) -> NativeHistogram:
    """One Histogram message; raises ``Rejected(reason="poison")`` where it makes no sense.

    As for the kernel of ``histogram``, a field of another wire type than its own is unknown and passed over, and of two
    kinds of counts the later ones hold.
    """
    said = _Fields(raw)
    schema, bounds = _int32(said.number(4)), tuple(said.doubles(16))
    floating = said.is_float
    sides = [
        _buckets(said.spans(spans), said.doubles(counts) if floating else _sums(said.deltas(deltas)))
        for spans, deltas, counts in ((11, 12, 13), (8, 9, 10))
    ]
    _check_schema(schema, sides[0], bounds)
    return NativeHistogram(
        schema=schema,
        count=said.double(2) if floating else float(said.number(1)),
        total=said.double(3),
        zero_threshold=said.double(5),
        zero_count=said.zero_count,
        positive=sides[0],
        negative=sides[1],
        bounds=bounds,
        start_ms=_int64(said.number(17)),
        gauge=said.number(14) == GAUGE_HINT,
    )


def _check_schema(schema: int, positive: dict[int, float], bounds: tuple[float, ...]) -> None:
    if schema == CUSTOM_BUCKETS:
        outside = [index for index in positive if not 0 <= index <= len(bounds)]
        if outside:
            message = f"histogram: bucket {outside[0]}, but bounds for 0 to {len(bounds)}"
            raise Rejected(reason="poison", message=message)
    elif not LOWEST_SCHEMA <= schema <= HIGHEST_SCHEMA:
        message = f"histogram: schema {schema}, not {LOWEST_SCHEMA} to {HIGHEST_SCHEMA} nor {CUSTOM_BUCKETS}"
        raise Rejected(reason="poison", message=message)


def is_stale(raw: bytes) -> bool:
    """Whether a Histogram message says that the series ended: by the bits of its sum."""
    return _Fields(raw).last(3, FIXED64, b"") == STALE_SUM


class _Fields:
    """Fields of a message as they came, by number and wire type."""

    def __init__(self, raw: bytes) -> None:
        self._found: dict[tuple[int, int], list[Any]] = {}
        self._last_of: dict[tuple[int, int], int] = {}
        for at, (number, wire_type, value) in enumerate(read_fields(raw)):
            kind = (number, wire_type)
            self._found.setdefault(kind, []).append(value)
            self._last_of[kind] = at

    def all(self, number: int, wire_type: int) -> list[Any]:
        return self._found.get((number, wire_type), [])

    def last(self, number: int, wire_type: int, missing: Any) -> Any:
        return (self.all(number, wire_type) or [missing])[-1]

    def number(self, number: int) -> int:
        found: int = self.last(number, VARINT, 0)
        return found

    def double(self, number: int) -> float:
        found: float = _double.unpack(self.last(number, FIXED64, bytes(8)))[0]
        return found

    @property
    def is_float(self) -> bool:
        return self._later((2, FIXED64), (1, VARINT))

    @property
    def zero_count(self) -> float:
        return self.double(7) if self._later((7, FIXED64), (6, VARINT)) else float(self.number(6))

    def _later(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return self._last_of.get(one, -1) > self._last_of.get(other, -1)

    def doubles(self, number: int) -> list[float]:
        """Packed or single: nobody mixes them."""
        packed = self.all(number, BYTES) or self.all(number, FIXED64)
        if any(len(raw) % _double.size for raw in packed):
            raise Rejected(reason="poison", message=f"histogram: field {number} is no sequence of doubles")
        return [value for raw in packed for (value,) in _double.iter_unpack(raw)]

    def deltas(self, number: int) -> list[int]:
        out = [_zigzag(value) for value in self.all(number, VARINT)]
        for raw in self.all(number, BYTES):
            pos = 0
            while pos < len(raw):
                value, pos = read_one(raw, pos)
                out.append(_zigzag(value))
        return out

    def spans(self, number: int) -> list[tuple[int, int]]:
        spans = [_Fields(raw) for raw in self.all(number, BYTES)]
        return [(_int32(span.number(1)), span.number(2) & _LOW) for span in spans]


_LOW = (1 << 32) - 1


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _int32(value: int) -> int:
    """A ``sint32``: of a longer varint the low half counts, as for the kernels."""
    return _zigzag(value & _LOW)


def _int64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _sums(deltas: list[int]) -> list[float]:
    return [float(count) for count in accumulate(deltas)]


def _buckets(spans: list[tuple[int, int]], counts: list[float]) -> dict[int, float]:
    """Count by index; the first offset is an index, the others are distances to the end of the span before."""
    if sum(length for _, length in spans) != len(counts):
        message = f"histogram: spans of {sum(length for _, length in spans)} buckets, but {len(counts)} counts"
        raise Rejected(reason="poison", message=message)
    out: dict[int, float] = {}
    index, at = 0, 0
    for offset, length in spans:
        index += offset
        for count in counts[at : at + length]:
            if count != 0.0:
                out[index] = count
            index += 1
        at += length
    return out
