"""Over real sockets, against a real uvicorn with the protocol of ingest and api."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

import pytest
import uvicorn
import websockets.sync.client

from connectors.http_protocol import MAX_HEADER_BYTES, BoundedHttpProtocol
from tests.processes import wait_until

DEADLINE_S = 20.0
SHORT_S = 0.3


class App:
    """Answers 200 with the length of the body; ``/early`` before it is read, ``/held`` once ``go_on`` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.gone: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.echo(receive, send)
            return
        size, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.append(scope["path"])
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/held":
            await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body", "body": b"%7d" % size})

    async def echo(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


class Running:
    """The server, its application, and the loop in which both run."""

    def __init__(self, app: App, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.port = port
        self.loop = loop

    @contextmanager
    def connected(self, sent: bytes = b"") -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            connection.sendall(sent)
            yield connection

    def answer(self, sent: bytes) -> bytes:
        """All that comes until the server ends the connection."""
        with self.connected(sent) as connection:
            return everything(connection)

    def time_passes(self) -> None:
        """Wait as long as the server gives a silent client."""
        assert self.answer(b"") == b""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(BoundedHttpProtocol, "header_timeout_s", SHORT_S)
    app = App()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=BoundedHttpProtocol, ws="websockets-sansio", lifespan="off",
        log_config=None, timeout_graceful_shutdown=5, timeout_keep_alive=60,
    )  # fmt: skip
    running = uvicorn.Server(config)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await running.serve()

    def run() -> None:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: running.started, DEADLINE_S, "the server to listen")
        yield Running(app, running.servers[0].sockets[0].getsockname()[1], loops[0])
    finally:
        running.should_exit = True
        thread.join()


def everything(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65_536):
        found += piece
    return found


def dribble(connection: socket.socket, piece: bytes) -> bytes:
    """Send the piece over and over, with pauses, until the server says something or ends the connection."""
    deadline_s = time.monotonic() + DEADLINE_S
    connection.settimeout(SHORT_S / 10)
    while time.monotonic() < deadline_s:
        try:
            connection.sendall(piece)
            return connection.recv(65_536)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    pytest.fail("the server lets this go on for ever")


def flood(connection: socket.socket, limit_bytes: int) -> bytes:
    """Send without end until the server answers; the answer."""
    sent_bytes = 0
    while sent_bytes < limit_bytes:
        connection.sendall(b"a" * 65_536)
        sent_bytes += 65_536
        connection.setblocking(False)
        try:
            return connection.recv(65_536)
        except BlockingIOError:
            connection.settimeout(DEADLINE_S)
    pytest.fail(f"{sent_bytes} bytes were taken")


HEAD = b"GET /x HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize(
    "start",
    [
        HEAD + b"X-A: ",
        HEAD + b"X-",
        b"GET /",
        CHUNKED + b"3;x=",
        CHUNKED + b"0\r\nX-A: ",
    ],
    ids=["header value", "header name", "path", "chunk extension", "trailer"],
)
def test_what_is_no_body_and_never_ends_is_answered_431(server: Running, start: bytes) -> None:
    with server.connected(start) as connection:
        answer = flood(connection, 100 * 1024 * 1024)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in head
    assert json.loads(body)["reason"] == "header_too_large"


def test_an_application_that_reads_learns_that_its_client_is_refused(server: Running) -> None:
    with server.connected(CHUNKED + b"0\r\nX-A: ") as connection:
        flood(connection, 100 * 1024 * 1024)
        wait_until(lambda: server.app.gone == ["/x"], DEADLINE_S, "the application to stop reading")


def test_a_large_header_that_comes_at_once(server: Running) -> None:
    fits = HEAD + b"Connection: close\r\nX-A: " + b"a" * (MAX_HEADER_BYTES - 100) + b"\r\n\r\n"
    assert server.answer(fits).startswith(b"HTTP/1.1 200 ")
    for large in (b"X-A: " + b"a" * MAX_HEADER_BYTES + b"\r\n", b"X-A: b\r\n" * (MAX_HEADER_BYTES // 8)):
        assert server.answer(HEAD + large + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_has_a_json_answer(server: Running) -> None:
    answer = server.answer(b"\x16\x03\x01\x02\x00\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "bad_http"


def test_a_body_is_no_header_however_small_its_chunks(server: Running) -> None:
    pieces = b"1\r\na\r\n" * 20_000
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.answer(head + pieces + b"0\r\n\r\n").endswith(b"  20000")
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n"
    assert server.answer(head + b"a" * 3_000_000).endswith(b"3000000")


@pytest.mark.parametrize("start", [b"", HEAD + b"X-A: ", b"GET"])
def test_a_client_that_owes_a_header_is_not_waited_for(server: Running, start: bytes) -> None:
    assert server.answer(start) == b""


@pytest.mark.parametrize(("start", "piece"), [(HEAD + b"X-A: ", b"a"), (b"", b"\r\n")])
def test_a_header_that_comes_byte_by_byte_is_not_waited_for(server: Running, start: bytes, piece: bytes) -> None:
    with server.connected(start) as connection:
        assert dribble(connection, piece) == b""


def test_a_body_that_goes_on_after_the_answer_is_not_waited_for(server: Running) -> None:
    with server.connected(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\na") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert dribble(connection, b"a") == b""


def test_an_answer_may_take_longer_than_a_header(server: Running) -> None:
    with server.connected(b"GET /held HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        server.time_passes()
        server.loop.call_soon_threadsafe(server.app.go_on.set)
        assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_rests_between_requests_is_kept(server: Running) -> None:
    with server.connected(HEAD + b"\r\n") as connection:
        for _ in range(3):
            answer = HTTPResponse(connection)  # it may come in several pieces
            answer.begin()
            assert answer.status == HTTPStatus.OK
            answer.read()
            server.time_passes()
            connection.sendall(HEAD + b"\r\n")


def test_a_websocket_owes_no_header(server: Running) -> None:
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/") as client:
        server.time_passes()
        client.send("still here")
        assert client.recv(DEADLINE_S) == "still here"
