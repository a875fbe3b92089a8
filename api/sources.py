"""Connections to data sources: one client for each that is asked, and one cache of what all of them answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from api.meters import ApiMeters
from api.source_config import SourceConfig, SourceKind
from api.source_table import MAX_SOURCES, DataSource
from api.stored_sources import StoredSources
from connectors.errors import Overloaded, Rejected, SourceUnreachable, TocsinError
from connectors.messages import Message
from connectors.probes import Status
from connectors.sources.address import AddressPolicy
from connectors.sources.cache import ResultCache
from connectors.sources.client import SourceClient
from connectors.sources.loki import LokiApi
from connectors.sources.names import NAMES
from connectors.sources.prometheus import PrometheusApi
from connectors.sources.retry import ONCE, Retry
from connectors.workers import Workers

Api = PrometheusApi | LokiApi
ASKING_MOST = 32
"""Questions to sources at a time, of all clients of the api; more get 429."""
CLIENTS_MOST = 64
"""Sources whose connections are kept open; of more, that which was asked longest ago is closed."""
HISTORY_THREADS, HISTORY_WAITING = 2, 32
"""For what is made of samples of the past before they are used; more get 429."""
TEST_DEADLINE_S = 10.0
DEADLINE_S = 60.0


class SourceTest(Message):
    """What came of asking a source what every such server can answer."""

    status: Status
    reason: Annotated[str, Field(description="why not, with what the server said; else empty")]
    version: Annotated[str, Field(description="as the server tells it; empty if it does not")]
    response_ms: float


class CacheFigures(Message):
    """The cache of query results, of all sources together."""

    entries: int
    size_bytes: int
    hits: int
    misses: int
    hit_ratio: Annotated[float | None, Field(description="null before the first question")]


class SourceHealth(SourceTest):
    """The same of a source that is stored, and what is remembered of its answers."""

    checked_ms: int
    last_ok_ms: Annotated[int | None, Field(description="when it last answered this process; null: not yet")]
    cache: CacheFigures


@dataclass(slots=True)
class _Open:
    """A client, and how many use it now; one that is retired is closed by its last user."""

    revision: int
    api: Api
    users: int = 0
    retired: bool = False


class Sources:
    """All of one process."""

    def __init__(
        self, stored: StoredSources, policy: AddressPolicy, meters: ApiMeters, now_ms: Callable[[], int]
    ) -> None:
        self.cache = ResultCache(tell=lambda result: meters.sources.cache.labels(result).inc())
        self._stored = stored
        self._policy = policy
        self._meters = meters
        self._now_ms = now_ms
        self._open: dict[str, _Open] = {}
        self._least: dict[str, int] = {}
        """Revisions before which sources stand no more, as far as this process has changed or deleted them"""
        self._closing: set[asyncio.Task[None]] = set()
        self._asking = 0
        self._last_ok_ms: dict[str, int] = {}
        meters.sources.cache_bytes.set_function(lambda: self.cache.size_bytes)
        meters.sources.cache_entries.set_function(lambda: len(self.cache))
        self.work = Workers("history", HISTORY_THREADS, HISTORY_WAITING)
        meters.watch(self.work)
        meters.watch(NAMES.workers)
        meters.sources.asked.set_function(lambda: self._asking)

    async def read(self, source_id: str) -> DataSource:
        """The data source as it stands; raises ``ApiError`` if there is none."""
        return (await self._stored.source(source_id)).source

    @asynccontextmanager
    async def asking(self, source: DataSource, deadline_s: float = DEADLINE_S) -> AsyncIterator[Api]:
        """The api of a source for some questions; raises ``Overloaded``, ``SourceUnreachable`` past the deadline."""
        opened = self._opened(source)
        opened.users += 1
        try:
            async with self._counted(source.config, deadline_s):
                yield opened.api
            self._answered(source, self._now_ms())
        finally:
            opened.users -= 1
            self._close_if_idle(opened)

    async def test(self, config: SourceConfig) -> SourceTest:
        """Ask a source that need not be stored, once."""
        api = self._made(config, None, ONCE)
        async with api.client:
            return await self._tested(config, api)

    async def health(self, source: DataSource) -> SourceHealth:
        """Ask one that is stored, once."""
        tested = await self.test(source.config)
        now_ms = self._now_ms()
        if tested.status is Status.OK:
            self._answered(source, now_ms)
        figures = self.cache.figures
        cache = CacheFigures(
            entries=len(self.cache),
            size_bytes=self.cache.size_bytes,
            hits=figures.hits,
            misses=figures.misses,
            hit_ratio=figures.hit_ratio,
        )
        last_ok_ms = self._last_ok_ms.get(source.id)
        return SourceHealth(**tested.model_dump(), checked_ms=now_ms, last_ok_ms=last_ok_ms, cache=cache)

    def forget(self, source_id: str, least: int) -> None:
        """Close its connections: it was changed or deleted, and revisions before ``least`` stand no more.

        Who has read one of these before asks it all the same, and nothing of that is kept. What is remembered of its
        answers is that of a revision, and grows old.
        """
        self._last_ok_ms.pop(source_id, None)
        opened = self._open.get(source_id)
        if opened is not None and opened.revision < least:
            self._retire(source_id)
        _put(self._least, source_id, max(least, self._least.get(source_id, 0)))

    async def stop(self) -> None:
        """Close all connections."""
        for source_id in list(self._open):
            self._retire(source_id)
        self.work.stop()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _opened(self, source: DataSource) -> _Open:
        """The client of a revision. Nothing is awaited here: another request would find what is half done."""
        known = self._open.get(source.id)
        if known is not None and known.revision == source.revision:
            self._open[source.id] = self._open.pop(source.id)  # the last one: asked most lately
            return known
        made = _Open(source.revision, self._made(source.config, (source.id, source.revision), Retry()))
        if not self._stands(source) or (known is not None and known.revision > source.revision):
            made.retired = True  # overtaken since it was read: it is closed as soon as it has answered
            return made
        self._retire(source.id)  # changed, maybe by another replica
        self._open[source.id] = made
        while len(self._open) > CLIENTS_MOST:
            self._retire(next(iter(self._open)))
        return made

    def _stands(self, source: DataSource) -> bool:
        return source.revision >= self._least.get(source.id, 0)

    def _answered(self, source: DataSource, now_ms: int) -> None:
        if self._stands(source):
            _put(self._last_ok_ms, source.id, now_ms)

    def _retire(self, source_id: str) -> None:
        opened = self._open.pop(source_id, None)
        if opened is not None:
            opened.retired = True
            self._close_if_idle(opened)

    def _close_if_idle(self, opened: _Open) -> None:
        """In a task of its own, so that nobody waits for it, and who is cancelled meanwhile does not leave it open."""
        if opened.retired and not opened.users:
            closing = asyncio.create_task(opened.api.client.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _made(self, config: SourceConfig, key: Hashable, retry: Retry) -> Api:
        client = SourceClient(config.endpoint(), self._policy, retry)
        made = PrometheusApi if config.kind is SourceKind.PROMETHEUS else LokiApi
        return made(client, self.cache, key, self._now_ms, self._amended)

    def _amended(self, reason: str, samples: int) -> None:
        self._meters.sources.amended.labels(reason).inc(samples)

    async def _tested(self, config: SourceConfig, api: Api) -> SourceTest:
        began_s, version, reason = time.monotonic(), "", ""
        try:
            async with self._counted(config, TEST_DEADLINE_S):
                await api.check()
                version = (await api.build_info()).version
        except (Rejected, SourceUnreachable) as error:  # too much of an answer is one that cannot be used, too
            reason = str(error)
        response_ms = round(1000 * (time.monotonic() - began_s), 3)
        status = Status.DOWN if reason else Status.OK
        return SourceTest(status=status, reason=reason, version=version, response_ms=response_ms)

    @asynccontextmanager
    async def _counted(self, config: SourceConfig, deadline_s: float) -> AsyncIterator[None]:
        if self._asking >= ASKING_MOST:
            message = f"{ASKING_MOST} questions to data sources are under way"
            raise Overloaded(message)
        self._asking += 1
        result = "cancelled"
        try:
            async with asyncio.timeout(deadline_s):
                yield
            result = "ok"
        except TimeoutError as error:
            result = "unreachable"
            message = f"data source {config.name!r} did not answer within {deadline_s:g} s: ask for less"
            raise SourceUnreachable(message) from error
        except TocsinError as error:
            result = "unreachable" if isinstance(error, SourceUnreachable) else "refused"
            raise
        finally:
            self._asking -= 1
            self._meters.sources.requests.labels(config.kind.value, result).inc()


def _put(known: dict[str, int], source_id: str, value: int) -> None:
    """As the latest one; sources that were deleted long ago, maybe by another replica, make room."""
    known.pop(source_id, None)
    known[source_id] = value
    while len(known) > MAX_SOURCES:
        del known[next(iter(known))]
