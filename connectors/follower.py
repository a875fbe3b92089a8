"""Reading topics from start to end and on, in one thread, without a consumer group.

A ``Follower`` hands records to a callback. It survives a broker that restarts with its data, and dies loudly, with
``ForeignOffsets``, when that comes back without.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from connectors.answers import Answers
from connectors.errors import ForeignOffsets, Unavailable
from connectors.fetch_wait import FetchWait
from connectors.held_consumer import HeldConsumer
from connectors.kafka_clients import LIST_TIMEOUT_MS, make_consumer, unavailable
from connectors.received import Received, receive, topic_partitions
from connectors.settings import KafkaSettings

CONNECT_S = 0.5
REST_S = 10.0
EMPTY_POLLS_BEFORE_FOREIGN = 2
"""A high watermark below our position is believed when it stands for so many polls without a record."""

_log = logging.getLogger(__name__)


class Follower:
    """Follows all partitions of a topic, or of some, from construction until ``stop``; one thread, no group.

    An idle follower costs one request a second, however many topics it reads.

    ``on_records`` is called in that thread with records in partition order; a TocsinError or other exception from it
    ends the thread. ``offsets`` (topic to partition to next offset) wins over ``from_beginning``; starting at the end
    may repeat the last few records, because some brokers tell the end too low. Records of which ``hurries`` says no do
    not make it ask more often: the embedded broker may keep what follows them for a second.

    One that ``rests`` asks every ``REST_S`` only while nothing comes, until somebody who knows that something is there
    calls ``nudge``.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: str | Sequence[str],
        on_records: Callable[[list[Received]], None],
        from_beginning: bool = True,
        offsets: Mapping[str, Mapping[int, int]] | None = None,
        hurries: Callable[[Received], bool] = lambda _: True,
        rests: bool = False,
    ) -> None:
        self.topics = (topics,) if isinstance(topics, str) else tuple(topics)
        self.topic = ", ".join(self.topics)
        self.error: BaseException | None = None
        self._settings = settings
        self._answers = Answers(settings.kafka)
        self._on_records = on_records
        self._from_beginning = from_beginning
        self._offsets = dict(offsets or {})
        self._hurries = hurries
        self._rests = rests
        self._nudged = threading.Event()
        self._rested_at = 0
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._empty_polls = 0
        self._stopping = threading.Event()
        self._held = HeldConsumer()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"follow-{self.topic}", daemon=True)
        self._thread.start()

    def position(self, partition: int, topic: str | None = None) -> int:
        """Next offset: all before it were handed to the callback. 0 until the broker has answered.

        ``topic`` need not be named to a follower of one.
        """
        return self._positions.get(TopicPartition(topic or self.topics[0], partition), 0)

    def positions(self, topic: str) -> dict[int, int]:
        """The next offset of each partition of a topic; nothing until the broker has answered."""
        return {found.partition: offset for found, offset in self._positions.items() if found.topic == topic}

    def caught_up(self, topic: str | None = None) -> bool:
        """Whether every partition, of one topic or of all, was read to the end that its last fetch named."""
        with self._changed:
            wanted = [partition for partition in self._positions if topic in (None, partition.topic)]
            return bool(wanted) and all(
                partition in self._ends and self._positions[partition] >= self._ends[partition] for partition in wanted
            )

    def lag(self, topic: str | None = None) -> int:
        """Records of one topic or of all that are not yet handed on, as far as the last fetches tell."""
        with self._changed:
            return sum(
                max(0, end - self._positions[partition])
                for partition, end in self._ends.items()
                if topic in (None, partition.topic)
            )

    def missing_reason(self) -> str:
        """Why what was read may be out of date: reading ended, or Kafka has not answered for a while; else empty."""
        if self.error is not None:
            return f"{self.topic}: reading has ended: {self.error}"
        return self._answers.missing_reason()

    def alive(self) -> bool:
        """Whether the thread still reads; if not, ``error`` says why (None after ``stop``)."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Raise the error that ended the thread, if one did."""
        if self.error is not None:
            raise self.error

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Block until ``condition()`` holds; False past the time-out. Raises what ended the thread."""
        with self._changed:
            done = self._changed.wait_for(lambda: condition() or self.error is not None, timeout_s)
        self.check()
        return done

    def wait_caught_up(self, timeout_s: float) -> None:
        """Block until ``caught_up``; raises ``Unavailable`` past the time-out."""
        if not self.wait(self.caught_up, timeout_s):
            message = f"{self.topic}: not read to its end within {timeout_s} s"
            raise Unavailable(message)

    def nudge(self) -> None:
        """Something is there to be read: a rest ends. Safe to call from any thread."""
        self._nudged.set()

    def stop(self) -> None:
        """Stop reading and wait for the thread; what is being fetched is not waited for."""
        self._stopping.set()
        self._nudged.set()
        self._held.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - the owner sees it through ``error``, ``check`` and ``wait``
            _log.error("%s: reading ended: %r", self.topic, error)
            self.error = error
        with self._changed:
            self._changed.notify_all()

    def _read(self) -> None:
        connected = self._connect()
        if connected is None:
            return
        consumer = self._held.hold(connected)
        try:
            self._answers.listen(consumer)
            wait = FetchWait(consumer, rests=self._rests)
            while not self._stopping.is_set():
                data = self._poll(consumer, wait.poll_ms)
                wait.saw(data=data or (wait.resting and self._rest()), at_end=self.caught_up())
        finally:
            self._held.close()

    def _rest(self) -> bool:
        """Ask nothing for a while; whether a nudge has ended it. A broker that is silent is asked until it answers."""
        if self._answers.count == self._rested_at:
            return False
        with self._answers.pausing():
            nudged = self._nudged.wait(REST_S)
        self._rested_at = self._answers.count  # what was asked before the rest may have been answered in it
        if nudged:  # else one that came just now would be lost
            self._nudged.clear()
        return nudged

    def _connect(self) -> KafkaConsumer | None:
        """A consumer where reading begins, however long the broker takes; None when stopped meanwhile."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_S})
        while not self._stopping.is_set():
            try:
                return self._begin(make_consumer(patient, f"tocsin-follow-{self.topic}"))
            except Unavailable as error:
                _log.warning("%s: waiting for Kafka: %s", self.topic, error)
                self._stopping.wait(CONNECT_S)
        return None

    def _begin(self, consumer: KafkaConsumer) -> KafkaConsumer:
        """The consumer, where reading begins; closed if it cannot be brought there."""
        try:
            self._seek(consumer)
        except BaseException:
            consumer.close()
            raise
        return consumer

    def _seek(self, consumer: KafkaConsumer) -> None:
        with unavailable(self._settings):
            partitions = [found for topic in self.topics for found in topic_partitions(consumer, topic)]
            consumer.assign(partitions)
            if self._from_beginning:
                starts = consumer.beginning_offsets(partitions, timeout_ms=LIST_TIMEOUT_MS)
            else:
                starts = consumer.end_offsets(partitions, timeout_ms=LIST_TIMEOUT_MS)
        known = {(topic, number): at for topic, offsets in self._offsets.items() for number, at in offsets.items()}
        positions = {found: known.get(found, starts[found]) for found in partitions}
        for partition, position in positions.items():
            consumer.seek(partition, position)
        with self._changed:
            self._positions = positions

    def _poll(self, consumer: KafkaConsumer, timeout_ms: int) -> bool:
        """Hand on what came; whether anything did that makes it hurry."""
        try:
            with _held():
                polled = consumer.poll(timeout_ms)
        except Exception:
            if self._stopping.is_set():  # the consumer was closed meanwhile, at whatever it was doing
                return False
            raise
        received = [receive(record) for records in polled.values() for record in records]
        if received:
            with self._answers.pausing():  # as long as the callback takes: a store that is away is no silence of Kafka
                self._on_records(received)
        read = {partition: records[-1].offset + 1 for partition, records in polled.items()}
        ends = {partition: consumer.highwater(partition) for partition in consumer.assignment()}
        with self._changed:
            self._positions = {**self._positions, **read}
            self._ends = {**self._ends, **{partition: end for partition, end in ends.items() if end is not None}}
            self._changed.notify_all()
        self._refuse_foreign(len(received))
        return any(map(self._hurries, received))

    def _refuse_foreign(self, received: int) -> None:
        """A broker that lost its records answers a fetch beyond its end with silence: see it by the high watermark."""
        behind = [partition for partition, end in self._ends.items() if end < self._positions[partition]]
        self._empty_polls = self._empty_polls + 1 if behind and not received else 0
        if self._empty_polls >= EMPTY_POLLS_BEFORE_FOREIGN:
            topic, number = behind[0]
            position, end = self._positions[behind[0]], self._ends[behind[0]]
            message = (
                f"{topic} partition {number}: read up to offset {position}, but the broker now ends at {end}: "
                "it lost its records or is another broker"
            )
            raise ForeignOffsets(message, topic)


@contextmanager
def _held() -> Iterator[None]:
    """Name what it means that a broker does not hold the offset where a reader of its topic is."""
    try:
        yield
    except OffsetOutOfRangeError as error:
        (topic, number), offset = next(iter(error.args[0].items()))
        message = (
            f"{topic} partition {number}: the broker does not hold offset {offset}, where reading is: "
            "it lost its records, deleted them before they were read, or is another broker"
        )
        raise ForeignOffsets(message, topic) from error
