"""The SQL store: what must outlive Kafka's retention, or stands nowhere else, in SQLite or PostgreSQL.

All SQL runs in threads, and whoever waits for it has a deadline: a database that hangs holds up nobody else. When it
fails, callers get ``Unavailable`` and for a moment it is not asked again. Tables are made and brought up to date before
the first work, whenever the database first answers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.meters import ApiMeters
from api.store_engine import STATEMENT_TIMEOUT_S, WRITING, make_engine, shown, store_url
from api.store_steps import upgrade
from api.store_tables import versions
from connectors.errors import Overloaded, StoreUnavailable, Unavailable
from connectors.probes import Component, degraded_if

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], T]

READERS = 4
WRITERS = 1
"""SQLite takes one writer at a time, and one thread never waits for its own locks."""
WAITING_MOST = 256
"""Work that waits for a thread; more is refused with 429."""
DEADLINE_S = STATEMENT_TIMEOUT_S + 2.0
PROBE_DEADLINE_S = 2.0
PAUSE_S = 1.0
"""A database that failed is not asked again before; it is what ``Retry-After`` says."""
STOP_S = 3.0
OURS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
"""Errors of what was asked and not of the database: they go to who asked."""
PASSING = ("57014", "55P03", "40P01", "interrupted", "database is locked")
"""SQL states of PostgreSQL and texts of SQLite: this transaction took too long or met another, the next may be well."""


class Store:
    """``read`` and ``write`` on the event loop, each with work that is done in one transaction in a thread."""

    def __init__(self, url: str, meters: ApiMeters) -> None:
        self._url = store_url(url)
        self.place = f"{shown(self._url)} (TOCSIN_API_STORE)"
        self._meters = meters
        self._engine: Engine | None = None
        self._upgrading = threading.Lock()
        self._silence: Unavailable | None = None
        self._silent_until_s = 0.0
        self._inside = 0
        self._readers = ThreadPoolExecutor(READERS, "tocsin-store-read")
        self._writers = ThreadPoolExecutor(WRITERS, "tocsin-store-write")
        meters.store.waiting.set_function(lambda: self._inside)

    async def read(self, work: Work[T], deadline_s: float = DEADLINE_S) -> T:
        """What ``work`` returns. Raises ``Unavailable`` when the store does not answer in time, ``Overloaded``."""
        return await self._run(self._readers, work, deadline_s, writing=False)

    async def write(self, work: Work[T], deadline_s: float = DEADLINE_S) -> T:
        """The same in a transaction that writes, committed when ``work`` returns, and undone when it raises.

        What was given up at the deadline may have been written all the same.
        """
        return await self._run(self._writers, work, deadline_s, writing=True)

    async def component(self) -> Component:
        """Whether it answers, for the probes: degraded if not, since all that is live goes on without."""
        began_s = time.monotonic()
        try:
            await self.read(lambda connection: connection.scalar(select(versions.c.version)), PROBE_DEADLINE_S)
            reason = ""
        except (Unavailable, Overloaded) as error:
            reason = str(error)
        except OURS as error:
            reason = f"{self.place}: {str(error).splitlines()[0]}"
        return degraded_if(reason).model_copy(update={"response_ms": round(1000 * (time.monotonic() - began_s), 3)})

    async def stop(self) -> None:
        """Do what was begun, refuse what waits, and close the connections; a thread that hangs is left behind."""
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.to_thread(self._end)
        except TimeoutError:
            log.warning("%s: still busy, left behind", self.place)

    def _end(self) -> None:
        for pool in (self._writers, self._readers):
            pool.shutdown(cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    async def _run(self, pool: ThreadPoolExecutor, work: Work[T], deadline_s: float, *, writing: bool) -> T:
        if self._inside >= WAITING_MOST:
            message = f"{self.place}: {self._inside} requests wait for it"
            raise Overloaded(message)
        self._inside += 1
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(pool, self._work, work, writing)
        except TimeoutError as error:
            message = f"{self.place}: no answer within {deadline_s:g} s"
            raise StoreUnavailable(message) from error
        finally:
            self._inside -= 1

    def _work(self, work: Work[T], writing: bool) -> T:
        """One transaction, in a thread of the pool."""
        began_s = time.monotonic()
        try:
            result = self._transact(self._ready(), work, writing=writing)
        except OURS:
            raise
        except (DatabaseError, InterfaceError, PoolTimeout, OSError) as error:
            raise self._failed(error) from error
        self._silence = None
        self._meters.store.seconds.labels("write" if writing else "read").observe(time.monotonic() - began_s)
        return result

    def _transact(self, engine: Engine, work: Work[T], *, writing: bool) -> T:
        with engine.connect() as plain:
            connection = plain.execution_options(**{WRITING: writing})
            with connection.begin():
                return work(connection)

    def _ready(self) -> Engine:
        """The engine, once the tables are there; raises at once what has just failed."""
        with self._upgrading:
            if self._silence is not None and time.monotonic() < self._silent_until_s:
                raise self._silence
            if self._engine is not None:
                return self._engine
            engine = make_engine(self._url, READERS + WRITERS)
            try:
                taken = self._transact(engine, upgrade, writing=True)
            except OURS as error:  # as without the right to make tables: nobody who asks can do anything about it
                engine.dispose()
                raise self._failed(error) from error
            except BaseException:
                engine.dispose()
                raise
            log.info("%s: ready, %d steps taken", self.place, taken)
            self._engine = engine
            return engine

    def _failed(self, error: Exception) -> Unavailable:
        """Say so once, and to all who ask within the next moment."""
        cause = getattr(error, "orig", None) or error
        said = str(cause).strip().splitlines() or [repr(error)]
        failure = StoreUnavailable(f"{self.place}: {said[0]}")
        self._meters.store.errors.inc()
        if getattr(cause, "sqlstate", None) in PASSING or said[0] in PASSING:
            log.warning("%s", failure)
            return failure
        if self._silence is None:
            log.warning("%s", failure)
        self._silence, self._silent_until_s = failure, time.monotonic() + PAUSE_S
        return failure
