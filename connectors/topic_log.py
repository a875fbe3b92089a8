"""Small topics of one partition kept in memory, which answer "all from this offset to that one"."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import groupby
from types import TracebackType
from typing import Self

from connectors.errors import Overloaded, Unavailable
from connectors.follower import Follower
from connectors.received import Received
from connectors.settings import KafkaSettings

NUDGE_S = 1.0
"""So often a reader that waits says that something is there."""
LOG_MAX_BYTES = 256 * 1024 * 1024
"""Bound of a ``TopicLog``: some 200,000 detector revisions of 1 kB, beyond what one flow could apply."""


class TopicLog:
    """All records of a one-partition topic, at most ``max_bytes`` of them, as a ``LogReader`` reads them.

    ``prepare`` is called in the reading thread with records that nobody can read yet. Of records that are not
    ``wanted`` nothing is kept.
    """

    def __init__(
        self, topic: str, max_bytes: int = LOG_MAX_BYTES,
        prepare: Callable[[list[Received]], None] | None = None,
        wanted: Callable[[Received], bool] | None = None,
    ) -> None:  # fmt: skip
        self.topic = topic
        self._records: list[Received] = []
        self._offsets: list[int] = []
        self._bytes = 0
        self._max_bytes = max_bytes
        self._prepare = prepare
        self._wanted = wanted

    def between(self, start: int, end: int) -> list[Received]:
        """Records with ``start <= offset < end``, of those that were read."""
        return self._records[bisect_left(self._offsets, start) : bisect_left(self._offsets, end)]

    def keep(self, received: list[Received]) -> None:
        """What was read next. Raises ``Overloaded`` when the bound is passed."""
        if self._wanted is not None:
            received = list(filter(self._wanted, received))
        self._bytes += sum(len(record.key or b"") + len(record.value or b"") for record in received)
        if self._bytes > self._max_bytes:
            message = f"{self.topic}: more than {self._max_bytes} bytes of records"
            raise Overloaded(message)
        if self._prepare is not None:
            self._prepare(received)
        self._records.extend(received)
        self._offsets.extend(record.offset for record in received)


class LogReader:
    """Follows logs from construction until ``stop``, with one consumer for all of them.

    One that ``rests`` looks every ten seconds only while nothing comes, and at once when it is asked for more.
    """

    def __init__(self, settings: KafkaSettings, *logs: TopicLog, rests: bool = False) -> None:
        self._logs = {log.topic: log for log in logs}
        self.follower = Follower(settings, tuple(self._logs), self._keep, rests=rests)

    def position(self, log: TopicLog) -> int:
        """Next offset of the log as far as it was read."""
        return self.follower.position(0, log.topic)

    def read(self, log: TopicLog, start: int, end: int, timeout_s: float) -> list[Received]:
        """Records with ``start <= offset < end``, waiting until the log was read up to ``end``.

        Raises ``Unavailable`` past the time-out, or the error that ended the reading thread.
        """
        until_s, left_s = time.monotonic() + timeout_s, 0.0
        while not self.follower.wait(lambda: self.position(log) >= end, min(NUDGE_S, left_s)):
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                message = f"{log.topic}: read to offset {self.position(log)}, not to {end} within {timeout_s} s"
                raise Unavailable(message)
            self.follower.nudge()  # again and again: a leader that is away for some seconds must not let it rest
        return log.between(start, end)

    def unread(self, log: TopicLog) -> str:
        """Why the log may be out of date: reading ended, Kafka is silent, its end was not reached yet; else empty."""
        behind = "" if self.follower.caught_up(log.topic) else f"{log.topic} is not read to its end yet"
        return self.follower.missing_reason() or behind

    def wait_caught_up(self, timeout_s: float) -> None:
        """Block until the logs were read to their ends; raises ``Unavailable`` past the time-out."""
        self.follower.wait_caught_up(timeout_s)

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        self.follower.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _keep(self, received: list[Received]) -> None:
        for topic, records in groupby(received, lambda record: record.topic):
            self._logs[topic].keep(list(records))
