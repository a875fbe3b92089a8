"""Many text messages by one write: what a thousand clients are sent is framed and put together once.

ASGI sends one message at a time, and a server frames it anew for each client. Ours takes frames as they are
(``FRAMES``), which a tenth of the CPU is enough for; and from whoever tells a thousand clients at a time it takes them
at once (``Write``), without a turn of the loop for each client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fastapi import WebSocket

FRAMES = "tocsin.frames"
"""Key of a ``websocket.send`` with frames, whole and in order, and of the extension of ASGI that is a ``Write``."""
Write = Callable[[bytes], bool]
"""Takes whole frames, or says that the client does not read, or is gone, and takes nothing."""
TEXT, FINAL = 0x1, 0x80
SHORT, MIDDLE = 125, 0xFFFF
"""Longest payloads with 1 and 3 bytes of length (RFC 6455, 5.2)."""
FRAMED, JOINED = 128, 4
"""Texts whose frames are remembered, more than what is told to many between two writes, and such writes."""


async def send_frames(socket: WebSocket, texts: tuple[str, ...]) -> None:
    """Send texts in their order; waits while the client does not read. Raises ``WebSocketDisconnect``."""
    await socket.send({"type": "websocket.send", FRAMES: frames_of(texts)})


def write_of(socket: WebSocket) -> Write | None:
    """How to write to a client at once; None where the server is not ours."""
    found: Write | None = socket.scope.get("extensions", {}).get(FRAMES)
    return found


@lru_cache(JOINED)
def frames_of(texts: tuple[str, ...]) -> bytes:
    """Text messages as a server sends them, one after the other."""
    return b"".join(map(frame_of, texts))


@lru_cache(FRAMED)
def frame_of(text: str) -> bytes:
    """A text message as a server sends it: one frame, without mask."""
    payload = text.encode()
    size = len(payload)
    if size <= SHORT:
        return bytes((FINAL | TEXT, size)) + payload
    if size <= MIDDLE:
        return bytes((FINAL | TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((FINAL | TEXT, 127)) + size.to_bytes(8, "big") + payload
