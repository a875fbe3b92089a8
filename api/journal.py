"""The detector log on disk, because the embedded broker forgets: one revision a line, in the order of the topic."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from itertools import count
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from api.child import ANNOUNCE
from api.disk import put, refusal, replace_durably, room_reason
from connectors.answers import Answers
from connectors.detector import DetectorRevision
from connectors.errors import Rejected, Unavailable
from connectors.kafka_clients import close_producer, confirm, make_consumer, make_producer, send
from connectors.messages import OutRecord
from connectors.received import Received, receive
from connectors.settings import KafkaSettings

log = logging.getLogger(__name__)

FILE_NAME = "detectors.jsonl"
KEPT = "detectors"
"""The part of the broker process' health that says whether changes of detectors are kept."""
FETCH_WAIT_MS = 2_000
"""The embedded broker answers a waiting fetch after half of this at the latest; each fetch costs it and us CPU."""
LAST_LOOK_MS = 200
CLOSE_TIMEOUT_S = 1.0
"""For a producer whose records are all confirmed, or else given up."""
ROOM_BYTES = 131_072
"""Two of the largest configs that the api takes; with less room on the disk, changes of detectors are refused."""
SHOWN_LINES = 10
SHOWN_CHARS = 200


class Journal:
    """A file of revisions. One process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[DetectorRevision]:
        """All revisions that can be read.

        Lines that cannot (a crash cut the last one off, someone edited the file) are said in log and terminal, and
        taken out; the file as it was stays beside it, under a name of its own. Raises ``Unavailable`` when that
        cannot be written.
        """
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        revisions, damages = _read(content)
        if damages:
            kept = self._set_aside(content, revisions)
            log.warning("%s", _told(self.path, damages, kept), extra={ANNOUNCE: True})
        elif content and not content.endswith(b"\n"):  # whole but for its end, to which the next would be appended
            self._replace(revisions)
        return revisions

    def append(self, revisions: Iterable[DetectorRevision]) -> None:
        """Add revisions; they are on disk when this returns, all or none. Raises ``Unavailable`` for a full disk."""
        try:
            with self.path.open("ab", buffering=0) as file:
                _append(file, b"".join(revision.encode() + b"\n" for revision in revisions))
        except OSError as error:
            raise Unavailable(refusal(error, self.path)) from error

    def room_reason(self) -> str:
        """Why the next revisions could not be kept; empty while there is room for them."""
        return room_reason(self.path.parent, ROOM_BYTES)

    def keep(self, received: Sequence[Received]) -> None:
        """Append what was read from the topic; what no reader can apply is not worth keeping."""
        self.append(revision for record in received if (revision := self._decode(record)) is not None)

    def _decode(self, record: Received) -> DetectorRevision | None:
        try:
            return DetectorRevision.decode(record.value or b"")
        except Rejected as error:
            log.warning("%s: the revision at offset %d is left out: %s", self.path, record.offset, error)
            return None

    def _set_aside(self, content: bytes, revisions: Sequence[DetectorRevision]) -> Path:
        """Keep the damaged file under the first free name, then leave only what can be read; returns the name."""
        names = (self.path.with_name(f"{self.path.name}.damaged-{number}") for number in count(1))
        kept = next(name for name in names if not name.exists())
        try:
            replace_durably(kept, content)
        except OSError as error:
            message = f"{refusal(error, kept)}: {self.path} has lines that cannot be read, and no copy can be kept"
            raise Unavailable(message) from error
        self._replace(revisions)
        return kept

    def _replace(self, revisions: Iterable[DetectorRevision]) -> None:
        try:
            replace_durably(self.path, b"".join(revision.encode() + b"\n" for revision in revisions))
        except OSError as error:
            raise Unavailable(refusal(error, self.path)) from error


def _append(file: FileIO, content: bytes) -> None:
    """All of it or nothing: half a line would spoil the next one too."""
    before_bytes = file.seek(0, os.SEEK_END)
    try:
        put(file, content)
        os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(before_bytes)
        raise


def _read(content: bytes) -> tuple[list[DetectorRevision], dict[int, Rejected]]:
    """The revisions in a journal, and by number the lines that are none, with why."""
    revisions: list[DetectorRevision] = []
    damages: dict[int, Rejected] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            revisions += [DetectorRevision.decode(line)] if line else []
        except Rejected as error:
            damages[number] = error
    return revisions, damages


def _told(path: Path, damages: Mapping[int, Rejected], kept: Path) -> str:
    """What was damaged, for the terminal: each line by number, as long as they are few."""
    first, reason = next(iter(damages.items()))
    others = list(damages)[1:]
    named = "".join(f", {number}" for number in others[: SHOWN_LINES - 1])
    more = f" and {len(others) - SHOWN_LINES + 1} more" if len(others) >= SHOWN_LINES else ""
    return (
        f"{path}: line {first}{named}{more} cannot be read and is left out, with the detectors or changes in it; "
        f"the file as it was is kept as {kept.name} (line {first}: {str(reason)[:SHOWN_CHARS]})"
    )


def publish(settings: KafkaSettings, revisions: Sequence[DetectorRevision]) -> int:
    """Write revisions to the detector log, in order; returns the next offset. Raises ``Unavailable``."""
    if not revisions:
        return 0
    producer = make_producer(settings, "tocsin-detectors")
    try:
        sent = [send(producer, _record(settings, revision)) for revision in revisions]
        confirm(sent, settings.delivery_timeout_s)
        return int(sent[-1].get().offset) + 1
    finally:
        close_producer(producer, CLOSE_TIMEOUT_S)


def _record(settings: KafkaSettings, revision: DetectorRevision) -> OutRecord:
    return OutRecord(settings.topics.detectors, revision.detector_id.encode(), revision.encode(), [])


class Keeper:
    """Writes into the journal what comes to the detector log, from offset ``start`` on. Belongs to one thread."""

    def __init__(self, settings: KafkaSettings, journal: Journal, start: int) -> None:
        self._settings = settings
        self._journal = journal
        self._next = start
        self._partition = TopicPartition(settings.topics.detectors, 0)
        self._consumer = self._reader(FETCH_WAIT_MS)
        self._answers = Answers(settings.kafka)
        self._answers.listen(self._consumer)

    def missing_reason(self) -> str:
        """Why nothing may come to be kept: the broker does not answer; else empty."""
        return self._answers.missing_reason()

    def keep(self, timeout_ms: int) -> None:
        """Keep what has come, waiting at most ``timeout_ms`` for it.

        Raises ``Unavailable`` when the disk does not take it; the next call reads it again.
        """
        self._take(self._consumer, timeout_ms)

    def finish(self) -> None:
        """Keep what came last; afterwards the process ends. Raises ``Unavailable`` as ``keep`` does.

        The fetch under way may wait long, and closing its consumer would wait for it, so another consumer looks.
        """
        last = self._reader(1)
        try:
            self._take(last, LAST_LOOK_MS)
        finally:
            last.close()

    def _reader(self, fetch_wait_ms: int) -> KafkaConsumer:
        consumer = make_consumer(self._settings, "tocsin-journal", fetch_max_wait_ms=fetch_wait_ms)
        consumer.assign([self._partition])
        consumer.seek(self._partition, self._next)
        return consumer

    def _take(self, consumer: KafkaConsumer, timeout_ms: int) -> None:
        for records in consumer.poll(timeout_ms).values():
            try:
                self._journal.keep([receive(record) for record in records])
            except Unavailable:
                consumer.seek(self._partition, self._next)
                raise
            self._next = records[-1].offset + 1
