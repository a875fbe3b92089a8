"""A topic of Kafka copied into the store, by a reader of its own that waits for the store and loses nothing.

How far the topic was read stands in the store, written in the transaction that writes the events. So a killed process
goes on where it was, a store that was down for a while is caught up, and a topic that was made anew is read from its
beginning; what the store has of a former one stays. What is live never waits for this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from api.history_rows import forget_offsets, read_offsets_of
from api.settings import ApiSettings
from api.store import Store
from connectors.errors import Misplaced, Overloaded, TocsinError, Unavailable
from connectors.follower import Follower
from connectors.probes import Component, degraded_if
from connectors.received import Received
from connectors.topics import topic_identity

log = logging.getLogger(__name__)

BATCH_RECORDS = 500
"""Events in one transaction: some 50 ms of SQLite, in which another writer waits."""
PAUSE_S = 1.0
LOOK_S = 0.5
CONNECT_S = 1.0
"""How long one attempt to ask Kafka who it is may take; a process that ends waits for it."""
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
    """Reads from ``start`` to ``stop``; all its state is touched on the event loop alone."""

    def __init__(self, settings: ApiSettings, store: Store, copied: Copied[R]) -> None:
        self._settings = settings
        self._copied = copied
        self._topic = copied.topic
        self._store = store
        self._positions: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._follower: Follower | None = None
        self._reading: asyncio.Task[None] | None = None
        self._trouble = "not read yet"
        self.version = 0
        """Counts changes of the tables."""

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read_for_ever())

    @property
    def lag(self) -> int:
        """Records that are not in the store yet, as far as the last fetches tell."""
        return 0 if self._follower is None else self._follower.lag()

    async def stop(self) -> None:
        """End; what is not written yet is read again at the next start."""
        self._stopping.set()
        if self._reading is not None:
            await self._reading

    def component(self) -> Component:
        """Whether it keeps up, for the probes."""
        return degraded_if(self._trouble)

    def covers(self, seen: Mapping[int, int]) -> bool:
        """Whether all before these offsets by partition is in the store."""
        return all(self._position(partition) >= offset for partition, offset in seen.items())

    def _position(self, partition: int) -> int:
        """What the reader knows counts too: where an empty partition begins was never written."""
        read = 0 if self._follower is None else self._follower.position(partition)
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

    async def _read_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._follow()
            except (Unavailable, Overloaded) as error:
                self._trouble = str(error)
            except Exception as error:  # whatever it is, the live part goes on, and this is tried again
                log.exception("store: reading %s ended and begins anew", self._topic)
                self._trouble = repr(error)
            if not self._stopping.is_set():
                await self._pause(PAUSE_S)

    async def _follow(self) -> None:
        """Read from where the store is until an error or the stop."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_S})
        topic = await asyncio.to_thread(topic_identity, patient, self._topic)
        offsets = await self._store.read(lambda connection: read_offsets_of(connection, topic))
        self._trouble = "not read yet"
        self._positions = dict(offsets)
        handle = partial(self._hand_over, asyncio.get_running_loop(), topic)
        self._follower = Follower(self._settings, self._topic, handle, offsets=offsets)
        try:
            while not self._stopping.is_set() and self._follower.error is None:
                self._look()
                await self._pause(LOOK_S)
            error = self._follower.error
        finally:
            await asyncio.to_thread(self._follower.stop)
            self._follower = None
        if isinstance(error, Misplaced):
            log.warning("store: %s: reading it from its beginning", error)
            await self._store.write(lambda connection: forget_offsets(connection, topic))
        if isinstance(error, TocsinError):
            raise Unavailable(str(error))
        if error is not None and not self._stopping.is_set():
            raise error

    def _look(self) -> None:
        """What /health is to say of it."""
        follower = self._follower
        if follower is None or self._trouble.startswith(self._store.place):
            return
        lag = follower.lag()
        behind = "" if follower.caught_up() else f"{lag} records of {self._topic} are not in the store yet"
        self._trouble = follower.missing_reason() or behind

    def _hand_over(self, loop: asyncio.AbstractEventLoop, topic: str, records: Sequence[Received]) -> None:
        """In the reader's thread: decode, and wait until the store has it, for as long as that takes."""
        for start in range(0, len(records), BATCH_RECORDS):
            batch = records[start : start + BATCH_RECORDS]
            rows = [row for row in map(self._copied.row_of, batch) if row is not None]
            offsets = {record.partition: record.offset + 1 for record in batch}
            asyncio.run_coroutine_threadsafe(self._keep(topic, rows, offsets), loop).result()

    async def _keep(self, topic: str, rows: Sequence[R], offsets: Mapping[int, int]) -> None:
        while not self._stopping.is_set():
            try:
                counts = await self._store.write(
                    lambda connection: self._copied.write(connection, topic, rows, offsets)
                )
            except (Unavailable, Overloaded) as error:
                self._trouble = str(error)
                await self._pause(PAUSE_S)
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

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
