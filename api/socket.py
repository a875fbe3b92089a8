"""``/api/ws``: subscriptions and events. Two tasks per connection, and nobody ever waits for a client's network."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from api.context import ANOMALIES, Context
from api.feed import Client
from api.socket_messages import (
    ALL_ANOMALIES,
    CLIENT_MESSAGE,
    CLOSE_BUSY,
    CLOSE_POLICY,
    CLOSE_SLOW,
    MAX_TOPICS,
    TOPIC_FORMS,
    ClientMessage,
    ErrorCode,
    Ping,
    Pong,
    SocketError,
    Subscribe,
    Subscribed,
    Unsubscribe,
    is_of_anomalies,
)
from connectors.errors import Overloaded
from connectors.messages import Message

router = APIRouter()


@router.websocket("/api/ws")
async def serve(socket: WebSocket) -> None:
    """One client from its upgrade to its end."""
    context: Context = socket.app.state.context
    if not may_open(socket.headers.get("origin"), socket.headers.get("host", ""), context.settings.origins):
        context.meters.closed_clients.labels("origin").inc()
        await socket.close(CLOSE_POLICY)  # before it is accepted, which makes it an HTTP 403
        return
    await socket.accept()
    try:
        client = context.feed.join()
    except Overloaded as error:
        context.meters.closed_clients.labels("too_many").inc()
        await socket.close(CLOSE_BUSY, str(error)[:120])
        return
    try:
        await _converse(socket, client, context)
    finally:
        context.feed.leave(client)


def may_open(origin: str | None, host: str, allowed: Container[str]) -> bool:
    """Whether a page of this origin may connect: one that this host served, or an allowed one.

    A browser lets any page open a WebSocket to any host and says only whose page it is; it cannot be made to lie about
    that. Whoever names no origin is no browser.
    """
    if origin is None or "*" in allowed:
        return True
    own = origin.lower().partition("://")[2]
    return (own != "" and own == host.lower()) or origin.lower() in allowed


async def _converse(socket: WebSocket, client: Client, context: Context) -> None:
    """Read, write and watch for slowness until the first of them ends."""
    tasks = [
        asyncio.create_task(_read(socket, client, context)),
        asyncio.create_task(_write(socket, client, context)),
        asyncio.create_task(client.slow.wait()),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[2] in done:
        await _close_slow(socket, context)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _close_slow(socket: WebSocket, context: Context) -> None:
    """Send the close frame behind what is under way; whoever does not even read that is cut off by the server."""
    context.meters.closed_clients.labels("slow").inc()
    with suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(context.settings.api_slow_close_s):
            await socket.close(CLOSE_SLOW, "too slow: connect again and load GET /api/anomalies")


async def _write(socket: WebSocket, client: Client, context: Context) -> None:
    while True:
        await socket.send_text(await client.next())
        context.meters.sent_messages.inc()


async def _read(socket: WebSocket, client: Client, context: Context) -> None:
    """Answer every message through the client's queue, so that answers and events keep their order.

    Between two messages others have their turn, for ``receive`` does not wait while more of them are there; whoever
    does not read the answers is asked no more.
    """
    while not client.slow.is_set():
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        client.offer(_answer(received.get("text"), client, context).model_dump_json())
        await asyncio.sleep(0)


def _answer(text: str | None, client: Client, context: Context) -> Message:
    if text is None:
        return SocketError(code=ErrorCode.BAD_MESSAGE, detail="binary message: send JSON as text")
    try:
        message = CLIENT_MESSAGE.validate_json(text)
    except ValidationError as error:
        return _refusal(error)
    return _obey(message, client, context)


def _obey(message: ClientMessage, client: Client, context: Context) -> Message:
    match message:
        case Ping():
            return Pong()
        case Subscribe(topics=topics) if any(map(is_of_anomalies, topics)) and not context.loaded(ANOMALIES):
            return SocketError(code=ErrorCode.NOT_READY, detail="the api still reads its topics: ask again in a second")
        case Subscribe(topics=topics) if len(client.topics | set(topics)) > MAX_TOPICS:
            detail = f"topics: a client has up to {MAX_TOPICS}: unsubscribe some, or take {ALL_ANOMALIES}"
            return SocketError(code=ErrorCode.TOO_MANY_TOPICS, detail=detail)
        case Subscribe(topics=topics):
            client.topics |= set(topics)
        case Unsubscribe(topics=topics):
            client.topics -= set(topics)
    return Subscribed(topics=sorted(client.topics))


def _refusal(error: ValidationError) -> SocketError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "json_invalid":
            return SocketError(code=ErrorCode.BAD_JSON, detail=first["msg"])
        case "union_tag_invalid" | "union_tag_not_found":
            detail = "type: must be one of subscribe, unsubscribe, ping"
            return SocketError(code=ErrorCode.UNKNOWN_TYPE, detail=detail)
        case "string_pattern_mismatch" if "topics" in where:
            known = ", ".join(TOPIC_FORMS)
            detail = f"{where}: {str(first['input'])[:100]!r} is not a topic; there are: {known}"
            return SocketError(code=ErrorCode.UNKNOWN_TOPIC, detail=detail)
        case _:
            return SocketError(code=ErrorCode.BAD_MESSAGE, detail=f"{where or 'message'}: {first['msg']}")
