"""Sends the history of one training to the partitions of its series, never much more than the flow has learned.

What is sent and not learned yet stands in the log before live samples, which wait for it: so it is a few milliseconds
of work (``window_of``), and more goes out only as the partitions say that they have learned.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from api.training_board import Entry
from api.training_history import Piece, TrainingHistory, pieces, whole_steps
from api.training_writer import TrainingWriter
from connectors.detector import Detector
from connectors.errors import TocsinError, Unavailable
from connectors.training import (
    PartState,
    TrainingBegin,
    TrainingCancel,
    TrainingEnd,
    TrainingHead,
    TrainingState,
    history_record,
    mark_record,
)
from connectors.workers import Workers
from flows.detectors.registry import KINDS, Trait

log = logging.getLogger(__name__)

WINDOW, SLOW_WINDOW = 10_000, 25
"""Samples sent and not learned: 5 ms of work of compiled kinds, 2.5 million samples a second; of Python objects at 1 ms
each, and of kinds that go through all that a second of log time brings at each time, some 25 ms."""
PIECES = 5
"""Records of which a window consists, at most: series that are new to the flow take longer than their samples."""
TELL_S = 1.0
"""So often it is told how much was sent."""
ALIVE_S = 60.0
"""So often the partitions are told that the training goes on."""
PATIENCE_S = 600.0
"""The flow may be away for so long."""
MAX_REASON = 1_000
"""Characters of why it failed, half of them from its end: a refusal may quote more labels than a record holds."""
Fetch = Callable[[], AsyncIterator[TrainingHistory]]
"""Gives history in parts, each later than the one before; raises ``TocsinError`` if it cannot be had."""


class Ended(Exception):  # noqa: N818 - no error: somebody else has ended it
    """A training has ended before all was sent."""


@dataclass
class Sent:
    """What each partition was sent."""

    records: dict[int, int] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def add(self, piece: Piece) -> None:
        """One record more."""
        self.records[piece.partition] = self.records.get(piece.partition, 0) + 1
        self.samples[piece.partition] = self.samples.get(piece.partition, 0) + piece.samples
        self.total += piece.samples


class Sender:
    """One training on its way."""

    def __init__(
        self, writer: TrainingWriter, workers: Workers, begin: TrainingBegin, head: TrainingHead, entry: Entry
    ) -> None:
        self._writer, self._workers = writer, workers
        self._begin, self._detector = begin, begin.detector
        self._head = head
        self._entry = entry
        self._sent = Sent()
        self._series: set[int] = set()
        self._told_s, self._alive_s = 0.0, -math.inf

    async def run(self, fetch: Fetch) -> None:
        """From fetching to the outcome, which the board and the topic know in the end."""
        try:
            await self._keep_alive()
            async for part in fetch():
                await self._send(part)
            await self._send_ends()
            await self._learned()
            state, reason = self._entry.state, self._entry.reason
        except Ended:
            state, reason = self._entry.state, self._entry.reason
        except TocsinError as error:
            state, reason = TrainingState.FAILED, _short(str(error))
        except Exception:
            log.exception("training %s", self._head.training_id)
            state, reason = TrainingState.FAILED, "unexpected error; the log of the api has it under the training's id"
        await self._end(state or TrainingState.FAILED, reason)

    async def _end(self, state: TrainingState, reason: str) -> None:
        """Say how it ended; what has not ended by itself in some partition is cancelled there."""
        try:
            if state is not TrainingState.DONE:
                await self._writer.mark_all(self._head, TrainingCancel(reason=reason))
            await self.tell(state, reason)
        except Unavailable as error:
            log.warning("training %s: its end could not be told: %s", self._head.training_id, error)
            self._head = self._changed(state, reason)
            self._writer.put(self._head)
        log.info("training %s of %s: %s %s", self._head.training_id, self._head.detector_id, state, reason)
        await self._writer.sweep()

    async def _send(self, part: TrainingHistory) -> None:
        self._check()
        await self._keep_alive()  # of parts without samples many may follow each other
        workers, tenant = self._workers, self._detector.config.tenant
        self._series.update(await workers.run(partial(part.series_hashes, tenant)))
        head, sent = self._head, self._sent
        self._head = head.model_copy(
            update={
                "series_matched": len(self._series), "series_unmatched": max(head.series_unmatched, part.unmatched),
                "duplicates": head.duplicates + part.duplicates, "samples": head.samples + part.samples,
            }
        )  # fmt: skip
        await self.tell(TrainingState.SENDING)
        window = window_of(self._detector)
        if head.home is not None:
            waiting = whole_steps(part, head.home, window // PIECES)
        else:
            waiting = pieces(part, tenant, head.partitions, window // PIECES)
        while (piece := await workers.run(partial(next, waiting, None))) is not None:
            await self._until(partial(self._has_room, piece, window))
            await self._writer.write(
                history_record(self._writer.topic, head.training_id, self._detector, piece.partition, piece.value)
            )
            sent.add(piece)
            await self._tell_sent()

    def _has_room(self, piece: Piece, window: int) -> bool:
        under_way = sum(self._sent.records.values()) - self._entry.records
        fits = under_way < PIECES and self._sent.total + piece.samples <= self._entry.came + window
        return fits or not under_way  # a step of many groups may be more than a window

    async def _send_ends(self) -> None:
        self._head = self._head.model_copy(update={"sent": self._sent.total})
        self._alive_s = math.inf  # who has been told the end must not begin anew
        await asyncio.gather(*(self._send_end(partition) for partition in self._head.places))
        await self.tell(TrainingState.LEARNING)

    async def _send_end(self, partition: int) -> None:
        head, sent = self._head, self._sent
        end = TrainingEnd(records=sent.records.get(partition, 0), samples=sent.samples.get(partition, 0))
        await self._writer.write(mark_record(self._writer.topic, head.training_id, head.detector_id, partition, end))

    async def _learned(self) -> None:
        """Until every partition has said that it is done."""
        await self._until(
            lambda: sum(part.state is PartState.DONE for part in self._entry.parts.values()) >= self._head.partitions
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for news until it holds. Raises ``Ended`` and, when the flow is silent for long, ``Unavailable``."""
        heard_s = time.monotonic()
        while True:
            self._check()
            if condition():
                return
            self._entry.changed.clear()
            try:
                async with asyncio.timeout(ALIVE_S):
                    await self._entry.changed.wait()
                heard_s = time.monotonic()
            except TimeoutError as error:
                if time.monotonic() - heard_s > PATIENCE_S:
                    message = f"the flow has said nothing for {PATIENCE_S:.0f} s"
                    raise Unavailable(message) from error
                await self._keep_alive()

    def _check(self) -> None:
        """Raise ``Ended`` if it was cancelled or has failed in some partition."""
        if self._entry.state in (TrainingState.FAILED, TrainingState.CANCELLED):
            raise Ended

    async def _keep_alive(self) -> None:
        """Let all partitions know that it goes on: some may get nothing for long while others are busy."""
        if time.monotonic() - self._alive_s >= ALIVE_S:
            self._alive_s = time.monotonic()
            await self._writer.mark_all(self._head, self._begin)
            self._begin = self._begin.model_copy(update={"again": True})

    async def _tell_sent(self) -> None:
        await self._keep_alive()
        if time.monotonic() - self._told_s >= TELL_S:
            self._head = self._head.model_copy(update={"sent": self._sent.total})
            await self.tell(TrainingState.SENDING)

    def _changed(self, state: TrainingState, reason: str) -> TrainingHead:
        return self._head.model_copy(update={"state": state, "reason": reason, "updated_ms": self._writer.now_ms()})

    async def tell(self, state: TrainingState, reason: str = "") -> None:
        """Write how far it is, and know it here at once."""
        self._told_s = time.monotonic()
        self._head = self._changed(state, reason)
        self._writer.put(self._head)
        await self._writer.write(self._writer.head_record(self._head))


def window_of(detector: Detector) -> int:
    """How many samples may be on their way to the flow at a time."""
    slow = KINDS[detector.config.kind].traits & {Trait.OBJECTS, Trait.PAUSES}
    return SLOW_WINDOW if slow else WINDOW


def _short(text: str) -> str:
    """Its beginning and its end."""
    half = MAX_REASON // 2
    return text if len(text) <= MAX_REASON else f"{text[:half]}…{text[1 - half :]}"
