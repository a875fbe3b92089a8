"""Reads the topics that are copied into the store: one consumer for all of them, which waits for the store.

What is live reads the same topics and tells of what it has seen, so this reader rests until there is something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from api.history_rows import forget_offsets, read_offsets_of
from api.settings import ApiSettings
from api.store import Store
from api.stored_topic import PAUSE_S, StoredTopic
from api.within import pause
from connectors.errors import Misplaced, Overloaded, TocsinError, Unavailable
from connectors.follower import Follower
from connectors.received import Received
from connectors.topics import topic_identities

log = logging.getLogger(__name__)

BATCH_RECORDS = 500
"""Events in one transaction: some 50 ms of SQLite, in which another writer waits."""
LOOK_S = 0.5
CONNECT_S = 1.0
"""How long one attempt to ask Kafka who it is may take; a process that ends waits for it."""


class StoreReader:
    """Reads from ``start`` to ``stop``, from where the store is."""

    def __init__(self, settings: ApiSettings, store: Store, *topics: StoredTopic[Any]) -> None:
        self._settings = settings
        self._store = store
        self._topics = {stored.topic: stored for stored in topics}
        self._stopping = asyncio.Event()
        self._follower: Follower | None = None
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read_for_ever())

    def nudge(self) -> None:
        """Records of one of the topics have come to this process, so they can be read."""
        if self._follower is not None:
            self._follower.nudge()

    async def stop(self) -> None:
        """End; what is not written yet is read again at the next start."""
        self._stopping.set()
        for stored in self._topics.values():
            await stored.stop()
        if self._reading is not None:
            await self._reading

    async def _read_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._follow()
            except (Unavailable, Overloaded) as error:
                self._end(str(error))
            except Exception as error:  # whatever it is, the live part goes on, and this is tried again
                log.exception("store: reading %s ended and begins anew", ", ".join(self._topics))
                self._end(repr(error))
            if not self._stopping.is_set():
                await pause(self._stopping, PAUSE_S)

    async def _follow(self) -> None:
        """Read from where the store is until an error or the stop."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_S})
        names = await asyncio.to_thread(topic_identities, patient, tuple(self._topics))
        offsets = {name: await self._store.read(partial(read_offsets_of, topic=names[name])) for name in self._topics}
        for name, stored in self._topics.items():
            stored.begin(names[name], offsets[name])
        error = await self._read(offsets)
        if isinstance(error, Misplaced):
            log.warning("store: %s: reading from the beginning", error)
            # of this one alone: another read anew would bring back what the store has forgotten of it
            for name in [names[error.topic]] if error.topic else names.values():
                await self._store.write(partial(forget_offsets, topic=name))
        if isinstance(error, TocsinError):
            raise Unavailable(str(error))
        if error is not None and not self._stopping.is_set():
            raise error

    async def _read(self, offsets: dict[str, dict[int, int]]) -> BaseException | None:
        """Follow until something ends it; what did."""
        handle = partial(self._hand_over, asyncio.get_running_loop())
        follower = Follower(self._settings, tuple(self._topics), handle, offsets=offsets, rests=True)
        self._followed_by(follower)
        try:
            while not self._stopping.is_set() and follower.error is None:
                for stored in self._topics.values():
                    stored.look()
                await pause(self._stopping, LOOK_S)
            return follower.error
        finally:
            await asyncio.to_thread(follower.stop)
            self._followed_by(None)

    def _followed_by(self, follower: Follower | None) -> None:
        self._follower = follower
        for stored in self._topics.values():
            stored.follow(follower)

    def _end(self, trouble: str) -> None:
        for stored in self._topics.values():
            stored.end(trouble)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, records: Sequence[Received]) -> None:
        """In the reader's thread: decode, and wait until the store has it, for as long as that takes."""
        for topic, run in groupby(records, lambda record: record.topic):
            stored, found = self._topics[topic], list(run)
            for start in range(0, len(found), BATCH_RECORDS):
                batch = found[start : start + BATCH_RECORDS]
                offsets = {record.partition: record.offset + 1 for record in batch}
                asyncio.run_coroutine_threadsafe(stored.keep(stored.rows(batch), offsets), loop).result()
