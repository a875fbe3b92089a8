"""A server that takes all connections which wait, and not one for each turn of its loop.

libuv, which uvloop stands on, accepts one connection in a turn. While the ones that are there keep the loop busy a turn
takes as long as all their answers, so that the last of fifty clients who come at once waits for a thousand answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import uvicorn

MOST_AT_ONCE = 100
"""Connections of one turn, as many as the standard loop accepts: then those that are there are heard again."""


class AcceptingServer(uvicorn.Server):
    """Accepts what waits besides the connection that the loop itself accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._waiting: list[socket.socket] = []
        self._opening: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, with a second look at each of its sockets."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                waiting = socket.socket(fileno=os.dup(listening.fileno()))  # the loop does not share its own
                waiting.setblocking(False)
                self._waiting.append(waiting)
                loop.add_reader(waiting.fileno(), self._accept, waiting)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, then as uvicorn does."""
        for waiting in self._waiting:
            asyncio.get_running_loop().remove_reader(waiting.fileno())
            waiting.close()
        self._waiting.clear()
        await super().shutdown(sockets)

    def _accept(self, waiting: socket.socket) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                connection, _ = waiting.accept()
            except OSError:  # nobody waits, or one has gone again; what is amiss with the socket the loop tells
                return
            connection.setblocking(False)
            task = asyncio.ensure_future(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone before it was heard
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes it."""
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made
