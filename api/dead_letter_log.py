"""Reading ``tocsin.dead-letter`` backwards, on demand: a consumer for each question, in a thread, with bounds.

Nobody follows this topic, for it is looked at when something is wrong. It has one partition (connectors/catalogue.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from api.meters import ApiMeters
from api.within import within
from connectors.errors import KafkaUnavailable, TocsinError
from connectors.kafka_clients import LIST_TIMEOUT_MS, make_consumer, unavailable
from connectors.received import Received, receive, topic_partitions
from connectors.settings import KafkaSettings
from connectors.workers import Workers

READING_S = 10.0
"""Deadline of one question."""
READERS = 4
"""Questions at a time: each holds a thread, and up to ``SCANNED_BYTES`` in memory."""
WAITING_MOST = 64
"""Questions that wait for one of them; more get 429."""
PATIENCE_S = READING_S + 5.0
"""Of who asks, with the waiting."""
WINDOW = 200
"""Records read in one go, from the end backwards."""
SCANNED_MOST, SCANNED_BYTES = 5_000, 32 * 1024 * 1024
"""Of one question; a page ends where so much was looked through, and says where to go on."""
FETCH_WAIT_MS = 50


class Found(NamedTuple):
    """Records, newest first, and the offset before which older ones may be; None at the end."""

    records: list[Received]
    next: int | None


class DeadLetterLog:
    """Answers questions about the dead letters of one topic."""

    def __init__(self, settings: KafkaSettings, meters: ApiMeters) -> None:
        self._settings = settings
        self._workers = Workers("dead-letters", READERS, WAITING_MOST)
        meters.watch(self._workers)

    async def newest(self, before: int | None, limit: int, wanted: Callable[[Received], bool]) -> Found:
        """The newest wanted records; raises ``Overloaded`` and ``Unavailable``."""
        return await self._ask(partial(self._newest, before, limit, wanted))

    async def get(self, partition: int, offset: int) -> Received | None:
        """One record; None if there is none at that place, or not any more."""
        return await self._ask(partial(self._get, partition, offset))

    async def _ask(self, question: Callable[[_Reader], Any]) -> Any:
        async with within(PATIENCE_S, f"Kafka has not given the dead letters within {PATIENCE_S:g} s"):
            return await self._workers.run(partial(self._read, question))

    def stop(self) -> None:
        """Begin with no other question."""
        self._workers.stop()

    def _read(self, question: Callable[[_Reader], Any]) -> Any:
        connect_s = min(self._settings.delivery_timeout_s, READING_S / 2)
        patient = self._settings.model_copy(update={"delivery_timeout_s": connect_s})
        consumer = make_consumer(patient, "tocsin-api-dead-letters", fetch_max_wait_ms=FETCH_WAIT_MS)
        try:
            with unavailable(patient):
                partitions = _partitions(consumer, self._settings.topics.dead_letter)
                return question(_Reader(consumer, partitions, time.monotonic() + READING_S))
        finally:
            consumer.close()

    @staticmethod
    def _newest(before: int | None, limit: int, wanted: Callable[[Received], bool], reader: _Reader) -> Found:
        found: list[Received] = []
        scanned = scanned_bytes = 0
        begin, end = reader.bounds(0)
        end = end if before is None else min(before, end)
        while end > begin and len(found) < limit and scanned < SCANNED_MOST and scanned_bytes < SCANNED_BYTES:
            start = max(begin, end - WINDOW)
            for record in reversed(reader.window(0, start, end)):
                scanned, scanned_bytes = scanned + 1, scanned_bytes + len(record.value or b"")
                if wanted(record):
                    found.append(record)
                if len(found) == limit or scanned_bytes >= SCANNED_BYTES:
                    return Found(found, record.offset if record.offset > begin else None)
            end = start
        return Found(found, end if end > begin else None)

    @staticmethod
    def _get(partition: int, offset: int, reader: _Reader) -> Received | None:
        if partition not in reader.partitions:
            return None
        begin, end = reader.bounds(partition)
        found = reader.window(partition, offset, offset + 1) if begin <= offset < end else []
        return found[0] if found else None


class _Reader:
    """One consumer and its deadline."""

    def __init__(self, consumer: KafkaConsumer, partitions: dict[int, TopicPartition], deadline_s: float) -> None:
        self.partitions = partitions
        self._consumer = consumer
        self._deadline_s = deadline_s

    def bounds(self, partition: int) -> tuple[int, int]:
        """First offset that is held and next one to be written, which the embedded broker tells with a fetch only."""
        place = self.partitions[partition]
        self._consumer.assign([place])
        begin = self._consumer.beginning_offsets([place], timeout_ms=LIST_TIMEOUT_MS)[place]
        self._consumer.seek(place, begin)
        while (end := self._consumer.highwater(place)) is None:
            self._check()
            self._consumer.poll(FETCH_WAIT_MS, max_records=1)
        return begin, end

    def window(self, partition: int, start: int, end: int) -> list[Received]:
        """Records with ``start <= offset < end``, all of which are there."""
        place = self.partitions[partition]
        self._consumer.seek(place, start)
        found: list[Received] = []
        while self._consumer.position(place) < end:
            self._check()
            polled = self._consumer.poll(FETCH_WAIT_MS).get(place, ())
            found += [receive(record) for record in polled if record.offset < end]
        return found

    def _check(self) -> None:
        if time.monotonic() > self._deadline_s:
            message = f"Kafka has not given the dead letters within {READING_S:g} s"
            raise KafkaUnavailable(message)


def _partitions(consumer: KafkaConsumer, topic: str) -> dict[int, TopicPartition]:
    """Raises ``Unavailable`` while there is no such topic."""
    try:
        return {place.partition: place for place in topic_partitions(consumer, topic)}
    except TocsinError as error:
        raise KafkaUnavailable(str(error)) from error
