"""Every anomaly event from Kafka into the store, by a reader of its own that waits for the store and loses nothing.

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

from api.history_rows import Row, forget_offsets, read_offsets_of, write_rows
from api.meters import ApiMeters
from api.retention import Retention, forget_before, forget_oldest, rows_kept
from api.settings import ApiSettings
from api.store import Store
from connectors.errors import Misplaced, Overloaded, Rejected, TocsinError, Unavailable
from connectors.follower import Follower, Received
from connectors.messages import Anomaly
from connectors.probes import Component, degraded_if
from connectors.topics import topic_identity

log = logging.getLogger(__name__)

BATCH_RECORDS = 500
"""Events in one transaction: some 50 ms of SQLite, in which another writer waits."""
PAUSE_S = 1.0
LOOK_S = 0.5
CONNECT_S = 1.0
"""How long one attempt to ask Kafka who it is may take; a process that ends waits for it."""
SWEEP_S = 60.0


class History:
    """Reads from ``start`` to ``stop``; all its state is touched on the event loop alone."""

    def __init__(self, settings: ApiSettings, store: Store, meters: ApiMeters, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._topic = settings.topics.anomalies
        self._store = store
        self._meters = meters
        self._now_ms = now_ms
        self._retention = Retention(settings.api_history_days, settings.api_history_rows)
        self._positions: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._follower: Follower | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble = "not read yet"
        meters.history_lag.set_function(lambda: self._follower.lag() if self._follower is not None else 0)

    def start(self) -> None:
        """Begin to read, and to forget what is too old."""
        self._tasks = [asyncio.create_task(self._read_for_ever()), asyncio.create_task(self._sweep_for_ever())]

    async def stop(self) -> None:
        """End; what is not written yet is read again at the next start."""
        self._stopping.set()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

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
        """Wait until it covers them; False past the time-out."""
        if self.covers(seen):
            return True
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
                log.exception("history: reading %s ended and begins anew", self._topic)
                self._trouble = repr(error)
            if not self._stopping.is_set():
                await self._pause(PAUSE_S)

    async def _follow(self) -> None:
        """Read from where the store is until an error or the stop."""
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_S})
        topic = await asyncio.to_thread(topic_identity, patient, self._topic)
        offsets = await self._store.read(lambda connection: read_offsets_of(connection, topic))
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
            log.warning("history: %s: reading it from its beginning", error)
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
            rows = [row for row in map(self._row, batch) if row is not None]
            offsets = {record.partition: record.offset + 1 for record in batch}
            asyncio.run_coroutine_threadsafe(self._keep(topic, rows, offsets), loop).result()

    def _row(self, record: Received) -> Row | None:
        try:
            event = Anomaly.decode(record.value or b"")
            row = Row.of(event)
        except Rejected:  # the feed has read it too, and has said so
            self._meters.history_events.labels("invalid").inc()
            return None
        if row.time_ms < self._retention.cutoff_ms(self._now_ms()):
            self._meters.history_events.labels("too_old").inc()
            return None
        return row

    async def _keep(self, topic: str, rows: Sequence[Row], offsets: Mapping[int, int]) -> None:
        while not self._stopping.is_set():
            try:
                counts = await self._store.write(lambda connection: write_rows(connection, topic, rows, offsets))
            except (Unavailable, Overloaded) as error:
                self._trouble = str(error)
                await self._pause(PAUSE_S)
                continue
            self._trouble = ""
            for result, count in counts.items():
                self._meters.history_events.labels(result).inc(count)
            async with self._moved:
                self._positions.update(offsets)
                self._moved.notify_all()
            return
        message = "the api stops"
        raise Unavailable(message)

    async def _sweep_for_ever(self) -> None:
        while not self._stopping.is_set():
            with suppress(Unavailable, Overloaded):  # the store has said so, and the next sweep makes up for it
                await self._sweep()
            await self._pause(SWEEP_S)

    async def _sweep(self) -> None:
        cutoff_ms = self._retention.cutoff_ms(self._now_ms())
        while not self._stopping.is_set() and await self._forgotten(partial(forget_before, cutoff_ms=cutoff_ms), "age"):
            pass
        kept = await self._store.read(rows_kept)
        while not self._stopping.is_set() and kept > self._retention.rows:
            kept -= await self._forgotten(partial(forget_oldest, most=kept - self._retention.rows), "number") or kept
        self._meters.history_rows.set(kept)

    async def _forgotten(self, work: Callable[..., int], why: str) -> int:
        count = await self._store.write(work)
        self._meters.history_forgotten.labels(why).inc(count)
        return count

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
