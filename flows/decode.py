"""Decode: Kafka records to chunks.

The labels of a series go along when this reader meets it first, and again now and then, so that a block that dropped an
idle series learns it anew. The memory of label runs that makes decoding fast tells which series are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from connectors.codec.record import Columns
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.errors import Rejected
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, Header
from connectors.training import MARKS, TRAINING_HEADER, Step, training_of
from flows.chunks import Chunk, Lesson, NewSeries, Poison, Samples
from flows.others import others_of

OUR_HEADERS = "tocsin-"
"""So begin the headers that say what a record is."""
FIRST_OF_HISTORY = 4_100
"""Samples for which there is room at first: history comes in small pieces."""


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
    """Which series of one partition were announced: those that are known. All are forgotten now and then."""

    def __init__(self, every_s: int, max_series: int) -> None:
        self.every_s = every_s
        self.known = Runs(max_series)
        self._log_s = self._began_s = 0

    def at(self, log_s: int) -> None:
        """It is so late, in seconds of log time."""
        self._log_s = max(self._log_s, log_s)
        if self._log_s - self._began_s >= self.every_s:
            self.known.clear()
            self._began_s = self._log_s

    @property
    def cleared(self) -> int:
        """How often there was no room for another series."""
        return self.known.full_total

    @property
    def size_bytes(self) -> int:
        """Memory of what is known."""
        return self.known.size_bytes


class Decoder:
    """The decode step of one process; it may read any number of partitions, in one thread."""

    def __init__(self, announce_every_s: int, max_series: int) -> None:
        self._announce = (announce_every_s, max_series)
        self._columns = Columns()
        self._history = Columns(FIRST_OF_HISTORY)
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
        new: dict[int, NewSeries] = {}
        for record in records:
            samples, histograms = len(self._columns), self._columns.histograms
            other = self._read(record, announcements.known, new)
            if other is None and len(self._columns) > samples and self._columns.histograms == histograms:
                continue
            if other is None:
                histograms = self._columns.histograms - histograms
                self._join(new, out)
                out += self._others(record, histograms)
                continue
            self._join(new, out)
            if isinstance(other, ControlRecord):
                announcements.at(other.time_ms // 1000)
            out.append(other)
        self._join(new, out)
        return out

    def _read(self, record: Record, known: Runs, new: dict[int, NewSeries]) -> ControlRecord | Lesson | Poison | None:
        """Add a record's samples to the columns and its new series to ``new``; gives what else it is."""
        try:
            headers = dict(record.headers) if record.headers else {}
            if CONTROL_HEADER in headers:
                return ControlRecord.decode(record.value or b"")
            if TRAINING_HEADER in headers:
                return self._lesson(record, headers)
            tenant = tenant_of(record.key)
            for series, labels in self._columns.add(record.value or b"", tenant_seed(tenant), known):
                new[series] = NewSeries(series, tenant, labels)
        except Rejected as error:
            return poison_of(record, error)
        return None

    def _lesson(self, record: Record, headers: Mapping[str, bytes]) -> Lesson:
        """What is learned is none of the live samples, nor are its series announced by it."""
        training, step = training_of(headers)
        value = record.value or b""
        if step is not Step.HISTORY:
            return Lesson(training, record.partition, MARKS[step].decode(value))
        tenant, met = tenant_of(record.key), dict[int, NewSeries]()
        for series, labels in self._history.add(value, tenant_seed(tenant), Runs(len(value))):
            met[series] = NewSeries(series, tenant, labels)
        return Lesson(training, record.partition, Samples(*self._history.take()[:4], tuple(met.values())))

    def _others(self, record: Record, histograms: int) -> list[Chunk]:
        """What a record holds beside the samples that were read of it."""
        try:
            return list(others_of(tenant_of(record.key), record.value or b"", histograms))
        except Rejected as error:
            return [poison_of(record, error)]

    def _join(self, new: dict[int, NewSeries], out: list[Chunk]) -> None:
        """What was read since the last chunk becomes one, with the labels that must go along."""
        samples = self._columns.take()
        if len(samples.series) or samples.histograms:
            out.append(Samples(*samples[:4], tuple(new.values()), samples.histograms))
        new.clear()


def poison_of(record: Record, error: Rejected) -> Poison:
    """A record that could not be read, with what is to be kept of it."""
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    headers = tuple((name, content) for name, content in record.headers or () if name.startswith(OUR_HEADERS))
    return Poison(error.reason, str(error), origin, record.value, record.key, headers)


def tenant_of(key: bytes | None) -> str:
    """Whose record it is; raises ``Rejected(reason="poison")``."""
    try:
        return key.decode() if key else DEFAULT_TENANT
    except UnicodeDecodeError as error:
        message = f"record key {key!r}: the tenant must be UTF-8"
        raise Rejected(reason="poison", message=message) from error
