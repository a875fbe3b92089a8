"""What flows tell of themselves, as ``tocsin.status`` has it: the last record of each key. For the event loop's thread.

Records are kept as they came, beside their counts, and both as JSON: bytes are nothing that a search for garbage has to
look through, and of the records of many detectors only a few are read. Beyond the bound in bytes those that were told
longest ago lose their signals, so that no detector keeps its place for ever; where none has any left, a record is kept
without its own, and if even that is too much not at all. All of that is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from api.meters import ApiMeters
from connectors.errors import Rejected
from connectors.received import Received
from connectors.status import LOGS, DetectorStatus, LogsStatus, PartitionStatus, Status, place_of
from connectors.training import STATUS_KEY

log = logging.getLogger(__name__)

OF_TRAININGS = f"{STATUS_KEY}/".encode()
"""How keys begin that are read elsewhere."""


class Kept(NamedTuple):
    """The last record of one detector on one partition, or of its groups."""

    raw: bytes
    counts: bytes
    """all of it but the signals"""

    def signals(self) -> list[dict[str, Any]]:
        """Its signals, each as ``connectors.status.SignalStatus`` has it."""
        found: list[dict[str, Any]] = orjson.loads(self.raw)["signals"]
        return found

    def without_signals(self) -> Kept:
        """The same with its counts alone."""
        return Kept(self.counts, self.counts)


class Told:
    """Detectors by id and partition, and partitions by number; at most ``limit_bytes`` of detectors' records."""

    def __init__(self, limit_bytes: int, meters: ApiMeters, publish: Callable[[Status], None] = lambda _: None) -> None:
        """``publish`` is called with all that is told, a detector without its signals."""
        self.partitions: dict[int, PartitionStatus] = {}
        self.logs: dict[int, LogsStatus] = {}
        """partitions of the logs flow, by number"""
        self.size_bytes = 0
        self.version = 0
        """Counts what was told."""
        self._limit_bytes = limit_bytes
        self._meters = meters
        self._publish = publish
        self._kept: dict[str, dict[str, Kept]] = {}
        self._named: dict[tuple[str, str], None] = {}
        """detector and place of the records that are kept with signals, in the order in which they were told"""
        meters.detectors.status_bytes.set_function(lambda: self.size_bytes)

    def of(self, detector_id: str) -> list[DetectorStatus]:
        """What is told of a detector, without signals: partitions ascending, then its groups."""
        counts = [DetectorStatus.decode(kept.counts) for kept in self._kept.get(detector_id, {}).values()]
        return sorted(counts, key=lambda one: (one.partition is None, one.partition or 0))

    def signals(self, detector_id: str) -> list[dict[str, Any]]:
        """The signals that are named, of all partitions, in no order."""
        return [signal for kept in self._kept.get(detector_id, {}).values() for signal in kept.signals()]

    def handle(self, records: Sequence[Received]) -> None:
        """Take one batch of the topic; what cannot be read is counted and skipped."""
        self.version += 1
        for record in records:
            try:
                result = self._take(record)
            except Rejected as error:
                result = "invalid"
                log.warning("%s@%d: %s", record.topic, record.offset, error)
            self._meters.detectors.status_records.labels(result).inc()

    def _take(self, record: Received) -> str:
        place = place_of(record.key)
        if place is None and is_of_training(record):
            return "other"
        if place is None:
            message = f"key {(record.key or b'')[:100]!r} names nothing"
            raise Rejected(reason="bad_key", message=message)
        detector_id, where = place
        if detector_id == LOGS:
            if record.value is None:
                self.logs.pop(int(where), None)
            else:
                self.logs[int(where)] = LogsStatus.decode(record.value)
            return "kept"
        if not detector_id:
            if record.value is None:
                self.partitions.pop(int(where), None)
            else:
                self.partitions[int(where)] = alive = PartitionStatus.decode(record.value)
                self._publish(alive)
            return "kept"
        if record.value is None:
            self._forget(detector_id, where)
            return "gone"
        counts = DetectorStatus.decode(record.value).model_copy(update={"signals": []})
        self._forget(detector_id, where)
        self._publish(counts)
        return self._keep(detector_id, where, Kept(record.value, counts.encode()))

    def _keep(self, detector_id: str, where: str, kept: Kept) -> str:
        result = "kept"
        self._make_room(len(kept.raw))
        if self.size_bytes + len(kept.raw) > self._limit_bytes:
            kept, result = kept.without_signals(), "without_signals"
        if self.size_bytes + len(kept.raw) > self._limit_bytes:
            return "no_room"
        self.size_bytes += len(kept.raw)
        self._kept.setdefault(detector_id, {})[where] = kept
        if result == "kept":
            self._named[detector_id, where] = None
        return result

    def _make_room(self, needed_bytes: int) -> None:
        """Let the records that were told longest ago lose their signals, as long as it takes."""
        while self.size_bytes + needed_bytes > self._limit_bytes and self._named:
            detector_id, where = next(iter(self._named))
            del self._named[detector_id, where]
            places = self._kept[detector_id]
            before, places[where] = places[where], places[where].without_signals()
            self.size_bytes += len(places[where].raw) - len(before.raw)
            self._meters.detectors.status_records.labels("lost_signals").inc()

    def _forget(self, detector_id: str, where: str) -> None:
        places = self._kept.get(detector_id, {})
        before = places.pop(where, None)
        self._named.pop((detector_id, where), None)
        if before is not None:
            self.size_bytes -= len(before.raw)
            if not places:
                del self._kept[detector_id]


def is_of_training(record: Received) -> bool:
    """Whether it tells of a training, whose next part may wait for it."""
    return (record.key or b"").startswith(OF_TRAININGS)
