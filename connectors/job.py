"""One request on its way to Kafka: what it sends, who waits for its answer, and what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from connectors.messages import OutRecord

T = TypeVar("T")
Settled = Callable[[BaseException | None], None]
"""Called in the loop when nothing is left of a job, with what went wrong."""


class Piece(NamedTuple):
    """Part of a record, to be joined with others of the same topic, key and partition.

    Its value is a protobuf message of repeated fields; such are joined by writing one behind the other.
    """

    topic: str
    key: bytes
    partition: int
    value: memoryview


class Batch(NamedTuple, Generic[T]):
    """What a job has prepared: what to send, and what to answer once Kafka has confirmed all of it."""

    pieces: list[Piece]
    records: list[OutRecord]
    outcome: T


class Job(Generic[T]):
    """One request on its way. ``answer`` is for the client, ``settled`` runs in the loop when nothing is left of it."""

    def __init__(self, prepare: Callable[[], Batch[T]], answer: asyncio.Future[T], settled: Settled) -> None:
        self.prepare = prepare
        self.answer = answer
        self.settled = settled
        self.outcome: T | None = None
        self.error: BaseException | None = None
        self.left = 1

    def finish(self) -> None:
        """In the loop: answer, unless the client has given up, and settle."""
        if not self.answer.done():
            if self.error is not None:
                self.answer.set_exception(self.error)
            else:
                self.answer.set_result(self.outcome)  # type: ignore[arg-type]  # set whenever there is no error
        self.settled(self.error)
