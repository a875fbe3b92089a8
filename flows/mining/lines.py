"""Decode: records of ``tocsin.logs`` to chunks of columns, in the reader's thread.

The text of a masked line goes along when this reader meets it first, and again now and then, so that a miner that
forgot it learns it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import config

from connectors.codec.entries import LINE_FROM, LINE_TO, TIME_MS, read_entries
from connectors.codec.stream_labels import LabelFault, read_labels
from connectors.errors import Rejected
from connectors.messages import CONTROL_HEADER, ControlRecord
from flows.chunks import Poison
from flows.decode import Record, poison_of, tenant_of
from flows.detectors.base import Ints
from flows.hash_table import Hashes
from flows.mining.mask import CLASSES, HASH, LEVEL, ROOM, TEXT_FROM, TEXT_TO, mask_lines
from flows.mining.scope import Scope, Stream

MAX_STREAMS = 100_000
"""Streams whose labels are remembered; at the bound all are forgotten."""
MAX_KNOWN = 200_000
"""Masked lines of a partition that are known to have been told; at the bound all are told once more."""
MANY_LINES = 20_000
"""A chunk ends with the record that reaches so many."""


class NewLine(NamedTuple):
    """A masked line that was not met before."""

    line: int
    scope: Scope
    text: bytes


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one partition in the order of its records: columns of shape (n,)."""

    masked: Hashes
    """hash of the masked line"""
    times_ms: Ints
    sizes: Ints
    """bytes of the line as it came"""
    at: Ints
    """of which of ``scopes``"""
    scopes: tuple[Scope, ...]
    new: tuple[NewLine, ...] = ()


LogChunk = Lines | ControlRecord | Poison


class _Known:
    """Which masked lines of one partition were told. All are forgotten now and then."""

    def __init__(self, every_s: int) -> None:
        self.lines: set[int] = set()
        self.cleared = 0
        self._every_s = every_s
        self._began_s = 0

    def at(self, log_s: int) -> None:
        """It is so late, in seconds of log time."""
        if log_s - self._began_s >= self._every_s:
            self.lines.clear()
            self._began_s = log_s

    def meet(self, line: int) -> bool:
        """Whether it is new."""
        if line in self.lines:
            return False
        if len(self.lines) >= MAX_KNOWN:
            self.lines.clear()
            self.cleared += 1
        self.lines.add(line)
        return True


class _Joined:
    """Lines of neighbouring records on their way to a chunk."""

    def __init__(self) -> None:
        self.columns: list[tuple[Hashes, Ints, Ints, Ints]] = []
        self.texts: list[tuple[bytes, Ints]] = []
        self.scopes: list[Scope] = []
        self.n = 0


class LineDecoder:
    """The decode step of one process; it may read any number of partitions, in one thread."""

    def __init__(self, tell_every_s: int, told_by: Sequence[str]) -> None:
        self._tell_every_s = tell_every_s
        self._told_by = tuple(told_by)
        self._streams: dict[tuple[str, bytes], Stream] = {}
        self.known: dict[int, _Known] = {}
        self.forgotten = 0
        """times there was no room for another stream"""

    def decode(self, records: Iterable[Record]) -> list[tuple[str, list[LogChunk]]]:
        """Chunks per partition, keyed by the partition number as Bytewax wants it."""
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        return [(str(partition), self._chunks(partition, mine)) for partition, mine in by_partition.items()]

    def _chunks(self, partition: int, records: list[Record]) -> list[LogChunk]:
        known = self.known.get(partition)
        if known is None:
            known = self.known[partition] = _Known(self._tell_every_s)
        out: list[LogChunk] = []
        joined = _Joined()
        for record in records:
            other = self._read(record, joined)
            if other is not None or joined.n >= MANY_LINES:
                joined = _end(joined, known, out)
            if other is not None:
                out.append(other)
            if isinstance(other, ControlRecord):
                known.at(other.time_ms // 1000)
        _end(joined, known, out)
        return out

    def _read(self, record: Record, joined: _Joined) -> ControlRecord | Poison | None:
        """Add a record's lines to those before it; gives what else it is."""
        try:
            if record.headers and any(name == CONTROL_HEADER for name, _ in record.headers):
                return ControlRecord.decode(record.value or b"")
            self._add(tenant_of(record.key), record.value or b"", joined)
        except Rejected as error:
            return poison_of(record, error)
        return None

    def _add(self, tenant: str, value: bytes, joined: _Joined) -> None:
        labels, buf, table = read_entries(value)
        stream = self._stream(tenant, labels)
        out, state = np.empty(ROOM * len(buf), np.uint8), np.zeros(6, np.int64)
        found = np.empty((4, table.shape[1]), np.int64)
        fixed = -1 if stream.level is None else int(stream.level)
        with np.errstate(over="ignore") if config.DISABLE_JIT else nullcontext():  # uncompiled, hashes warn of wrapping
            mask_lines(buf, table, np.uint64(stream.seed), fixed, CLASSES, out, state, found)
        first = len(joined.scopes)
        joined.scopes += stream.scopes
        sizes = table[LINE_TO] - table[LINE_FROM]
        joined.columns.append((found[HASH].view(np.uint64), table[TIME_MS], sizes, first + found[LEVEL]))
        joined.texts.append((out[: state[0]].tobytes(), found[TEXT_FROM : TEXT_TO + 1]))
        joined.n += table.shape[1]

    def _stream(self, tenant: str, labels: bytes) -> Stream:
        stream = self._streams.get((tenant, labels))
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                self._streams.clear()
                self.forgotten += 1
            stream = self._streams[tenant, labels] = Stream(tenant, labels_of(labels), self._told_by)
        return stream


def labels_of(text: bytes) -> dict[str, str]:
    """Labels of a stream as its record has them; raises ``Rejected(reason="poison")``."""
    found = read_labels(text)
    if isinstance(found, LabelFault):
        message = f"labels {text[:200]!r}: {found.text}"
        raise Rejected(reason="poison", message=message)
    return dict(found)


def _end(joined: _Joined, known: _Known, out: list[LogChunk]) -> _Joined:
    """What was joined becomes a chunk, if it is anything; gives an empty one to go on with."""
    if joined.n:
        masked, times_ms, sizes, at = (np.concatenate(column) for column in zip(*joined.columns, strict=True))
        new = tuple(_new_lines(joined, masked, at, known))
        out.append(Lines(masked, times_ms, sizes, at, tuple(joined.scopes), new))
    return _Joined()


def _new_lines(joined: _Joined, masked: Hashes, at: Ints, known: _Known) -> Iterable[NewLine]:
    """Those that must be told of, in the order of their first lines."""
    distinct, first = np.unique(masked, return_index=True)
    ends = np.cumsum([len(column[0]) for column in joined.columns])
    for order in np.argsort(first, kind="stable").tolist():
        line, n = int(distinct[order]), int(first[order])
        if known.meet(line):
            record = int(np.searchsorted(ends, n, side="right"))
            text, spans = joined.texts[record]
            start, to = spans[:, n - (int(ends[record]) - spans.shape[1])].tolist()
            yield NewLine(line, joined.scopes[at[n]], text[start:to])
