"""One consumer and one thread per process that fill a queue per partition; whoever owns the flow only pops.

Why so: eight consumers polled without blocking burn 71 % of a core while idle, one that blocks 1–2 %. All queues
share one bound. At the bound the thread waits until something is popped, so a slow flow holds Kafka back and nothing
else; the other partitions wait no longer than the flow needs for what is already queued.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from connectors.answers import Answers
from connectors.errors import OffsetGone
from connectors.fetch_wait import FetchWait
from connectors.held_consumer import HeldConsumer
from connectors.kafka_clients import make_consumer
from connectors.messages import CONTROL_HEADER, Header
from connectors.received import Received, receive
from connectors.settings import KafkaSettings

QUEUE_BYTES = 64 * 1024 * 1024
"""Bound of all queues together: a quarter of a second at 250 MB/s. One poll may go beyond it."""
QUEUE_RECORDS = 50_000
BATCH_BYTES = 2 * 1024 * 1024
BATCH_RECORDS = 256
POLL_RECORDS = 64
"""Records decompressed at a time: some megabytes, which decoding still finds in the processor's caches."""
EMPTY_POLLS_BEFORE_GONE = 2
"""A high watermark below our position is believed when it stands for so many polls without a record."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ReaderStats(NamedTuple):
    """Depth and counters of a reader.

    ``lag_records`` is what the broker holds and the flow has not popped, ``partitions`` how many are read.
    """

    queued_records: int
    queued_bytes: int
    lag_records: int
    received_records_total: int
    received_bytes_total: int
    full_waits_total: int
    partitions: int


class _Portion(NamedTuple, Generic[T]):
    """What a run of records became, and what is needed to go on behind it."""

    items: list[T]
    records: int
    bytes: int
    next_offset: int


class _Queue(Generic[T]):
    """Portions of one partition on their way to the flow."""

    __slots__ = ("end", "fetched", "popped", "portions")

    def __init__(self, offset: int) -> None:
        self.portions: deque[_Portion[T]] = deque()
        self.fetched = offset
        self.popped = offset
        self.end: int | None = None


class Reader(Generic[T]):
    """Reads the partitions added to it, from the offsets given, in one thread that starts with the first pop.

    ``decode`` turns neighbouring records of one partition into items, in that thread and while they are still in the
    processor's caches: records are ten times as large as what the flow needs of them. ``add`` and ``pop`` may be
    called from several threads.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        decode: Callable[[list[Received]], list[T]],
        bound_bytes: int = QUEUE_BYTES,
        bound_records: int = QUEUE_RECORDS,
    ) -> None:
        self.topic = topic
        self._settings = settings
        self._answers = Answers(settings.kafka)
        self._decode = decode
        self._bound_bytes = bound_bytes
        self._bound_records = bound_records
        self._queues: dict[int, _Queue[T]] = {}
        self._lock = threading.Condition()
        self._bytes = 0
        self._records = 0
        self._received_records = 0
        self._received_bytes = 0
        self._full_waits = 0
        self._empty_polls = 0
        self._error: BaseException | None = None
        self._stopping = False
        self._held = HeldConsumer()
        self.busy = True
        """Whether more than control records came in the last seconds."""
        self._thread: threading.Thread | None = None

    def add(self, partition: int, offset: int) -> None:
        """Read ``partition`` too, beginning with ``offset``."""
        with self._lock:
            self._queues[partition] = _Queue(offset)

    def pop(self, partition: int, max_bytes: int = BATCH_BYTES, max_records: int = BATCH_RECORDS) -> list[T]:
        """The next items of ``partition``, none if none came; never blocks.

        A batch ends with the portion that reaches ``max_bytes`` or ``max_records``. Once all that came is popped,
        raises the error that ended the thread: ``OffsetGone`` or what client or decoder raised.
        """
        with self._lock:
            self._ensure_thread()
            queue = self._queues[partition]
            if not queue.portions and self._error is not None:
                raise self._error
            taken = _take(queue, max_bytes, max_records)
            if taken:
                self._bytes -= sum(portion.bytes for portion in taken)
                self._records -= sum(portion.records for portion in taken)
                queue.popped = taken[-1].next_offset
                self._lock.notify_all()
        return [item for portion in taken for item in portion.items]

    def waiting(self, partition: int) -> bool:
        """Whether a pop would give records, or the reader's error, now."""
        return bool(self._queues[partition].portions) or self._error is not None

    def position(self, partition: int) -> int:
        """Offset of the next record that a pop gives."""
        return self._queues[partition].popped

    def stats(self) -> ReaderStats:
        """Depth and counters now."""
        with self._lock:
            lag = sum(max(0, (queue.end or 0) - queue.popped) for queue in self._queues.values())
            return ReaderStats(
                self._records,
                self._bytes,
                lag,
                self._received_records,
                self._received_bytes,
                self._full_waits,
                len(self._queues),
            )

    def missing_reason(self) -> str:
        """Why nothing may come: no partition is read, or Kafka does not answer; else empty.

        A reader with full queues asks for nothing, so it has no answer to miss.
        """
        with self._lock:
            if not self._queues:
                return "no partition is read yet"
            return "" if self._full() else self._answers.missing_reason()

    def stop(self) -> None:
        """End the thread and wait for it; what is being fetched is not waited for."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        self._held.close()
        if self._thread is not None:
            self._thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name=f"read-{self.topic}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - raised again by pop, in the thread of the flow
            if not self._stopping:  # else the consumer was closed meanwhile, at whatever it was doing
                _log.error("%s: reading ended: %r", self.topic, error)
                self._error = error

    def _read(self) -> None:
        client_id = f"tocsin-read-{self.topic}"
        consumer = self._held.hold(make_consumer(self._settings, client_id, max_poll_records=POLL_RECORDS))
        try:
            wait = FetchWait(consumer)
            self._answers.listen(consumer)
            while not self._stopping:
                self._assign_added(consumer)
                wait.saw(data=self._poll(consumer, wait.poll_ms))
                self.busy = wait.busy
                self._wait_for_room()
        finally:
            self._held.close()

    def _assign_added(self, consumer: KafkaConsumer) -> None:
        with self._lock:
            wanted = {TopicPartition(self.topic, partition): queue.fetched for partition, queue in self._queues.items()}
        added = wanted.keys() - consumer.assignment()
        if added:
            consumer.assign(list(wanted))
            for partition in added:
                consumer.seek(partition, wanted[partition])

    def _poll(self, consumer: KafkaConsumer, timeout_ms: int) -> bool:
        """Queue what came; whether it was more than control records."""
        try:
            polled = consumer.poll(timeout_ms)
        except OffsetOutOfRangeError as error:
            partition, offset = next(iter(error.args[0].items()))
            start = consumer.beginning_offsets([partition])[partition]
            end = consumer.end_offsets([partition])[partition]
            raise OffsetGone(gone(self.topic, partition.partition, offset, start, end)) from error
        for partition, records in polled.items():
            self._keep(partition.partition, [receive(record) for record in records])
        for partition in consumer.assignment():
            self._queues[partition.partition].end = consumer.highwater(partition)
        self._refuse_beyond_end(silent=not polled)
        return any(not _is_control(record.headers) for records in polled.values() for record in records)

    def _keep(self, partition: int, received: list[Received]) -> None:
        size = sum(len(record.value or b"") + len(record.key or b"") for record in received)
        portion = _Portion(self._decode(received), len(received), size, received[-1].offset + 1)
        with self._lock:
            queue = self._queues[partition]
            queue.portions.append(portion)
            queue.fetched = portion.next_offset
            self._bytes += size
            self._records += len(received)
            self._received_bytes += size
            self._received_records += len(received)

    def _refuse_beyond_end(self, *, silent: bool) -> None:
        """Some brokers answer a fetch beyond the end with silence for ever; the high watermark tells."""
        beyond = [(p, q.fetched, q.end) for p, q in self._queues.items() if q.end is not None and q.end < q.fetched]
        self._empty_polls = self._empty_polls + 1 if beyond and silent else 0
        if self._empty_polls >= EMPTY_POLLS_BEFORE_GONE:
            partition, offset, end = beyond[0]
            raise OffsetGone(gone(self.topic, partition, offset, None, end))

    def _wait_for_room(self) -> None:
        with self._lock:
            if self._full():
                self._full_waits += 1
                self._lock.wait_for(lambda: self._stopping or not self._full())
                self._answers.came()

    def _full(self) -> bool:
        return self._bytes >= self._bound_bytes or self._records >= self._bound_records


def _is_control(headers: list[Header]) -> bool:
    return bool(headers) and any(name == CONTROL_HEADER for name, _ in headers)


def gone(topic: str, partition: int, offset: int, start: int | None, end: int | None) -> str:
    """Message of an ``OffsetGone``: which offset is wanted, and what the broker holds as far as it said."""
    holds = " ".join(f"{word} {known}" for word, known in (("from", start), ("up to", end)) if known is not None)
    return (
        f"{topic} partition {partition}: must continue at offset {offset}, but the broker holds records {holds}: "
        "records were deleted or lost since; set the recovery store aside to start anew"
    )


def _take(queue: _Queue[T], max_bytes: int, max_records: int) -> list[_Portion[T]]:
    taken: list[_Portion[T]] = []
    size = records = 0
    while queue.portions and size < max_bytes and records < max_records:
        portion = queue.portions.popleft()
        size += portion.bytes
        records += portion.records
        taken.append(portion)
    return taken
