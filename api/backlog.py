"""The latest events of ``tocsin.anomalies`` in the order in which they were read: what resuming clients have missed.

Unlike the recent anomalies it has every event, not the last one of each id. Pure, and for the event loop's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from api.cursor import Offsets
from api.recent import Kept


class Entry(NamedTuple):
    """One event, and where it stands."""

    partition: int
    offset: int
    labels: Mapping[str, str]
    """of its signal"""
    kept: Kept


class Gone(Exception):  # noqa: N818 - it is gone, that is all
    """Events from a place on are asked for that are not kept any more."""


class Backlog:
    """At most ``limit`` events of at most ``limit_bytes`` in all; the oldest make room, and are counted.

    ``begins`` tells from which offset of a partition on the topic is read: what stood before is gone.
    """

    def __init__(self, limit: int, limit_bytes: int, begins: Callable[[], Offsets]) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._begins = begins
        self._origin: Offsets = {}
        self._entries: deque[Entry] = deque()
        self._kept_from: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self.size_bytes = 0
        self.dropped_total = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def reached(self) -> Offsets:
        """The next offset of each partition: all before were read."""
        return {**self._begun(), **self._next}

    def passed(self, partition: int, offset: int) -> None:
        """Note that a record was read, be it one that tells nothing."""
        if partition not in self._kept_from:
            self._kept_from[partition] = min(offset, self._begun().get(partition, offset))
        self._next[partition] = offset + 1

    def _begun(self) -> Offsets:
        """Where reading began, asked for until it is known."""
        if not self._origin:
            self._origin = self._begins()
        return self._origin

    def add(self, entry: Entry) -> None:
        """Keep an event that was passed just now."""
        self._entries.append(entry)
        self.size_bytes += len(entry.kept.event)
        while len(self._entries) > self._limit or self.size_bytes > self._limit_bytes:
            oldest = self._entries.popleft()
            self.size_bytes -= len(oldest.kept.event)
            self._kept_from[oldest.partition] = oldest.offset + 1
            self.dropped_total += 1

    def since(self, offsets: Offsets) -> list[Entry]:
        """All events from these offsets on; raises ``Gone`` when some of them are not kept."""
        for partition, kept_from in {**self._begun(), **self._kept_from}.items():
            if offsets.get(partition, 0) < kept_from:
                message = (
                    f"partition {partition} is kept from offset {kept_from} on, not from {offsets.get(partition, 0)}"
                )
                raise Gone(message)
        if all(offsets.get(partition, 0) >= reached for partition, reached in self._next.items()):
            return []
        return [entry for entry in self._entries if entry.offset >= offsets.get(entry.partition, 0)]
