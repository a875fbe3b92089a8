"""The recent anomalies: the last event per id, bounded, newest first. Pure and for one thread (the event loop's)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from connectors.messages import Anomaly, Severity


class Change(StrEnum):
    """What became of an event."""

    NEW = "new"
    NEXT = "next"
    REPEATED = "repeated"


class State(StrEnum):
    """Whether an episode goes on."""

    OPEN = "open"
    CLOSED = "closed"


class Place(NamedTuple):
    """Where an anomaly stands in the order: time of its latest surprising sample, then id."""

    time_ms: int
    id: str


class Filter(NamedTuple):
    """What a reader wants to see; None means all."""

    severity: Severity | None = None
    detector: str | None = None
    state: State | None = None

    def accepts(self, anomaly: Anomaly) -> bool:
        """Whether the anomaly fulfils every given condition."""
        return (
            (self.severity is None or anomaly.severity is self.severity)
            and (self.detector is None or anomaly.detector.id == self.detector)
            and (self.state is None or (anomaly.end_ms is None) is (self.state is State.OPEN))
        )


class RecentAnomalies:
    """At most ``limit`` anomalies; beyond that the one whose latest sample is oldest is forgotten and counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: dict[str, Anomaly] = {}
        self._order: list[Place] = []
        self.evicted_total = 0

    def __len__(self) -> int:
        return len(self._last)

    def get(self, anomaly_id: str) -> Anomaly | None:
        """The last event of an id."""
        return self._last.get(anomaly_id)

    def put(self, event: Anomaly) -> Change:
        """Keep the event if it says more than what is known: a higher sequence, or the same with other content."""
        known = self._last.get(event.id)
        if known is not None and (event.sequence < known.sequence or event == known):
            return Change.REPEATED
        if known is not None:
            self._order.pop(bisect_left(self._order, place(known)))
        self._last[event.id] = event
        insort(self._order, place(event))
        self._evict()
        return Change.NEW if known is None else Change.NEXT

    def newest(self, wanted: Filter, before: Place | None = None) -> Iterator[Anomaly]:
        """All that fulfil ``wanted``, newest first, strictly older than ``before`` when given."""
        end = len(self._order) if before is None else bisect_left(self._order, before)
        for index in range(end - 1, -1, -1):
            anomaly = self._last[self._order[index].id]
            if wanted.accepts(anomaly):
                yield anomaly

    def _evict(self) -> None:
        if len(self._order) > self._limit:
            oldest = self._order.pop(0)
            del self._last[oldest.id]
            self.evicted_total += 1


def place(anomaly: Anomaly) -> Place:
    """Where the anomaly stands in the order."""
    return Place(anomaly.time_ms, anomaly.id)
