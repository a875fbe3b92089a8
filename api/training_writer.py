"""What an api process writes of trainings: what it says of them, and what the partitions are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.settings import ApiSettings
from api.training_board import TrainingBoard
from api.training_sweep import sweep
from api.writer import Writer
from connectors.messages import OutRecord
from connectors.training import Mark, TrainingHead, mark_record


class TrainingWriter:
    """Writes to Kafka, and lets this process know at once; all of it runs on the event loop."""

    def __init__(self, settings: ApiSettings, now_ms: Callable[[], int], board: TrainingBoard) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._board = board
        self._writer = Writer(settings, "tocsin-training")

    def put(self, head: TrainingHead) -> None:
        """Let this process know at once what is written."""
        self._board.put(head)

    def now_ms(self) -> int:
        """Wall clock."""
        return self._now_ms()

    def head_record(self, head: TrainingHead) -> OutRecord:
        """What this process says of a training."""
        return OutRecord(self._settings.topics.status, head.key, head.encode(), [])

    async def mark_all(self, head: TrainingHead, mark: Mark) -> None:
        """Tell every partition that takes part the same."""
        topic = self._settings.topics.metrics
        records = (mark_record(topic, head.training_id, head.detector_id, partition, mark) for partition in head.places)
        await asyncio.gather(*(self.write(record) for record in records))

    async def write(self, record: OutRecord) -> None:
        """Until Kafka has confirmed; raises ``Unavailable``."""
        async with self._writer.deadline():
            await self._writer.write(record)

    async def sweep(self) -> None:
        """Take out of the topic what is old: each training that comes lets one go at least."""
        await sweep(self._board, self._now_ms(), self._settings.topics.status, self.write)

    @property
    def topic(self) -> str:
        """Where history stands."""
        return self._settings.topics.metrics

    async def stop(self) -> None:
        """End the writing."""
        await asyncio.to_thread(self._writer.stop)
