"""``/api/dead-letters``: records that the flow could not read, with their reasons, and the way back to their topic."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import Field

from api.dead_letter import DeadLetter, Opened, replay_of, shown_letter
from api.dead_letter_log import DeadLetterLog
from api.holding import Holding
from api.json_route import JSON, JsonRoute
from api.problems import ApiError, Code
from api.router import Router
from connectors.messages import Message
from connectors.received import Received

router = Router(prefix="/api/dead-letters", tags=["dead letters"], route_class=JsonRoute)

MAX_OFFSET = 10**18
Partition = Annotated[int, Path(ge=0, le=10**6)]
Offset = Annotated[int, Path(ge=0, le=MAX_OFFSET)]


class DeadLetterPage(Message):
    """Some dead letters, newest first. A page may have fewer than asked for, even none, and yet a next one."""

    dead_letters: list[DeadLetter]
    next: Annotated[int | None, Field(description="give it as ``before`` to get the following page; null at the end")]


class OpenedLetter(DeadLetter):
    """A dead letter with what stands in it."""

    headers: Annotated[list[tuple[str, str]], Field(description="of the record in the dead-letter topic")]
    value: Annotated[str | None, Field(description="the record as it came, base64")]
    decoded: Annotated[Opened | None, Field(description="what can be read of it; null without a value")]


class Replayed(Message):
    """Where the record was written once more."""

    topic: str
    partition: int
    replay_of: Annotated[str, Field(description="partition and offset of the dead letter; header tocsin-replay-of")]


@router.get("", response_model=DeadLetterPage)
async def list_dead_letters(
    context: Holding,
    limit: Annotated[int, Query(ge=1, le=200, description="dead letters on a page")] = 20,
    before: Annotated[int | None, Query(ge=0, le=MAX_OFFSET, description="``next`` of the page before")] = None,
    reason: Annotated[str | None, Query(max_length=100, description="how the reason begins")] = None,
) -> Response:
    """Records that could not be read, newest first, as long as Kafka keeps them; up to a second ago."""

    def wanted(record: Received) -> bool:
        return shown_letter(record).reason.startswith(reason or "")

    async def work() -> bytes:
        found = await context.dead_letters.newest(
            before, limit, lambda record: shown_letter(record).reason.startswith(reason or "")
        )
        return DeadLetterPage(dead_letters=[shown_letter(one) for one in found.records], next=found.next).encode()

    key = ("dead letters", limit, before, reason)
    return Response(await context.shared.answer(key, None, work), media_type=JSON)


@router.get("/{partition}/{offset}", response_model=OpenedLetter)
async def read_dead_letter(partition: Partition, offset: Offset, context: Holding) -> Response:
    """One of them with its headers and its bytes, and what can be read of these."""

    async def work() -> bytes:
        record = await _existing(context.dead_letters, partition, offset)
        return await asyncio.to_thread(lambda: _opened(record).encode())

    return Response(await context.shared.answer(("dead letter", partition, offset), None, work), media_type=JSON)


@router.post("/{partition}/{offset}/replay")
async def replay_dead_letter(partition: Partition, offset: Offset, context: Holding) -> Replayed:
    """Write the record to the topic and partition where it came from, once more; answered once Kafka has confirmed.

    Of use after an update by which it can be read. It is marked as a replay; should it still not be readable, it comes
    back as a dead letter with ``replay_of``.
    """
    record = await _existing(context.dead_letters, partition, offset)
    topics = context.settings.topics
    made = replay_of(record, (topics.metrics,))
    if isinstance(made, str):
        message = f"dead letter {partition}/{offset}: {made}"
        raise ApiError(Code.NOT_REPLAYABLE, message)
    async with context.replays.deadline():
        await context.replays.write(made)
    return Replayed(topic=made.topic, partition=made.partition or 0, replay_of=f"{partition}/{offset}")


async def _existing(log: DeadLetterLog, partition: int, offset: int) -> Received:
    record = await log.get(partition, offset)
    if record is None:
        message = f"dead letter {partition}/{offset} does not exist, or is not kept any more"
        raise ApiError(Code.NOT_FOUND, message)
    return record


def _opened(record: Received) -> OpenedLetter:
    value = record.value
    return OpenedLetter(
        **shown_letter(record).model_dump(),
        headers=[(name, content.decode(errors="replace")) for name, content in record.headers],
        value=base64.b64encode(value).decode() if value is not None else None,
        decoded=Opened.of(value, dict(record.headers)) if value is not None else None,
    )
