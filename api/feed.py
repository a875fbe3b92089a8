"""Anomalies from Kafka, and what else happens, to everyone who watches.

One decode and one encode per event, a bounded queue per client.
All of it runs on the event loop. A client whose queue is full is marked slow and gets nothing more; its own
connection's task closes it, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from api.meters import ApiMeters
from api.recent import Change, Kept, RecentAnomalies
from api.socket_messages import anomaly_text, published_text, topics_of
from connectors.errors import Overloaded, Rejected
from connectors.follower import Received
from connectors.messages import Anomaly, Message

log = logging.getLogger(__name__)


class Client:
    """One WebSocket client as the feed sees it."""

    def __init__(self, queue_limit: int) -> None:
        self.topics: set[str] = set()
        self.slow = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue(queue_limit)

    @property
    def waiting(self) -> int:
        """Messages not handed to the connection yet."""
        return self._queue.qsize()

    def offer(self, text: str) -> None:
        """Queue a message, or mark the client slow; a slow client is offered nothing more."""
        if self.slow.is_set():
            return
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.slow.set()

    async def next(self) -> str:
        """The next message, in the order of the offers."""
        return await self._queue.get()


class Feed:
    """Who watches, and what they are told."""

    def __init__(self, recent: RecentAnomalies, meters: ApiMeters, *, max_clients: int, queue_limit: int) -> None:
        self._recent = recent
        self._meters = meters
        self._max_clients = max_clients
        self._queue_limit = queue_limit
        self._clients: set[Client] = set()
        meters.clients.set_function(lambda: len(self._clients))
        meters.longest_queue.set_function(lambda: max((client.waiting for client in self._clients), default=0))
        meters.recent_anomalies.set_function(lambda: len(recent))
        meters.recent_bytes.set_function(lambda: recent.size_bytes)

    def join(self) -> Client:
        """Take in a client without topics; raises ``Overloaded`` beyond the limit."""
        if len(self._clients) >= self._max_clients:
            message = f"{self._max_clients} clients are connected, more are not allowed (TOCSIN_API_MAX_CLIENTS)"
            raise Overloaded(message)
        client = Client(self._queue_limit)
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def publish(self, topic: str, data: Message) -> None:
        """Tell something to every subscriber of ``status``, ``training/{id}`` or ``system``; for none it costs nothing.

        To be called on the loop. What is published is not kept: who was not connected does not get it.
        """
        subscribers = [client for client in self._clients if topic in client.topics]
        if subscribers:
            text = published_text(topic, data)
            for client in subscribers:
                client.offer(text)

    def handle(self, records: Sequence[Received]) -> None:
        """Keep and pass on the events of one batch; a record that is not an anomaly is counted and skipped."""
        for record in records:
            try:
                event = Anomaly.decode(record.value or b"")
            except Rejected as error:
                self._meters.anomaly_events.labels("invalid").inc()
                log.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
                continue
            kept = Kept.of(event)
            if self._keep(kept) is not Change.REPEATED:
                self._tell(kept)

    def _keep(self, kept: Kept) -> Change:
        before = self._recent.evicted_total
        change = self._recent.put(kept)
        self._meters.anomaly_events.labels(change).inc()
        self._meters.evicted_anomalies.inc(self._recent.evicted_total - before)
        return change

    def _tell(self, kept: Kept) -> None:
        """Offer one event, which is JSON already, to every subscriber."""
        topics = topics_of(kept.severity, kept.detector)
        subscribers = [client for client in self._clients if not topics.isdisjoint(client.topics)]
        if subscribers:
            text = anomaly_text(kept.event)
            for client in subscribers:
                client.offer(text)
