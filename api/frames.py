"""Many text messages by one write: what a thousand clients are sent is framed once.

ASGI sends one message at a time, and a server frames it anew for each client. Ours takes frames as they are
(``FRAMES``), which a tenth of the CPU is enough for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from fastapi import WebSocket

FRAMES = "tocsin.frames"
"""Key of a ``websocket.send`` with frames, whole and in order."""
TEXT, FINAL = 0x1, 0x80
SHORT, MIDDLE = 125, 0xFFFF
"""Longest payloads with 1 and 3 bytes of length (RFC 6455, 5.2)."""
FRAMED = 128
"""Texts whose frames are remembered: more than what is told to many between two writes."""


async def send_frames(socket: WebSocket, texts: Iterable[str]) -> None:
    """Send texts in their order; waits while the client does not read. Raises ``WebSocketDisconnect``."""
    await socket.send({"type": "websocket.send", FRAMES: b"".join(map(frame_of, texts))})


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
