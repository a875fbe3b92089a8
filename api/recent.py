"""The recent anomalies: the last event per id as JSON, bounded, newest first. Pure and for the event loop's thread.

JSON is what readers get, so it is made once, and its length is what the store is bounded by: a page costs no more than
copying its bytes, and so does not hold up the loop.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from connectors.anomaly import Anomaly, Severity


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


class Kept(NamedTuple):
    """One anomaly: what is asked for, and its last event."""

    place: Place
    sequence: int
    severity: Severity
    detector: str
    state: State
    event: bytes
    """JSON, UTF-8"""

    @classmethod
    def of(cls, event: Anomaly) -> Kept:
        """The event as it is kept."""
        state = State.OPEN if event.end_ms is None else State.CLOSED
        return cls(place(event), event.sequence, event.severity, event.detector.id, state, event.encode())


class Filter(NamedTuple):
    """What a reader wants to see; None means all."""

    severity: Severity | None = None
    detector: str | None = None
    state: State | None = None

    def accepts(self, kept: Kept) -> bool:
        """Whether the anomaly fulfils every given condition."""
        return (
            (self.severity is None or kept.severity is self.severity)
            and (self.detector is None or kept.detector == self.detector)
            and (self.state is None or kept.state is self.state)
        )


class Page(NamedTuple):
    """Some anomalies, newest first, and where the next page begins; None at the end."""

    anomalies: Sequence[Kept]
    next: Place | None


class RecentAnomalies:
    """At most ``limit`` anomalies, of at most ``limit_bytes`` in all.

    Beyond that the one whose latest sample is oldest is forgotten and counted.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._last: dict[str, Kept] = {}
        self._order: list[Place] = []
        self.size_bytes = 0
        self.evicted_total = 0

    def __len__(self) -> int:
        return len(self._last)

    @property
    def oldest(self) -> Place | None:
        """Where the oldest of them stands."""
        return self._order[0] if self._order else None

    def get(self, anomaly_id: str) -> Kept | None:
        """The last event of an id."""
        return self._last.get(anomaly_id)

    def put(self, made: Kept) -> Change:
        """Keep an event if it says more than what is known: a higher sequence, or the same with other content."""
        known = self._last.get(made.place.id)
        if known is not None and (made.sequence < known.sequence or made == known):
            return Change.REPEATED
        if known is not None:
            self._order.pop(bisect_left(self._order, known.place))
            self.size_bytes -= len(known.event)
        self._last[made.place.id] = made
        self.size_bytes += len(made.event)
        insort(self._order, made.place)
        self._evict()
        return Change.NEW if known is None else Change.NEXT

    def newest(self, wanted: Filter, before: Place | None = None) -> Iterator[Kept]:
        """All that fulfil ``wanted``, newest first, strictly older than ``before`` when given."""
        end = len(self._order) if before is None else bisect_left(self._order, before)
        for index in range(end - 1, -1, -1):
            kept = self._last[self._order[index].id]
            if wanted.accepts(kept):
                yield kept

    def page(self, wanted: Filter, before: Place | None, limit: int, limit_bytes: int) -> Page:
        """The first of ``newest``: at most ``limit`` and ``limit_bytes``, but never none of several."""
        page: list[Kept] = []
        size = 0
        for kept in self.newest(wanted, before):
            size += len(kept.event)
            if page and (len(page) == limit or size > limit_bytes):
                return Page(page, page[-1].place)
            page.append(kept)
        return Page(page, None)

    def _evict(self) -> None:
        while len(self._order) > self._limit or self.size_bytes > self._limit_bytes:
            oldest = self._last.pop(self._order.pop(0).id)
            self.size_bytes -= len(oldest.event)
            self.evicted_total += 1


def place(anomaly: Anomaly) -> Place:
    """Where the anomaly stands in the order."""
    return Place(anomaly.time_ms, anomaly.id)
