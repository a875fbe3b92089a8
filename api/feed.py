"""Anomalies from Kafka, and what else happens, to everyone who watches.

One decode and one encode per event, a bounded queue per client. Each event bears the cursor by which a client resumes.
All of it runs on the event loop. A client whose queue is full is marked slow and gets nothing more; its own
connection's task closes it, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cache, partial

from api.backlog import Backlog, Entry, Gone
from api.client import Client, Replay
from api.cursor import Cursor, Offsets
from api.meters import ApiMeters
from api.recent import Change, Kept, RecentAnomalies
from api.socket_messages import anomaly_text, published_text, topics_of
from api.subscription import Wanted, Wish, is_wished
from connectors.anomaly import Anomaly
from connectors.errors import Overloaded, Rejected
from connectors.messages import Message
from connectors.received import Received

log = logging.getLogger(__name__)

GATHER_S = 0.04
"""In a storm clients are sent to so often, what has come meanwhile by one write: to write costs most."""


class Feed:
    """Who watches, and what they are told."""

    def __init__(
        self, recent: RecentAnomalies, backlog: Backlog, meters: ApiMeters, *, max_clients: int, queue_limit: int
    ) -> None:
        self.mark = ""
        """Of the topic that is read (``api.cursor.mark_of``); empty until the broker has told."""
        self._recent = recent
        self._backlog = backlog
        self._meters = meters
        self._max_clients = max_clients
        self._queue_limit = queue_limit
        self._clients: dict[str, Client] = {}
        self._told = asyncio.Event()
        meters.sockets.clients.set_function(lambda: len(self._clients))
        meters.sockets.longest_queue.set_function(lambda: max((client.waiting for client in self.clients), default=0))
        meters.feed.recent.set_function(lambda: len(recent))
        meters.feed.recent_bytes.set_function(lambda: recent.size_bytes)
        meters.feed.backlog_events.set_function(lambda: len(backlog))
        meters.feed.backlog_bytes.set_function(lambda: backlog.size_bytes)

    @property
    def clients(self) -> Collection[Client]:
        """Who is connected, the longest first."""
        return self._clients.values()

    def join(self, peer: str = "", now_ms: int = 0) -> Client:
        """Take in a client without topics; raises ``Overloaded`` beyond the limit."""
        if len(self._clients) >= self._max_clients:
            message = f"{self._max_clients} clients are connected, more are not allowed (TOCSIN_API_MAX_CLIENTS)"
            raise Overloaded(message)
        client = Client(self._queue_limit, peer, now_ms)
        self._clients[client.id] = client
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.pop(client.id, None)

    async def wake_clients(self) -> None:
        """Let clients have what is told, for as long as the feed runs: at once, and then after pauses."""
        while True:
            await self._told.wait()
            self._told.clear()
            self._meters.sockets.sent.inc(sum(client.wake() for client in self.clients))
            await asyncio.sleep(GATHER_S)

    def publish(self, topic: str, data: Message) -> None:
        """Tell something to every subscriber of ``status``, ``training/{id}`` or ``system``; for none it costs nothing.

        To be called on the loop. What is published is not kept: who was not connected does not get it.
        """
        subscribers = [client for client in self.clients if topic in client.topics]
        if subscribers:
            text = published_text(topic, data)
            for client in subscribers:
                client.offer(text)
            self._told.set()

    def cursor(self, client: Client) -> str:
        """How far a client has come once it has got all that waits for it."""
        return str(Cursor(self.mark, _furthest(self._backlog.reached, client.ahead)))

    def resume(self, client: Client, topics: Mapping[str, Wanted], since: Cursor) -> int:
        """Subscribe a client and let it have what it missed since a cursor; returns how many events these are.

        Raises ``Gone``, and changes nothing, when not all of it is kept, or the cursor is of another topic.
        """
        if since.topic != self.mark:
            message = "the cursor is of another topic or broker"
            raise Gone(message)
        missed = self._backlog.since(since.offsets)
        client.topics = {**client.topics, **topics}
        reached = self._backlog.reached
        client.ahead = {part: told for part, told in since.offsets.items() if told > reached.get(part, 0)}
        wanted = [entry for entry in missed if is_wished(client.wish, _topics(entry), entry)]
        if wanted:
            client.missed = Replay(wanted, partial(_missed_text, self.mark, dict(since.offsets)))
        return len(wanted)

    def handle(self, records: Sequence[Received]) -> None:
        """Keep and pass on the events of one batch; a record that is not an anomaly is counted and skipped."""
        for record in records:
            self._backlog.passed(record.partition, record.offset)
            try:
                event = Anomaly.decode(record.value or b"")
            except Rejected as error:
                self._meters.feed.events.labels("invalid").inc()
                log.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
                continue
            kept = Kept.of(event)
            if self._keep(kept) is not Change.REPEATED:
                entry = Entry(record.partition, record.offset, event.signal.labels, kept)
                dropped = self._backlog.dropped_total
                self._backlog.add(entry)
                self._meters.feed.backlog_dropped.inc(self._backlog.dropped_total - dropped)
                self._tell(entry)

    def _keep(self, kept: Kept) -> Change:
        before = self._recent.evicted_total
        change = self._recent.put(kept)
        self._meters.feed.events.labels(change).inc()
        self._meters.feed.evicted.inc(self._recent.evicted_total - before)
        return change

    def _tell(self, entry: Entry) -> None:
        """Offer one event, which is JSON already, to every subscriber."""
        topics = _topics(entry)

        @cache
        def is_for(wish: Wish) -> bool:
            return is_wished(wish, topics, entry)

        subscribers = [client for client in self.clients if is_for(client.wish)]
        if not subscribers:
            return
        self._told.set()
        reached = self._backlog.reached
        shared = anomaly_text(entry.kept.event, str(Cursor(self.mark, reached)))
        for client in subscribers:
            if not client.ahead:
                client.offer(shared)
            elif not client.was_told(entry):
                client.ahead = {part: told for part, told in client.ahead.items() if told > reached.get(part, 0)}
                client.offer(anomaly_text(entry.kept.event, self.cursor(client)))


def _topics(entry: Entry) -> frozenset[str]:
    return topics_of(entry.kept.severity, entry.kept.detector)


def _furthest(first: Offsets, second: Offsets) -> Offsets:
    return {part: max(first.get(part, 0), second.get(part, 0)) for part in {**first, **second}}


def _missed_text(mark: str, offsets: dict[int, int], entry: Entry) -> str:
    """The text of a missed event, whose cursor says no more than what was sent; moves the offsets on."""
    offsets[entry.partition] = entry.offset + 1
    return anomaly_text(entry.kept.event, str(Cursor(mark, offsets)))
