"""One WebSocket client as the feed sees it: what it is subscribed to, and what waits for it."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from api.backlog import Entry
from api.cursor import Offsets
from api.frames import Write, frames_of
from api.subscription import Wanted, wish_of


class Replay:
    """Events that a client has missed: their texts are made when they are sent, for there may be many."""

    def __init__(self, entries: Sequence[Entry], text_of: Callable[[Entry], str]) -> None:
        self._texts: Iterator[str] = map(text_of, entries)
        self.left = len(entries)

    def next(self) -> str | None:
        """The next text; None at the end."""
        self.left = max(0, self.left - 1)
        return next(self._texts, None)


MOST_AT_ONCE = 64
"""Messages of one write: about what a connection takes before it asks to wait."""


class Client:
    """A bounded queue, and the topics by which it is filled. What is offered is sent once the client is woken."""

    def __init__(self, queue_limit: int, peer: str = "", since_ms: int = 0) -> None:
        self.id = secrets.token_hex(8)
        self.peer = peer
        self.since_ms = since_ms
        self.topics = {}
        self.ahead: Offsets = {}
        """Where it has been told more already, by another replica, than this one has read."""
        self.missed: Replay | None = None
        """What it is to get behind the answer to its ``subscribe``."""
        self.sent = 0
        self.write: Write | None = None
        """Puts frames onto its connection at once; None where that cannot be."""
        self.slow = asyncio.Event()
        self._limit = queue_limit
        self._queue: deque[str | Replay] = deque()
        self._awake = asyncio.Event()
        self._resting = False
        """Whether it waits for the next message, all before having been handed to the connection."""
        self._replay: Replay | None = None

    @property
    def topics(self) -> Mapping[str, Wanted]:
        """What it is subscribed to; replaced when that changes."""
        return self._topics

    @topics.setter
    def topics(self, topics: Mapping[str, Wanted]) -> None:
        self._topics = topics
        self.wish = wish_of(topics)

    @property
    def waiting(self) -> int:
        """Messages not handed to the connection yet, without those that it has missed."""
        return len(self._queue)

    @property
    def replaying(self) -> int:
        """Events that it has missed and not got yet."""
        return sum(replay.left for replay in (self.missed, self._replay) if replay is not None)

    def was_told(self, entry: Entry) -> bool:
        """Whether it has got the event from another replica."""
        return entry.offset < self.ahead.get(entry.partition, 0)

    def offer(self, text: str | Replay) -> None:
        """Queue a message, or mark the client slow; a slow client is offered nothing more."""
        if self.slow.is_set():
            return
        if len(self._queue) >= self._limit:
            self.slow.set()
        else:
            self._queue.append(text)
            if 2 * len(self._queue) > self._limit:  # in a storm there is no time to gather
                self._awake.set()

    def wake(self) -> int:
        """Let what waits be sent: now, if the connection takes it, or by the client's own task.

        Returns how many messages were sent now.
        """
        if not self._queue:
            return 0
        sent = self._write_all() if self._resting else 0
        if not sent:
            self._awake.set()
        return sent

    def _write_all(self) -> int:
        if self.write is None or self.missed is not None or len(self._queue) > MOST_AT_ONCE:
            return 0
        texts: tuple[str, ...] = tuple(self._queue)  # type: ignore[arg-type]  # nothing missed is among them
        if not self.write(frames_of(texts)):
            return 0
        self._queue.clear()
        self.sent += len(texts)
        return len(texts)

    def answer(self, text: str) -> None:
        """Queue an answer, and behind it what was missed, to be sent now."""
        self.offer(text)
        if self.missed is not None:
            self.offer(self.missed)
        self._awake.set()

    async def taken(self) -> tuple[str, ...]:
        """The next messages, at least one, in the order of the offers."""
        while True:
            missed = self._replay.next() if self._replay is not None else None
            if missed is not None:
                return (missed,)
            self._replay = None
            texts = self._texts()
            if texts:
                return tuple(texts)
            if self._queue:
                self._replay, self.missed = self._queue.popleft(), None  # type: ignore[assignment]  # no text is first
                continue
            self._awake.clear()
            self._resting = True
            try:
                await self._awake.wait()
            finally:
                self._resting = False

    def _texts(self) -> list[str]:
        """What is at the head of the queue, up to what was missed."""
        texts: list[str] = []
        while self._queue and isinstance(self._queue[0], str) and len(texts) < MOST_AT_ONCE:
            texts.append(self._queue.popleft())  # type: ignore[arg-type]  # it is a text
        return texts
