"""The detector log on disk, because the embedded broker forgets: one revision a line, in the order of the topic."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from connectors.errors import Rejected
from connectors.follower import Follower, Received
from connectors.kafka_clients import confirm, make_producer
from connectors.messages import DetectorRevision
from connectors.settings import KafkaSettings

log = logging.getLogger(__name__)

FILE_NAME = "detectors.jsonl"


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


def follow(settings: KafkaSettings, journal: Journal, start: int) -> Follower:
    """Append to the journal every record of the detector log from offset ``start`` on, until stopped."""
    return Follower(settings, settings.topics.detectors, journal.keep, offsets={0: start})
