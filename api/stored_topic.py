"""A topic of Kafka copied into the store: how far it is, and what waits for it. ``StoreReader`` reads it.

How far the topic was read stands in the store, written in the transaction that writes the events. So a killed process
goes on where it was, a store that was down for a while is caught up, and a topic that was made anew is read from its
beginning; what the store has of a former one stays. What is live never waits for this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from api.store import Store
from api.within import pause
from connectors.errors import Overloaded, Unavailable
from connectors.follower import Follower
from connectors.probes import Component, degraded_if
from connectors.received import Received

log = logging.getLogger(__name__)

PAUSE_S = 1.0
R = TypeVar("R")


class Copied(NamedTuple, Generic[R]):
    """How a topic gets into tables."""

    topic: str
    row_of: Callable[[Received], R | None]
    """what is written of a record, in the reader's thread; None for nothing"""
    write: Callable[[Connection, str, Sequence[R], Mapping[int, int]], Mapping[str, int]]
    """of the topic with this identity, these rows, and the offsets up to which it was read; how many were what"""
    tell: Callable[[Mapping[str, int]], None]
    """what was written"""


class StoredTopic(Generic[R]):
    """One topic, until ``stop``; all its state is touched on the event loop alone."""

    def __init__(self, store: Store, copied: Copied[R]) -> None:
        self.topic = copied.topic
        self._copied = copied
        self._store = store
        self._identity = ""
        self._positions: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._follower: Follower | None = None
        self._trouble = "not read yet"
        self.version = 0
        """Counts changes of the tables."""

    @property
    def lag(self) -> int:
        """Records that are not in the store yet, as far as the last fetches tell."""
        return 0 if self._follower is None else self._follower.lag(self.topic)

    async def stop(self) -> None:
        """End; what is not written yet is read again at the next start."""
        self._stopping.set()

    def component(self) -> Component:
        """Whether it keeps up, for the probes."""
        return degraded_if(self._trouble)

    def covers(self, seen: Mapping[int, int]) -> bool:
        """Whether all before these offsets by partition is in the store."""
        return all(self._position(partition) >= offset for partition, offset in seen.items())

    def _position(self, partition: int) -> int:
        """What the reader knows counts too: where an empty partition begins was never written."""
        read = 0 if self._follower is None else self._follower.position(partition, self.topic)
        return max(self._positions.get(partition, 0), read)

    async def reach(self, seen: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until it covers them; False past the time-out, and at once while the store does not answer."""
        if self.covers(seen) or self._trouble.startswith(self._store.place):
            return self.covers(seen)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self.covers(seen))
                return True
        return False

    def begin(self, identity: str, positions: Mapping[int, int]) -> None:
        """It is read from what the store says of this very topic."""
        self._trouble = "not read yet"
        self._identity = identity
        self._positions = dict(positions)

    def follow(self, follower: Follower | None) -> None:
        """Who reads it now; None: nobody."""
        self._follower = follower

    def end(self, trouble: str) -> None:
        """Reading it ended, and why."""
        self._trouble = trouble

    def look(self) -> None:
        """What /health is to say of it."""
        follower = self._follower
        if follower is None or self._trouble.startswith(self._store.place):
            return
        behind = (
            "" if follower.caught_up(self.topic) else f"{self.lag} records of {self.topic} are not in the store yet"
        )
        self._trouble = follower.missing_reason() or behind

    def rows(self, records: Sequence[Received]) -> list[R]:
        """What is written of them; called in the reader's thread."""
        return [row for row in map(self._copied.row_of, records) if row is not None]

    async def keep(self, rows: Sequence[R], offsets: Mapping[int, int]) -> None:
        """Write them, for as long as that takes; raises ``Unavailable`` when stopped meanwhile."""
        topic = self._identity
        while not self._stopping.is_set():
            try:
                counts = await self._store.write(
                    lambda connection: self._copied.write(connection, topic, rows, offsets)
                )
            except (Unavailable, Overloaded) as error:
                self._trouble = str(error)
                await pause(self._stopping, PAUSE_S)
                continue
            self._trouble = ""
            self.version += 1
            self._copied.tell(counts)
            async with self._moved:
                self._positions.update(offsets)
                self._moved.notify_all()
            return
        message = "the api stops"
        raise Unavailable(message)
