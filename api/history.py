"""The history: every anomaly event of Kafka in the store, and the oldest of them forgotten in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from api.history_rows import Row, write_rows
from api.meters import ApiMeters
from api.retention import Retention, first_too_many, forget_before, forget_to, rows_kept
from api.settings import ApiSettings
from api.store import Store
from api.stored_topic import Copied, StoredTopic
from api.within import pause
from connectors.anomaly import Anomaly
from connectors.errors import Overloaded, Rejected, Unavailable
from connectors.received import Received

log = logging.getLogger(__name__)

SWEEP_S = 60.0


class History(StoredTopic[Row]):
    """The topic of anomalies in the store; forgets from ``start`` to ``stop``."""

    def __init__(self, settings: ApiSettings, store: Store, meters: ApiMeters, now_ms: Callable[[], int]) -> None:
        super().__init__(store, Copied(settings.topics.anomalies, self._row, write_rows, self._tell))
        self._meters = meters
        self._now_ms = now_ms
        self._retention = Retention(settings.api_history_days, settings.api_history_rows)
        self._sweeping: asyncio.Task[None] | None = None
        meters.history.lag.set_function(lambda: self.lag)

    @property
    def incomplete(self) -> str:
        """Why a question cannot be answered while it does not cover what was seen."""
        return f"the history is not complete yet, ask again: {self.component().reason}"

    def start(self) -> None:
        """Begin to forget what is too old."""
        self._sweeping = asyncio.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """End; what is not written yet is read again at the next start."""
        await super().stop()
        if self._sweeping is not None:
            await self._sweeping

    def _row(self, record: Received) -> Row | None:
        try:
            event = Anomaly.decode(record.value or b"")
            row = Row.of(event)
        except Rejected:  # the feed has read it too, and has said so
            self._meters.history.events.labels("invalid").inc()
            return None
        if row.time_ms < self._retention.cutoff_ms(self._now_ms()):
            self._meters.history.events.labels("too_old").inc()
            return None
        return row

    def _tell(self, counts: Mapping[str, int]) -> None:
        for result, count in counts.items():
            self._meters.history.events.labels(result).inc(count)

    async def _sweep_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._sweep()
            except (Unavailable, Overloaded):
                pass  # the store has said so, and the next sweep makes up for it
            except Exception:
                log.exception("history: forgetting failed, and is tried again")
            await pause(self._stopping, SWEEP_S)

    async def _sweep(self) -> None:
        cutoff_ms = self._retention.cutoff_ms(self._now_ms())
        while not self._stopping.is_set() and await self._forgotten(partial(forget_before, cutoff_ms=cutoff_ms), "age"):
            pass
        kept, most = await self._store.read(rows_kept), self._retention.rows
        last = await self._store.read(partial(first_too_many, rows=most)) if kept > most else None
        if last is not None:
            up_to_it = partial(forget_to, last=last)
            while not self._stopping.is_set() and await self._forgotten(up_to_it, "number"):
                pass
            kept = await self._store.read(rows_kept)
        self._meters.history.rows.set(kept)

    async def _forgotten(self, work: Callable[..., int], why: str) -> int:
        count = await self._store.write(work)
        if count:  # or every list would be made anew at each look
            self.version += 1
        self._meters.history.forgotten.labels(why).inc(count)
        return count
