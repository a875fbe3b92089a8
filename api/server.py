"""uvicorn as the api needs it: bounds for WebSocket clients, and an end when the process can no longer do its work."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response

from api.accepting import AcceptingServer
from api.frames import FRAMES
from api.problems import MEDIA_TYPE, REQUEST_ID_HEADER, Code, problem_of
from api.settings import ApiSettings
from connectors.http_answer import Answer
from connectors.http_protocol import HEADER_TOO_LARGE, KEEP_ALIVE_S, BoundedHttpProtocol, Refusal
from connectors.logs import CONNECTIONS_LOGGER

FAULTS_OF_CLIENTS = logging.getLogger(f"{CONNECTIONS_LOGGER}.faults")
"""What a connection tells of itself: all that a client does wrong, as an error with its traceback. The client is told;
the log, which it could fill, is not."""
UNSENT_BYTES = 1 << 18
"""What the kernel holds for a WebSocket client beside what is under way to it; some fifty long anomalies."""
SHUTDOWN_S = 5
"""Requests under way get so long to end when the process is asked to stop."""


class CuttingWebSocketProtocol(WebSocketsSansIOProtocol):
    """Takes whole frames, and cuts the connection when the application has ended while the client does not read.

    uvicorn closes the transport, which first waits for its buffer to drain: a client that never reads would keep its
    socket and buffer for ever.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        # two lines about every connection; they are counted in /metrics instead, as requests are
        self.logger = logging.getLogger(CONNECTIONS_LOGGER)
        self.conn.logger = FAULTS_OF_CLIENTS
        self._plain_refusal = self.conn.reject
        self.conn.reject = self._refusal  # type: ignore[method-assign]  # the library has no other way

    def _refusal(self, status: int, text: str) -> Response:
        """The answer to an upgrade that does not come about: the library's own, with a problem in place of its text."""
        plain, request_id = self._plain_refusal(status, text), secrets.token_hex(8)
        code = Code.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Code.BAD_REQUEST
        problem = problem_of(Code.FORBIDDEN if status == HTTPStatus.FORBIDDEN else code, text.strip(), "", request_id)
        body = problem.encode()
        told = {"Content-Length": str(len(body)), "Content-Type": MEDIA_TYPE, REQUEST_ID_HEADER: request_id}
        headers = Headers([(name, value) for name, value in plain.headers.raw_items() if name not in told])
        headers.update(told)
        return Response(problem.status, HTTPStatus(problem.status).phrase, headers, body)

    async def send(self, message: Any) -> None:
        """As uvicorn does; frames (``api.frames``) go out as they are, if the client is still there."""
        if FRAMES not in message:
            await super().send(message)
            return
        await self.writable.wait()
        if not self.write_frames(message[FRAMES]):
            raise ClientDisconnected

    def write_frames(self, frames: bytes) -> bool:
        """Write them now (``api.frames.Write``), unless the client does not read what it has, or is gone."""
        if self.close_sent or self.disconnected or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take no more of what a client does not read than it takes to keep it busy: the kernel would hold 4 MB."""
        super().connection_made(transport)
        wire = transport.get_extra_info("socket")
        if wire is not None and wire.family in {socket.AF_INET, socket.AF_INET6}:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    async def run_asgi(self) -> None:
        """Run the application, which may write frames at once."""
        extensions: Any = self.scope["extensions"]
        extensions[FRAMES] = self.write_frames
        await super().run_asgi()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has ended for this connection."""
        super().on_task_complete(task)
        if not self.writable.is_set():
            self.transport.abort()


class ProblemHttpProtocol(BoundedHttpProtocol):
    """Refuses as the application does: with a problem."""

    def refusal_answer(self, refusal: Refusal) -> Answer:
        """A refusal as the application would give it; the path is not known, nor the caller's own id."""
        code = Code.HEADER_TOO_LARGE if refusal is HEADER_TOO_LARGE else Code.BAD_REQUEST
        request_id = secrets.token_hex(8)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
        return Answer(refusal.status, headers, problem_of(code, refusal.message, "", request_id).encode())


def make_server(app: FastAPI, settings: ApiSettings) -> uvicorn.Server:
    """A server for the app on the host and port of the settings, logging through the root logger."""
    FAULTS_OF_CLIENTS.setLevel(logging.CRITICAL)
    logging.getLogger(CONNECTIONS_LOGGER).addFilter(_is_ours)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.api_port,
        log_config=None,
        access_log=False,  # counted in /metrics instead
        server_header=False,
        http=ProblemHttpProtocol,
        ws=CuttingWebSocketProtocol,
        ws_max_size=settings.api_max_socket_message_bytes,
        ws_ping_interval=settings.api_ping_interval_s,
        ws_ping_timeout=settings.api_ping_timeout_s,
        ws_per_message_deflate=False,  # 300 kB and a compression per client and message, for loopback and LAN
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return AcceptingServer(config)


def run_server(server: uvicorn.Server) -> None:
    """Serve until SIGINT, SIGTERM or ``server.should_exit``."""
    with suppress(KeyboardInterrupt):
        server.run()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is more than a fault of a client that uvicorn tells of through the same logger as of ours."""
    return not str(record.msg).startswith("Invalid UTF-8")
