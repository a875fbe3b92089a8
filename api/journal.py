"""The detector log on disk, because the embedded broker forgets: one revision a line, in the order of the topic."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from connectors.answers import Answers
from connectors.errors import Rejected
from connectors.follower import Received, receive
from connectors.kafka_clients import confirm, make_consumer, make_producer
from connectors.messages import DetectorRevision
from connectors.settings import KafkaSettings

log = logging.getLogger(__name__)

FILE_NAME = "detectors.jsonl"
FETCH_WAIT_MS = 2_000
"""The embedded broker answers a waiting fetch after half of this at the latest; each fetch costs it and us CPU."""
LAST_LOOK_MS = 200


class Journal:
    """A file of revisions. One process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[DetectorRevision]:
        """All revisions; a last line that a crash cut off is dropped from the file too, and said in the log."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().splitlines()
        revisions = [revision for line in lines if (revision := self._decode(line)) is not None]
        if len(revisions) < len(lines):
            self._replace(revisions)
        return revisions

    def append(self, revisions: Iterable[DetectorRevision]) -> None:
        """Add revisions; they are on disk when this returns."""
        with self.path.open("ab") as file:
            file.writelines(revision.encode() + b"\n" for revision in revisions)
            file.flush()
            os.fsync(file.fileno())

    def keep(self, received: Sequence[Received]) -> None:
        """Append what was read from the topic; what no reader can apply is not worth keeping."""
        self.append(revision for record in received if (revision := self._decode(record.value or b"")) is not None)

    def _decode(self, line: bytes) -> DetectorRevision | None:
        try:
            return DetectorRevision.decode(line)
        except Rejected as error:
            log.warning("%s: a revision is left out: %s", self.path, error)
            return None

    def _replace(self, revisions: Sequence[DetectorRevision]) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(b"".join(revision.encode() + b"\n" for revision in revisions))
        fresh.replace(self.path)


def publish(settings: KafkaSettings, revisions: Sequence[DetectorRevision]) -> int:
    """Write revisions to the detector log, in order; returns the next offset. Raises ``Unavailable``."""
    if not revisions:
        return 0
    producer = make_producer(settings, "tocsin-detectors")
    try:
        sent = [
            producer.send(settings.topics.detectors, key=revision.detector_id.encode(), value=revision.encode())
            for revision in revisions
        ]
        confirm(sent, settings.delivery_timeout_s)
        return int(sent[-1].get().offset) + 1
    finally:
        producer.close()


class Keeper:
    """Writes into the journal what comes to the detector log, from offset ``start`` on. Belongs to one thread."""

    def __init__(self, settings: KafkaSettings, journal: Journal, start: int) -> None:
        self._settings = settings
        self._journal = journal
        self._next = start
        self._consumer = self._reader(FETCH_WAIT_MS)
        self._answers = Answers(settings.kafka)
        self._answers.listen(self._consumer)

    def missing_reason(self) -> str:
        """Why nothing may come to be kept: the broker does not answer; else empty."""
        return self._answers.missing_reason()

    def keep(self, timeout_ms: int) -> None:
        """Keep what has come, waiting at most ``timeout_ms`` for it."""
        self._take(self._consumer, timeout_ms)

    def finish(self) -> None:
        """Keep what came last; afterwards the process ends.

        The fetch under way may wait long, and closing its consumer would wait for it, so another consumer looks.
        """
        last = self._reader(1)
        self._take(last, LAST_LOOK_MS)
        last.close()

    def _reader(self, fetch_wait_ms: int) -> KafkaConsumer:
        consumer = make_consumer(self._settings, "tocsin-journal", fetch_max_wait_ms=fetch_wait_ms)
        partition = TopicPartition(self._settings.topics.detectors, 0)
        consumer.assign([partition])
        consumer.seek(partition, self._next)
        return consumer

    def _take(self, consumer: KafkaConsumer, timeout_ms: int) -> None:
        for records in consumer.poll(timeout_ms).values():
            self._journal.keep([receive(record) for record in records])
            self._next = records[-1].offset + 1
