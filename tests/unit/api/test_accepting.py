"""Clients that come at once are all heard at once, however busy those keep the server that are there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn

from api.accepting import AcceptingServer
from tests.brokers import free_port
from tests.processes import wait_until

NEW = 20
REQUEST = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
DEADLINE_S = 20.0


class Busy:
    """An application that notes who is answered, and lets nobody go on before the new clients have come."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.asked, self.go_on = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked.set()
        assert self.go_on.wait(DEADLINE_S)
        self.answered.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(app: Busy, loop: Any) -> Iterator[int]:
    port = free_port()
    server = AcceptingServer(uvicorn.Config(app, port=port, lifespan="off", log_config=None, loop=loop))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, DEADLINE_S, "the server has started")
        yield port
    finally:
        app.go_on.set()
        server.should_exit = True
        thread.join()


def ask(client: socket.socket, who: bytes) -> None:
    client.sendall(REQUEST % who)


def hear(client: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"ok"):
        more = client.recv(4096)
        assert more, answer
        answer += more
    return answer


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_all_who_come_at_once_are_answered_before_others_have_asked_again_and_again(loop: str) -> None:
    app = Busy()
    with serving(app, loop) as port, ExitStack() as stack:

        def connected() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))

        old, ended = connected(), threading.Event()
        ask(old, b"old")
        assert app.asked.wait(DEADLINE_S)
        new = [connected() for _ in range(NEW)]
        for client in new:
            ask(client, b"new")

        def ask_again() -> None:
            while not ended.is_set():
                hear(old)
                ask(old, b"old")

        again = threading.Thread(target=ask_again)
        again.start()
        app.go_on.set()
        assert all(hear(client).startswith(b"HTTP/1.1 200") for client in new)
        ended.set()
        again.join()
    last = max(number for number, who in enumerate(app.answered) if who == "/new")
    assert app.answered[:last].count("/new") == NEW - 1
    assert app.answered[:last].count("/old") < NEW // 2, app.answered
