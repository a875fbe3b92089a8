"""Starts and cancels trainings of this process; ``api/training_sender.py`` sends the history of each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from api.meters import ApiMeters
from api.settings import ApiSettings
from api.training import Training
from api.training_board import TrainingBoard
from api.training_sender import Fetch, Sender
from api.training_writer import TrainingWriter
from connectors.detector import Detector, Shape
from connectors.errors import Overloaded
from connectors.training import ENDED, TrainingBegin, TrainingCancel, TrainingHead, TrainingState, home_of
from connectors.workers import Workers

log = logging.getLogger(__name__)

MAX_RUNNING = 4
"""Of one api process, as many as a partition takes."""
THREADS = 2
"""For their history: sorting, hashing and encoding it. Each training waits for one at a time, so none is refused."""
CANCEL_TIMEOUT_S = 2.0
ID_BYTES = 8


class Trainer:
    """Starts and cancels trainings; all of it runs on the event loop."""

    def __init__(
        self, settings: ApiSettings, meters: ApiMeters, now_ms: Callable[[], int], board: TrainingBoard
    ) -> None:
        self._partitions = settings.partitions
        self._now_ms = now_ms
        self._board = board
        self._writer = TrainingWriter(settings, now_ms, board)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = 0
        self.workers = Workers("trainings", THREADS, 4 * MAX_RUNNING)
        meters.watch(self.workers)
        meters.trainings.under_way.set_function(lambda: len(self._tasks))

    async def start(self, detector: Detector, fetch: Fetch, signal: Shape | None = None) -> Training:
        """Begin to train a detector with what ``fetch`` gives; raises ``Overloaded`` and ``Unavailable``.

        Of groups ``signal`` says what members were turned into, if that is known.
        """
        if len(self._tasks) + self._starting >= MAX_RUNNING:
            message = f"{MAX_RUNNING} trainings run in this process, the most that there may be"
            raise Overloaded(message, retry_after_s=5)
        now_ms, partitions = self._now_ms(), self._partitions
        home = None if detector.config.group is None else home_of(detector.id, partitions)
        head = TrainingHead(
            training_id=f"t-{secrets.token_hex(ID_BYTES)}", detector_id=detector.id, revision=detector.revision,
            state=TrainingState.FETCHING, partitions=partitions if home is None else 1, home=home, started_ms=now_ms,
            updated_ms=now_ms,
        )  # fmt: skip
        self._starting += 1
        try:
            await self._writer.write(self._writer.head_record(head))
        finally:
            self._starting -= 1
        self._board.put(head)
        begin = TrainingBegin(detector=detector, signal=signal)
        sender = Sender(self._writer, self.workers, begin, head, self._board.entry(head.training_id))
        task = asyncio.create_task(sender.run(fetch), name=head.training_id)
        self._tasks[head.training_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(head.training_id, None))
        return self._told(head.training_id)

    async def cancel(self, head: TrainingHead, reason: str) -> Training:
        """End a training, wherever it runs; one that has ended stays as it is."""
        entry = self._board.entry(head.training_id)
        if entry.state not in ENDED:
            ended = head.model_copy(
                update={"state": TrainingState.CANCELLED, "reason": reason, "updated_ms": self._now_ms()}
            )
            await self._writer.mark_all(head, TrainingCancel(reason=reason))
            self._board.put(ended)
            await self._writer.write(self._writer.head_record(ended))
        return self._told(head.training_id)

    async def stop(self) -> None:
        """Cancel what runs here, as far as that takes no longer than a moment, and end the writing."""
        heads = [self._board.head_of(training_id) for training_id in self._tasks]
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        ends = (self.cancel(head, "the api was stopped") for head in heads if head is not None)
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await asyncio.gather(*tasks, *ends, return_exceptions=True)
        except TimeoutError:
            log.warning("trainings could not be cancelled: the flow will give them up")
        self.workers.stop()
        await self._writer.stop()

    def _told(self, training_id: str) -> Training:
        told = self._board.get(training_id)
        assert told is not None  # noqa: S101 - its head was put there
        return told
