"""Kafka as Bytewax source and sink, on kafka-python. The only module of ours at the rim that knows bytewax.

Bytewax's own connector wants another client, and its sink loses failed deliveries silently. Offsets live in Bytewax's
recovery store and nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.errors import ForeignOffsets, OffsetGone, TocsinError
from connectors.kafka_clients import LIST_TIMEOUT_MS, confirm, make_consumer, make_producer, send, unavailable
from connectors.messages import OutRecord
from connectors.process import coalesce_timers, keep_freed_memory
from connectors.reader import QUEUE_BYTES, Reader, ReaderStats, gone
from connectors.received import Received, topic_partitions
from connectors.settings import KafkaSettings
from connectors.topics import topic_identity

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How often empty queues are looked into: all of them at the points of one common grid, by one wake-up.

    ``slack_ns`` is how far the kernel may delay the worker's timers, to serve several at once (Linux only).
    """

    grid: timedelta
    slack_ns: int


BUSY = Pace(timedelta(milliseconds=25), 20_000_000)
IDLE = Pace(timedelta(milliseconds=200), 80_000_000)
"""For a reader that has met nothing but control records for some seconds: what comes next may wait a fifth of one."""
POSITION_VERSION = 1
MAX_OUTSTANDING = 10_000
"""Sends that a process may have unconfirmed; at 1 kB an event this is 10 MB."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Position = tuple[int, str, int]
"""Snapshot of a source partition: version, topic identity, next offset."""


class _Topic(NamedTuple):
    identity: str
    starts: dict[int, int]


class KafkaSource(FixedPartitionedSource[T, Position], Generic[T]):  # type: ignore[misc]  # mypy skips bytewax (pyproject)
    """All partitions of a topic, each from its resumed offset or else from the earliest that Kafka holds.

    One consumer and thread per process (``Reader``) serves the partitions that Bytewax builds here; in a cluster the
    others are built elsewhere. Nothing connects before Bytewax asks for the partitions.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        decode: Callable[[list[Received]], list[T]],
        bound_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._reader = Reader(settings, topic, decode, bound_bytes)
        self._described: _Topic | None = None
        self._lock = threading.Lock()

    def list_parts(self) -> list[str]:
        """Partition numbers of the topic, as the broker has it. Raises ``Unavailable`` or for a missing topic."""
        return [str(partition) for partition in self._describe().starts]

    def build_part(self, step_id: str, for_part: str, resume_state: Position | None) -> KafkaPartition[T]:  # noqa: ARG002 - bytewax's signature
        """Resume at the snapshot's offset or begin at the earliest.

        Raises ``ForeignOffsets`` when the topic is not the one that the snapshot was taken of, ``OffsetGone`` when
        Kafka has deleted the offset. One beyond Kafka's end is raised as ``OffsetGone`` by the first batches.
        """
        described = self._describe()
        partition = int(for_part)
        start = described.starts[partition]
        offset = start if resume_state is None else self._resume(partition, resume_state, described)
        if offset < start:
            raise OffsetGone(gone(self._topic, partition, offset, start, None))
        self._reader.add(partition, offset)
        keep_freed_memory()
        return KafkaPartition(self._reader, partition, described.identity)

    def stats(self) -> ReaderStats:
        """Queue depth, lag and counters of this process' reader."""
        return self._reader.stats()

    def missing_reason(self) -> str:
        """Why nothing may come from Kafka; empty while it answers."""
        return self._reader.missing_reason()

    def stop(self) -> None:
        """End the reader's thread."""
        self._reader.stop()

    def _describe(self) -> _Topic:
        with self._lock:
            if self._described is None:
                self._described = describe(self._settings, self._topic)
            return self._described

    def _resume(self, partition: int, state: Position, described: _Topic) -> int:
        version, identity, offset = state
        if version != POSITION_VERSION:
            message = f"{self._topic} partition {partition}: snapshot of version {version}, not {POSITION_VERSION}"
            raise ForeignOffsets(message)
        if identity != described.identity:
            message = (
                f"{self._topic} partition {partition}: the recovery store holds offsets of {identity}, "
                f"the broker has {described.identity}: set the store aside to start anew"
            )
            raise ForeignOffsets(message)
        return offset


class KafkaPartition(StatefulSourcePartition[T, Position], Generic[T]):  # type: ignore[misc]  # mypy skips bytewax (pyproject)
    """One partition of the source: a view on its queue in the reader."""

    def __init__(self, reader: Reader[T], partition: int, identity: str) -> None:
        self._reader = reader
        self._partition = partition
        self._identity = identity
        self._pace: Pace | None = None

    def next_batch(self) -> list[T]:
        """What was read, a bounded batch of it; empty when nothing came. Never blocks; raises the reader's error."""
        return self._reader.pop(self._partition)

    def next_awake(self) -> datetime | None:
        """At once while records wait, else at the next point of the common grid."""
        if self._reader.waiting(self._partition):
            return None
        pace = BUSY if self._reader.busy else IDLE
        if pace is not self._pace:
            coalesce_timers(pace.slack_ns)
            self._pace = pace
        return next_on_grid(datetime.now(tz=UTC), pace.grid)

    def snapshot(self) -> Position:
        """Where the next batch begins."""
        return (POSITION_VERSION, self._identity, self._reader.position(self._partition))

    def close(self) -> None:
        """End the process' reader: Bytewax closes all partitions together."""
        self._reader.stop()


class KafkaSink(FixedPartitionedSink[OutRecord, None]):  # type: ignore[misc]  # mypy skips bytewax (pyproject)
    """Takes ``(key, OutRecord)`` and confirms every record before the epoch in which it came ends.

    One producer per process. A record that Kafka refuses or does not confirm within the delivery time-out raises
    ``Unavailable``: the process ends, its supervisor starts it again, and the epoch is replayed.
    """

    PART = "kafka"

    def __init__(self, settings: KafkaSettings, max_outstanding: int = MAX_OUTSTANDING) -> None:
        self._settings = settings
        self._max_outstanding = max_outstanding

    def list_parts(self) -> list[str]:
        """One part: events are few, and one producer keeps the events of an episode in order."""
        return [self.PART]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> KafkaSinkPart:  # noqa: ARG002 - bytewax's signature
        """Connect the producer; raises ``Unavailable``."""
        return KafkaSinkPart(self._settings, self._max_outstanding)


class KafkaSinkPart(StatefulSinkPartition[OutRecord, None]):  # type: ignore[misc]  # mypy skips bytewax (pyproject)
    """Sends at once, confirms in ``snapshot``; at most ``max_outstanding`` sends are unconfirmed."""

    def __init__(self, settings: KafkaSettings, max_outstanding: int = MAX_OUTSTANDING) -> None:
        self._timeout_s = settings.delivery_timeout_s
        self._max_outstanding = max_outstanding
        self._producer = make_producer(settings, "tocsin-sink")
        self._outstanding: deque[Any] = deque()

    def write_batch(self, values: list[OutRecord]) -> None:
        """Hand records to the producer; raises ``Unavailable`` for a send that has already failed."""
        with _named():
            for record in values:
                self._outstanding.append(send(self._producer, record))
            self._drop_done()
            self._confirm_down_to(self._max_outstanding)

    def snapshot(self) -> None:
        """Confirm all that was written since the last snapshot; raises ``Unavailable`` past the time-out."""
        with _named():
            self._confirm_down_to(0)

    def close(self) -> None:
        """Confirm what is left and close the producer; raises ``Unavailable`` past the time-out."""
        with _named():
            self._confirm_down_to(0)
        self._producer.close(timeout=self._timeout_s)

    def _drop_done(self) -> None:
        while self._outstanding and self._outstanding[0].is_done:
            confirm([self._outstanding.popleft()], 0)

    def _confirm_down_to(self, left: int) -> None:
        oldest = [self._outstanding.popleft() for _ in range(len(self._outstanding) - left)]
        confirm(oldest, self._timeout_s)


@contextmanager
def _named() -> Iterator[None]:
    """Log what a sink raises: Bytewax 0.21 aborts the process on it without printing the exception."""
    try:
        yield
    except TocsinError as error:
        _log.critical("the sink ends this process: %s: %s", type(error).__name__, error)
        raise


def describe(settings: KafkaSettings, topic: str) -> _Topic:
    """Identity of the topic and the earliest offset of each partition; raises ``Unavailable`` or for no such topic."""
    consumer = make_consumer(settings, "tocsin-describe")
    try:
        with unavailable(settings):
            partitions = topic_partitions(consumer, topic)
            starts = consumer.beginning_offsets(partitions, timeout_ms=LIST_TIMEOUT_MS)
    finally:
        consumer.close()
    return _Topic(topic_identity(settings, topic), {p.partition: starts[p] for p in partitions})


def next_on_grid(now: datetime, grid: timedelta) -> datetime:
    """The first point of the grid after ``now``."""
    return now + grid - (now - _EPOCH) % grid
