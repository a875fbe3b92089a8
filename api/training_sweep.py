"""Takes trainings out of ``tocsin.status`` that nobody asks for any more: compacted, it would keep them for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from api.training_board import Old, TrainingBoard
from connectors.errors import Unavailable
from connectors.messages import OutRecord
from connectors.training import head_key, part_key

log = logging.getLogger(__name__)

MAX_SWEPT = 100
"""At a time: each is one record more than there are partitions, and after each training there is a next time."""


async def sweep(board: TrainingBoard, now_ms: int, topic: str, write: Callable[[OutRecord], Awaitable[None]]) -> None:
    """Write empty values under the keys of what is old; what Kafka does not take waits for the next time.

    Several replicas may do the same: it does no harm.
    """
    for old in board.old(now_ms, MAX_SWEPT):
        try:
            await asyncio.gather(*(write(OutRecord(topic, key, None, [])) for key in _keys_of(old)))
        except Unavailable as error:
            log.warning("old trainings stay in %s for now: %s", topic, error)
            return
        board.take_out(old.training_id)


def _keys_of(old: Old) -> list[bytes]:
    return [head_key(old.training_id), *(part_key(old.training_id, number) for number in range(old.partitions))]
