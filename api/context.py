"""All that one api process holds, made at its start and stopped at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

from api.backlog import Backlog
from api.bridge import on_loop
from api.collecting import Collecting
from api.component_changes import ComponentChanges
from api.dead_letter_log import DeadLetterLog
from api.feed import Feed
from api.feedback_log import FeedbackLog
from api.history import History
from api.joined import Joined
from api.meters import ApiMeters
from api.recent import RecentAnomalies
from api.revisions import RevisionLog
from api.settings import ApiSettings
from api.shared import Shared
from api.socket_messages import SYSTEM, TRAINING
from api.sources import Sources
from api.store import Store
from api.store_reader import StoreReader
from api.stored_sources import StoredSources
from api.told import Told, is_of_training
from api.topic_mark import learn_mark
from api.trainer import Trainer
from api.training_board import TrainingBoard
from api.trial import Trials
from api.upkeep import Upkeep
from api.writer import Writer
from connectors.clock import wall_clock_ms
from connectors.errors import Loading
from connectors.follower import Follower
from connectors.probes import Component, down_if
from connectors.received import Received
from connectors.sources.address import AddressPolicy

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
DETECTORS = "detectors"
ANOMALIES = "anomalies"
STATUS = "status"
FEEDBACK = "feedback"


class Context:
    """Readers, stores and writers of one process.

    ``on_loaded`` is called once when all topics have been read, ``on_death`` when a reader has ended with an error.
    """

    def __init__(self, settings: ApiSettings, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.settings = settings
        self.now_ms = now_ms
        self.meters = ApiMeters()
        self.store = Store(settings.store, self.meters)
        self.recent = RecentAnomalies(settings.api_recent_anomalies, settings.api_recent_bytes)
        self.backlog = Backlog(settings.api_backlog_events, settings.api_backlog_bytes, self._begins)
        bounds = {"max_clients": settings.api_max_clients, "queue_limit": settings.api_client_queue}
        self.feed = Feed(self.recent, self.backlog, self.meters, **bounds)
        self.history = History(settings, self.store, self.meters, now_ms)
        self.feedback = FeedbackLog(settings, self.store, self.meters)
        self.copying = StoreReader(settings, self.store, self.history, self.feedback)
        self.shared = Shared(self.meters)
        self.joined: Joined[bytes] = Joined()
        self.upkeep = Upkeep(settings.api_broker_health)
        self.revisions = RevisionLog(settings, self.meters, now_ms, self.upkeep)
        self.stored = StoredSources(self.store, now_ms)
        self.sources = Sources(self.stored, AddressPolicy.parse(settings.api_source_networks), self.meters, now_ms)
        self.collecting = Collecting(self.store, self.sources, settings.api_ingest, self.meters, now_ms)
        self.trials = Trials(self.meters)
        self.dead_letters = DeadLetterLog(settings, self.meters)
        self.replays = Writer(settings, "tocsin-api-replays")
        self.trainings = TrainingBoard(
            self.meters, lambda training: self.feed.publish(f"{TRAINING}/{training.id}", training)
        )
        self.trainer = Trainer(settings, self.meters, now_ms, self.trainings)
        self.on_loaded: Callable[[], None] = lambda: None
        self.on_death: Callable[[], None] = lambda: None
        self.at_hand: Callable[[], Mapping[str, Component]] = self.components
        self.told = Told(settings.api_status_bytes, self.meters, partial(self.feed.publish, STATUS))
        topics = settings.topics
        self.topics = {DETECTORS: topics.detectors, ANOMALIES: topics.anomalies, STATUS: topics.status}
        self.topics[FEEDBACK] = topics.feedback
        self.follower: Follower | None = None
        self._loaded: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._wake: asyncio.Task[None] | None = None
        self._identify: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read all topics from their start; ready when no part of ``components`` is down."""
        # one reader of all: to wait for nothing costs a request a second and reader
        handle = on_loop(asyncio.get_running_loop(), self._handle)
        self.follower = Follower(self.settings, tuple(self.topics.values()), handle, hurries=self._hurries)
        for name, topic in self.topics.items():
            self.meters.lag.labels(topic).set_function(partial(self.follower.lag, topic))
            self.meters.ready.labels(topic).set_function(partial(self.loaded, name))
        self.history.start()
        self.copying.start()
        self._watch = asyncio.create_task(self._watch_follower())
        self._wake = asyncio.create_task(self.feed.wake_clients())
        self.collecting.start()
        self._identify = asyncio.create_task(self._learn_mark())

    async def stop(self) -> None:
        """Stop reading and writing; the loop goes on meanwhile, because the readers hand over to it."""
        for task in (self._watch, self._wake, self._identify):
            if task is not None:
                task.cancel()
        self.trials.stop()
        self.dead_letters.stop()
        await self.trainer.stop()
        if self.follower is not None:
            await asyncio.to_thread(self.follower.stop)
        await self.revisions.stop()
        await asyncio.to_thread(self.replays.stop)
        await self.upkeep.stop()
        await self.copying.stop()
        await self.collecting.stop()
        await self.sources.stop()
        await self.store.stop()

    def loaded(self, name: str) -> bool:
        """Whether the topic has once been read to its end, as it was when reading began."""
        known = name != ANOMALIES or self.feed.mark  # without the mark no event can bear a cursor
        if name not in self._loaded and known and self.follower and self.follower.caught_up(self.topics[name]):
            self._loaded.add(name)
        return name in self._loaded

    def require(self, name: str) -> None:
        """Raise ``Unavailable`` until the topic is loaded: half of it would be a wrong answer."""
        if not self.loaded(name):
            message = f"the api still reads its topic of {name} from Kafka: ask again in a second"
            raise Loading(message)

    def components(self) -> dict[str, Component]:
        """How the reading of each topic is doing, for the probes."""
        return {name: down_if(self._trouble(name)) for name in self.topics}

    async def all_components(self) -> dict[str, Component]:
        """The same, whether changes of detectors are kept, for which another process is asked, and the store."""
        return {**self.components(), **await self.upkeep.components(), **await self._stored()}

    async def _stored(self) -> dict[str, Component]:
        copies = {"history": self.history.component(), "labels": self.feedback.component()}
        return {"store": await self.store.component(), **copies}

    @property
    def death(self) -> str:
        """Why reading ended with an error; else empty."""
        if self.follower is None or self.follower.error is None:
            return ""
        return f"{self.follower.topic}: {self.follower.error}"

    def _handle(self, records: Sequence[Received]) -> None:
        handlers = {
            self.topics[DETECTORS]: self.revisions.handle,
            self.topics[ANOMALIES]: self.feed.handle,
            self.topics[STATUS]: self._handle_status,
            self.topics[FEEDBACK]: self.feedback.handle,
        }
        for topic, run in groupby(records, lambda record: record.topic):
            handlers[topic](list(run))
        if any(record.topic != self.topics[STATUS] for record in records):
            self.copying.nudge()

    def _hurries(self, record: Received) -> bool:
        """All but what partitions and detectors tell of themselves every half minute, also when nothing happens."""
        return record.topic != self.topics[STATUS] or is_of_training(record)

    def _handle_status(self, records: Sequence[Received]) -> None:
        self.told.handle(records)
        self.trainings.handle(records)

    def _trouble(self, name: str) -> str:
        if self.death:
            return self.death
        silent = "" if self.follower is None else self.follower.missing_reason()
        if not self.loaded(name):
            return "; ".join(filter(None, (f"still reading {self.topics[name]}", silent)))
        return silent

    def _begins(self) -> Mapping[int, int]:
        return {} if self.follower is None else self.follower.positions(self.topics[ANOMALIES])

    async def _learn_mark(self) -> None:
        self.feed.mark = await learn_mark(self.settings, self.topics[ANOMALIES])

    async def _watch_follower(self) -> None:
        changes, loading = ComponentChanges(), True
        while not self.death:
            if loading and all(map(self.loaded, self.topics)):
                loading = False
                self.on_loaded()
            for change in changes.try_to_look(self.at_hand, self.now_ms(), self.meters.looks_failed.inc):
                self.feed.publish(SYSTEM, change)
            await asyncio.sleep(WATCH_INTERVAL_S)
        log.critical("reading ended: %s", self.death)
        self.on_death()
