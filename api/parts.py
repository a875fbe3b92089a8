"""The parts of ``/health`` beside the topics: what the api needs, what it serves, and what others do for it.

None of them brings the api ``down``, for it answers without them; only Kafka does. Each answers within its deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import psutil

from api.context import Context
from api.joined import Joined
from api.source_table import DataSource
from connectors.errors import TocsinError
from connectors.probes import OK, Component, Status, degraded_if, down_if

CONNECT_S = 2.0
SOURCES_MOST = 16
"""Data sources that are asked for one answer; of more the health stands at ``/api/datasources/{id}/health``."""
SOURCES_S = 3.0
REMEMBERED_S = 15.0
"""Whoever asks for health more often gets what the sources said last: they are other people's servers."""
FLOW_SILENT_S = 60.0
"""A flow tells each few seconds of log time, and catches up after a stop; then it counts as silent."""
LEAST_MEMORY = 0.03
"""Share of the machine's memory below which it is about to swap or to kill."""
MOST_FILES = 0.9
"""Share of the files that the process may open."""


class _Asked(NamedTuple):
    """What sources said, and when."""

    at_s: float
    parts: dict[str, Component]


class Parts:
    """Looks at all of them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked: _Asked | None = None
        self._asking = asyncio.Lock()
        self._joined: Joined[dict[str, Component]] = Joined()

    def at_hand(self) -> dict[str, Component]:
        """Those for which nobody need be asked: whose changes are told on the WebSocket's topic ``system``."""
        context, follower = self._context, self._context.follower
        return {
            "system": system(),
            "kafka": down_if("" if follower is None else follower.missing_reason()),
            **context.components(),
            "history": context.history.component(),
            "websocket": self._websocket(),
            **self._flows(),
        }

    async def all(self) -> dict[str, Component]:
        """Every part by name, those of ``Context.all_components`` among them; looked at once for all who wait."""
        return await self._joined.answer("all", self._all)

    async def _all(self) -> dict[str, Component]:
        known, kafka, sources = await asyncio.gather(
            self._context.all_components(), self._kafka(), self._sources_lately()
        )
        return {
            "system": system(),
            "kafka": kafka,
            **known,
            "cache": OK,
            "websocket": self._websocket(),
            **self._flows(),
            **sources,
        }

    async def _kafka(self) -> Component:
        """Whether it answers fetches, and how long a connection to it takes."""
        follower, settings = self._context.follower, self._context.settings
        reason, response_ms = "" if follower is None else follower.missing_reason(), None
        host, _, port = settings.bootstrap[0].rpartition(":")
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
            response_ms = _since(began_s)
        except OSError as error:  # a time-out among them
            reason = reason or f"no connection to {settings.bootstrap[0]} (TOCSIN_KAFKA): {error!r}"
        return down_if(reason).model_copy(update={"response_ms": response_ms})

    def _websocket(self) -> Component:
        most, clients = self._context.settings.api_max_clients, self._context.feed.clients
        if len(clients) >= most:
            return degraded_if(f"{most} clients are connected, more are refused (TOCSIN_API_MAX_CLIENTS)")
        slow = sum(client.slow.is_set() for client in clients)
        return degraded_if(f"{slow} clients read too slowly and are being closed" if slow else "")

    def _flows(self) -> dict[str, Component]:
        """By their own signs of life in ``tocsin.status``; that of logs is a part once it was heard of."""
        told = self._context.told
        metrics = {number: alive.log_ms for number, alive in told.partitions.items()}
        logs = {number: alive.log_ms for number, alive in told.logs.items()}
        return {"flow/metrics": self._flow(metrics), **({"flow/logs": self._flow(logs)} if logs else {})}

    def _flow(self, told: Mapping[int, int]) -> Component:
        """By the log time that each partition told of last."""
        if not told:
            return degraded_if("nothing was ever heard of a flow")
        count, now_ms = self._context.settings.partitions, self._context.now_ms()
        behind = [n for n in range(count) if n not in told or now_ms - told[n] > 1000 * FLOW_SILENT_S]
        shown = ", ".join(map(str, behind[:5])) + (" …" if len(behind) > 5 else "")
        reason = f"nothing was heard of {len(behind)} of {count} partitions for {FLOW_SILENT_S:g} s: {shown}"
        return degraded_if(reason if behind else "")

    async def _sources_lately(self) -> dict[str, Component]:
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked.at_s > REMEMBERED_S:
                self._asked = _Asked(time.monotonic(), await self._sources())
            return self._asked.parts

    async def _sources(self) -> dict[str, Component]:
        """Each that is stored, asked now; nothing while the store, which has a part of its own, does not answer."""
        try:
            async with asyncio.timeout(CONNECT_S):
                stored = await self._context.stored.sources()
        except (TimeoutError, TocsinError):
            return {}
        some = [one.source for one in islice(stored.values(), SOURCES_MOST)]
        parts = await asyncio.gather(*map(self._source, some))
        return {f"{source.config.kind}/{source.id}": part for source, part in zip(some, parts, strict=True)}

    async def _source(self, source: DataSource) -> Component:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(SOURCES_S):
                tested = await self._context.sources.health(source)
        except (TimeoutError, TocsinError) as error:
            return degraded_if(str(error) or f"no answer within {SOURCES_S:g} s").model_copy(
                update={"response_ms": _since(began_s)}
            )
        reason = tested.reason if tested.status is not Status.OK else ""
        return degraded_if(reason).model_copy(update={"response_ms": tested.response_ms})


def system() -> Component:
    """Whether the machine and the process have room left; ``GET /api/system`` has the figures."""
    try:
        return degraded_if("; ".join(_narrow()))
    except (psutil.Error, OSError) as error:
        return degraded_if(f"its figures cannot be read: {error!r}")


def _narrow() -> Iterator[str]:
    memory = psutil.virtual_memory()
    if memory.available < LEAST_MEMORY * memory.total:
        yield f"the machine has {memory.available >> 20} MiB of memory left of {memory.total >> 20}"
    process = psutil.Process()
    files, most = process.num_fds(), process.rlimit(psutil.RLIMIT_NOFILE)[0] if hasattr(process, "rlimit") else 0
    if most > 0 and files > MOST_FILES * most:
        yield f"the process has {files} files open of {most} that it may"


def _since(began_s: float) -> float:
    return round(1000 * (time.monotonic() - began_s), 3)
