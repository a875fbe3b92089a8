"""Decode: Kafka records to chunks.

The labels of a series go along when this reader meets it first, and again now and then, so that a block that dropped an
idle series learns it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from connectors.codec.record import Decoded, decode_record
from connectors.codec.series_hash import tenant_seed
from connectors.errors import Rejected
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, Header
from flows.chunks import Chunk, NewSeries, Poison, Samples
from flows.detectors.base import Ints
from flows.hash_table import Hashes, HashTable
from flows.others import others_of


class Record(Protocol):
    """A Kafka record as the source gives it."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - Kafka's words
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[Header]: ...  # noqa: D102


class Announcements:
    """Which series of one partition were announced, and when, in seconds of log time."""

    def __init__(self, every_s: int, max_series: int) -> None:
        self.every_s, self.max_series = every_s, max_series
        self.table = HashTable()
        self.announced_s = np.zeros(64, np.int64)
        self.log_s = 0
        self.cleared = 0

    def due(self, series: Hashes) -> Ints:
        """Index of one sample of each series whose labels must go along; marks them as announced."""
        rows = self.table.find(series)
        late = np.flatnonzero((rows < 0) | (self.log_s - self.announced_s[rows] >= self.every_s))
        if not len(late):
            return late
        hashes, first = np.unique(series[late], return_index=True)
        if self.table.size + len(hashes) > self.max_series:
            self.table.clear()
            self.cleared += 1
        self._mark(hashes)
        return late[np.sort(first)]  # in the order of the records, so that rows lie as samples will come

    def _mark(self, hashes: Hashes) -> None:
        absent = hashes[self.table.find(hashes) < 0]
        size = self.table.size + len(absent)
        if size > len(self.announced_s):
            self.announced_s = np.concatenate([self.announced_s, np.zeros(size, np.int64)])
        self.table.add_all(absent, np.arange(self.table.size, size))
        self.announced_s[self.table.find(hashes)] = self.log_s


class Decoder:
    """The decode step of one process; it may read any number of partitions."""

    def __init__(self, announce_every_s: int, max_series: int) -> None:
        self._announce = (announce_every_s, max_series)
        self.partitions: dict[int, Announcements] = {}

    def decode(self, records: Iterable[Record]) -> list[tuple[str, list[Chunk]]]:
        """Chunks per partition, keyed by the partition number as Bytewax wants it."""
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        return [(str(partition), self._chunks(partition, mine)) for partition, mine in by_partition.items()]

    def _chunks(self, partition: int, records: list[Record]) -> list[Chunk]:
        """Chunks of one partition; neighbouring records of samples are joined, because kernels like long columns."""
        announcements = self.partitions.get(partition)
        if announcements is None:
            announcements = self.partitions[partition] = Announcements(*self._announce)
        out: list[Chunk] = []
        run: list[_Read] = []
        for record in records:
            read = self._read(record)
            if isinstance(read, _Read):
                run.append(read)
                if len(read.samples.series) and not read.samples.histograms:
                    continue
                out += [_join(run, announcements), *others_of(read.tenant, read.value, read.samples.histograms)]
                run = []
                continue
            if run:
                out.append(_join(run, announcements))
                run = []
            if isinstance(read, ControlRecord):
                announcements.log_s = max(announcements.log_s, read.time_ms // 1000)
            out.append(read)
        return [*out, _join(run, announcements)] if run else out

    def _read(self, record: Record) -> _Read | ControlRecord | Poison:
        try:
            if record.headers and any(name == CONTROL_HEADER for name, _ in record.headers):
                return ControlRecord.decode(record.value or b"")
            tenant, value = _tenant(record.key), record.value or b""
            return _Read(tenant, value, decode_record(value, tenant_seed(tenant)))
        except Rejected as error:
            origin = f"{record.topic}/{record.partition}/{record.offset}"
            return Poison(error.reason, str(error), origin, record.value)


class _Read(NamedTuple):
    """A record of samples, decoded."""

    tenant: str
    value: bytes
    samples: Decoded


def _join(run: Sequence[_Read], announcements: Announcements) -> Samples:
    """The samples of neighbouring records in one chunk, with the labels that must go along."""
    parts = [read.samples for read in run]
    series = np.concatenate([part.series for part in parts])
    return Samples(
        series,
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.values for part in parts]),
        _starts(parts),
        _announced(run, announcements.due(series)),
        sum(part.histograms for part in parts),
    )


def _starts(parts: Sequence[Decoded]) -> Ints | None:
    if all(part.starts_ms is None for part in parts):
        return None
    none = (np.zeros(len(part.series), np.int64) for part in parts)
    return np.concatenate(
        [zeros if part.starts_ms is None else part.starts_ms for part, zeros in zip(parts, none, strict=True)]
    )


def _announced(run: Sequence[_Read], due: Ints) -> tuple[NewSeries, ...]:
    if not len(due):
        return ()
    ends = np.cumsum([len(read.samples.series) for read in run])
    numbers = np.searchsorted(ends, due, side="right")
    return tuple(_new_series(run[n], i - ends[n]) for i, n in zip(due.tolist(), numbers.tolist(), strict=True))


def _new_series(read: _Read, at: int) -> NewSeries:
    """The series of the sample ``at``, counted from the record's end."""
    samples = read.samples
    labels = read.value[samples.labels_from[at] : samples.labels_to[at]]
    return NewSeries(int(samples.series[at]), read.tenant, labels)


def _tenant(key: bytes | None) -> str:
    try:
        return key.decode() if key else DEFAULT_TENANT
    except UnicodeDecodeError as error:
        message = f"record key {key!r}: the tenant must be UTF-8"
        raise Rejected(reason="poison", message=message) from error
