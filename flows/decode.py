"""Decode: Kafka records to chunks.

The labels of a series go along when this reader meets it first, and again now and then, so that a block that dropped an
idle series learns it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from connectors.codec.record import Decoded, decode_record
from connectors.codec.series_hash import tenant_seed
from connectors.errors import Rejected
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, Header
from flows.chunks import Chunk, NewSeries, Poison, Samples
from flows.detectors.base import Ints
from flows.hash_table import Hashes, HashTable

MAX_TENANTS = 10_000
"""Seeds of so many tenants are remembered; beyond, they are computed again."""


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
        for key in hashes.tolist():
            self._mark(key)
        return late[first]

    def _mark(self, key: int) -> None:
        row = self.table.get(key)
        if row < 0:
            row = self.table.size
            if row >= len(self.announced_s):
                self.announced_s = np.concatenate([self.announced_s, np.zeros_like(self.announced_s)])
            self.table.add(key, row)
        self.announced_s[row] = self.log_s


class Decoder:
    """The decode step of one process; it may read any number of partitions."""

    def __init__(self, announce_every_s: int, max_series: int) -> None:
        self._announce = (announce_every_s, max_series)
        self.partitions: dict[int, Announcements] = {}
        self._seeds: dict[str, int] = {}

    def decode(self, records: Iterable[Record]) -> list[tuple[str, list[Chunk]]]:
        """Chunks per partition, keyed by the partition number as Bytewax wants it."""
        out: dict[int, list[Chunk]] = {}
        for record in records:
            out.setdefault(record.partition, []).append(self._chunk(record))
        return [(str(partition), _merge(chunks)) for partition, chunks in out.items()]

    def _chunk(self, record: Record) -> Chunk:
        announcements = self.partitions.get(record.partition)
        if announcements is None:
            announcements = self.partitions[record.partition] = Announcements(*self._announce)
        try:
            if any(name == CONTROL_HEADER for name, _ in record.headers):
                return _control(record, announcements)
            return self._samples(record, announcements)
        except Rejected as error:
            origin = f"{record.topic}/{record.partition}/{record.offset}"
            return Poison(error.reason, str(error), origin, record.value)

    def _samples(self, record: Record, announcements: Announcements) -> Samples:
        if record.value is None:
            message = "a record of the metrics topic must hold a prometheus.WriteRequest, this one has no value"
            raise Rejected(reason="poison", message=message)
        tenant = _tenant(record.key)
        decoded = decode_record(record.value, self._seed(tenant))
        new = tuple(
            NewSeries(int(decoded.series[i]), tenant, record.value[decoded.labels_from[i] : decoded.labels_to[i]])
            for i in announcements.due(decoded.series)
        )
        return _columns(decoded, new)

    def _seed(self, tenant: str) -> int:
        seed = self._seeds.get(tenant)
        if seed is None:
            if len(self._seeds) >= MAX_TENANTS:
                self._seeds.clear()
            seed = self._seeds[tenant] = tenant_seed(tenant)
        return seed


def _columns(decoded: Decoded, new: tuple[NewSeries, ...]) -> Samples:
    return Samples(decoded.series, decoded.times_ms, decoded.values, decoded.starts_ms, new, decoded.histograms)


def _tenant(key: bytes | None) -> str:
    try:
        return key.decode() if key else DEFAULT_TENANT
    except UnicodeDecodeError as error:
        message = f"record key {key!r}: the tenant must be UTF-8"
        raise Rejected(reason="poison", message=message) from error


def _control(record: Record, announcements: Announcements) -> ControlRecord:
    control = ControlRecord.decode(record.value or b"")
    announcements.log_s = max(announcements.log_s, control.time_ms // 1000)
    return control


def _merge(chunks: list[Chunk]) -> list[Chunk]:
    """Join neighbouring samples: kernels like long columns."""
    out: list[Chunk] = []
    run: list[Samples] = []
    for chunk in chunks:
        if isinstance(chunk, Samples):
            run.append(chunk)
            continue
        if run:
            out.append(Samples.join(run))
            run = []
        out.append(chunk)
    return [*out, Samples.join(run)] if run else out
