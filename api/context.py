"""All that one api process holds, made at its start and stopped at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from api.bridge import Handler, on_loop
from api.feed import Feed
from api.meters import ApiMeters
from api.recent import RecentAnomalies
from api.revisions import RevisionLog
from api.settings import ApiSettings
from api.upkeep import Upkeep
from connectors.errors import Unavailable
from connectors.follower import Follower
from connectors.probes import Component, down_if

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
DETECTORS = "detectors"
ANOMALIES = "anomalies"


def wall_clock_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000


class Context:
    """Readers, stores and writers of one process. ``on_death`` is called once when a reader has ended with an error."""

    def __init__(self, settings: ApiSettings, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.settings = settings
        self.meters = ApiMeters()
        self.recent = RecentAnomalies(settings.api_recent_anomalies, settings.api_recent_bytes)
        self.feed = Feed(
            self.recent, self.meters, max_clients=settings.api_max_clients, queue_limit=settings.api_client_queue
        )
        self.upkeep = Upkeep(settings.api_broker_health)
        self.revisions = RevisionLog(settings, self.meters, now_ms, self.upkeep)
        self.on_death: Callable[[], None] = lambda: None
        self.followers: Mapping[str, Follower] = {}
        self._loaded: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read both topics from their start; ready when no part of ``components`` is down."""
        loop = asyncio.get_running_loop()
        handlers: dict[str, tuple[str, Handler]] = {
            DETECTORS: (self.settings.topics.detectors, self.revisions.handle),
            ANOMALIES: (self.settings.topics.anomalies, self.feed.handle),
        }
        self.followers = {
            name: Follower(self.settings, topic, on_loop(loop, handle)) for name, (topic, handle) in handlers.items()
        }
        for name, follower in self.followers.items():
            self.meters.lag.labels(follower.topic).set_function(follower.lag)
            self.meters.ready.labels(follower.topic).set_function(partial(self.loaded, name))
        self._watch = asyncio.create_task(self._watch_followers())

    async def stop(self) -> None:
        """Stop reading and writing; the loop goes on meanwhile, because the readers hand over to it."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(asyncio.to_thread(follower.stop) for follower in self.followers.values()))
        await self.revisions.stop()
        await self.upkeep.stop()

    def loaded(self, name: str) -> bool:
        """Whether the topic has once been read to its end, as it was when reading began."""
        if name not in self._loaded and name in self.followers and self.followers[name].caught_up():
            self._loaded.add(name)
        return name in self._loaded

    def require(self, name: str) -> None:
        """Raise ``Unavailable`` until the topic is loaded: half of it would be a wrong answer."""
        if not self.loaded(name):
            message = f"the api still reads its topic of {name} from Kafka: ask again in a second"
            raise Unavailable(message)

    def components(self) -> dict[str, Component]:
        """How the reading of each topic is doing, for the probes."""
        return {name: down_if(self._trouble(name)) for name in self.followers}

    async def all_components(self) -> dict[str, Component]:
        """The same, and whether changes of detectors are kept, for which another process is asked."""
        return {**self.components(), **await self.upkeep.components()}

    def _trouble(self, name: str) -> str:
        follower = self.followers[name]
        if follower.error is not None:
            return str(follower.error)
        silent = follower.missing_reason()
        if not self.loaded(name):
            return "; ".join(filter(None, (f"still reading {follower.topic}", silent)))
        return silent

    def dead_followers(self) -> list[str]:
        """Readers that ended with an error, and why."""
        return [f"{follower.topic}: {follower.error}" for follower in self.followers.values() if follower.error]

    async def _watch_followers(self) -> None:
        while not self.dead_followers():  # noqa: ASYNC110 - a reader is a thread, it has no asyncio event
            await asyncio.sleep(WATCH_INTERVAL_S)
        log.critical("reading ended: %s", "; ".join(self.dead_followers()))
        self.on_death()
