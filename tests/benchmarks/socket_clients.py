"""A thousand WebSocket clients in one process: only as much of RFC 6455 as they need, so that they cost little.

``python -m tests.benchmarks.socket_clients HOST PORT CLIENTS STUCK`` connects, subscribes to all anomalies and prints
``ready``. A line of standard input that holds N waits until all but the stuck have heard N anomalies, or for the
deadline; then a line of JSON says what was heard: latencies from the ``start_ms`` of each anomaly, which is when it was
due, and how many were lost or came twice. Stuck clients subscribe and then never read.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any

import numpy as np
import uvloop

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
DEADLINE_S = 30.0
LOOK_S = 0.05
CONNECTING = 50
"""Connections that are made at a time."""
STUCK_BYTES = 4096
"""Room that the kernel has for a stuck client, so that its server soon meets it."""
SUBSCRIBE = b'{"type": "subscribe", "topics": ["anomalies"]}'
DUE, NUMBER = b'"start_ms":', b'"id":"'


def frame(opcode: int, payload: bytes) -> bytes:
    """A frame of a client, whose mask is 0; up to 125 bytes."""
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


class Heard:
    """What all clients heard."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.twice = 0
        self.closed = 0


class Client(asyncio.Protocol):
    """One client; ``subscribed`` is done when the server has said so."""

    def __init__(self, heard: Heard, *, stuck: bool) -> None:
        self._heard, self.stuck = heard, stuck
        self.numbers: set[bytes] = set()
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._upgraded = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self._transport.write(
            f"GET /api/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dG9jc2luLWJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's own name
        """Count it; a stuck client is expected to be cut off."""
        self._heard.closed += not self.stuck
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError("closed before it was subscribed"))

    def data_received(self, data: bytes) -> None:
        """Take whole frames; keep the rest."""
        now_ms = time.time() * 1000.0
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self._upgraded:
            at = buffer.find(b"\r\n\r\n") + 4
            if at < 4:
                self._buffer = buffer
                return
            self._upgraded = True
            self._transport.write(frame(TEXT, SUBSCRIBE))
        while (head := header(buffer, at)) is not None:
            opcode, begin, end = head
            if end > len(buffer):
                break
            self._take(opcode, buffer, begin, end, now_ms)
            at = end
        self._buffer = buffer[at:]

    def _take(self, opcode: int, buffer: bytes, begin: int, end: int, now_ms: float) -> None:
        if opcode == PING:
            self._transport.write(frame(PONG, buffer[begin:end]))
        elif opcode == TEXT and not self.subscribed.done():
            self.subscribed.set_result(None)
            if self.stuck:
                self._transport.pause_reading()
        elif opcode == TEXT:
            self._hear(buffer, begin, end, now_ms)

    def _hear(self, buffer: bytes, begin: int, end: int, now_ms: float) -> None:
        due = buffer.find(DUE, begin, end) + len(DUE)
        number = buffer.find(NUMBER, begin, end) + len(NUMBER)
        name = buffer[number : number + 32]
        self._heard.twice += name in self.numbers
        self.numbers.add(name)
        self._heard.latencies_ms.append(now_ms - int(buffer[due : due + 13]))


def header(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """Opcode, begin and end of the payload of a server's frame; None while its header is not whole."""
    if len(buffer) < at + 2:
        return None
    size, begin = buffer[at + 1], at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(buffer) < begin + width:
            return None
        size, begin = int.from_bytes(buffer[begin : begin + width], "big"), begin + width
    return buffer[at] & 0x0F, begin, begin + size


async def serve(host: str, port: int, clients: int, stuck: int) -> None:
    """Connect all, then answer each line."""
    loop, heard, gate = asyncio.get_running_loop(), Heard(), asyncio.Semaphore(CONNECTING)
    all_clients = [Client(heard, stuck=number < stuck) for number in range(clients)]

    async def connect(client: Client) -> None:
        async with gate:
            wire = socket.socket()
            wire.setblocking(False)
            if client.stuck:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STUCK_BYTES)
            await loop.sock_connect(wire, (host, port))
            await loop.create_connection(lambda: client, sock=wire)
            await asyncio.wait_for(client.subscribed, DEADLINE_S)

    await asyncio.gather(*map(connect, all_clients))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await hear(heard, all_clients[stuck:], int(line))), flush=True)


async def hear(heard: Heard, clients: list[Client], wanted: int) -> dict[str, float]:
    """Wait for so many anomalies at every client, and say how it went."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s and any(len(client.numbers) < wanted for client in clients):
        await asyncio.sleep(LOOK_S)
    found = np.array(heard.latencies_ms or [np.nan])
    return {
        "heard": len(heard.latencies_ms),
        "lost": sum(wanted - len(client.numbers) for client in clients),
        "twice": heard.twice,
        "closed": heard.closed,
        **{f"p{q}_ms": float(np.percentile(found, q)) for q in (50, 95, 99)},
        "max_ms": float(found.max()),
        "client_cpu_s": time.process_time(),
    }


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
