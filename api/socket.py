"""``/api/ws``: subscriptions and events. Two tasks per connection, and nobody ever waits for a client's network."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Container
from contextlib import suppress
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Response, WebSocket, WebSocketDisconnect

from api.client import Client
from api.context import Context
from api.frames import send_frames, write_of
from api.problems import MEDIA_TYPE, REQUEST_ID_HEADER, Code, problem_of
from api.socket_answers import answer_to
from api.socket_messages import CLOSE_BUSY, CLOSE_SLOW
from connectors.errors import Overloaded
from connectors.settings import authority

router = APIRouter()


@router.websocket("/api/ws")
async def serve(socket: WebSocket) -> None:
    """One client from its upgrade to its end."""
    context: Context = socket.app.state.context
    if not may_open(socket.headers.get("origin"), socket.headers.get("host", ""), context.settings.origins):
        context.meters.sockets.closed.labels("origin").inc()
        detail = f"Origin: {socket.headers.get('origin', '')[:200]}: its pages may not open a WebSocket here"
        await socket.send_denial_response(_refusal(socket, Code.FORBIDDEN, detail))
        return
    await socket.accept()
    try:
        client = context.feed.join(_peer(socket), context.now_ms())
    except Overloaded as error:
        context.meters.sockets.closed.labels("too_many").inc()
        await socket.close(CLOSE_BUSY, str(error)[:120])
        return
    client.write = write_of(socket)
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


@router.get("/api/ws", include_in_schema=False)
async def refuse_plain() -> None:
    """No WebSocket was asked for."""
    detail = "there is a WebSocket here, and no upgrade to one was asked for"
    raise HTTPException(HTTPStatus.UPGRADE_REQUIRED, detail, {"Upgrade": "websocket", "Connection": "Upgrade"})


@router.websocket("/{path:path}")
async def refuse(socket: WebSocket) -> None:
    """Any other address has no WebSocket."""
    detail = f"WebSocket {socket.url.path[:200]}: connect to /api/ws"
    await socket.send_denial_response(_refusal(socket, Code.NOT_FOUND, detail))


def _refusal(socket: WebSocket, code: Code, detail: str) -> Response:
    """The answer to an upgrade that does not come about, which is HTTP still."""
    request_id = secrets.token_hex(8)
    problem = problem_of(code, detail, socket.url.path, request_id)
    return Response(problem.encode(), problem.status, {REQUEST_ID_HEADER: request_id}, MEDIA_TYPE)


def _peer(socket: WebSocket) -> str:
    return authority(socket.client.host, socket.client.port) if socket.client is not None else ""


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
    context.meters.sockets.closed.labels("slow").inc()
    with suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(context.settings.api_slow_close_s):
            await socket.close(CLOSE_SLOW, "too slow: connect again and load GET /api/anomalies")


async def _write(socket: WebSocket, client: Client, context: Context) -> None:
    while True:
        texts = await client.taken()
        await send_frames(socket, texts)
        client.sent += len(texts)
        context.meters.sockets.sent.inc(len(texts))


async def _read(socket: WebSocket, client: Client, context: Context) -> None:
    """Answer every message through the client's queue, so that answers and events keep their order.

    Between two messages others have their turn, for ``receive`` does not wait while more of them are there; whoever
    does not read the answers is asked no more.
    """
    while not client.slow.is_set():
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        client.answer(answer_to(received.get("text"), client, context).model_dump_json())
        await asyncio.sleep(0)
