"""What every HTTP request passes first: a request id, a bound for its body, and a count when it is answered.

HEAD is answered as GET is, by every address; the server leaves the body out.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.meters import ApiMeters
from api.problems import REQUEST_ID_HEADER

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
UNROUTED = "(none)"
"""Route label of requests to addresses that do not exist: their paths would be an unbounded label."""
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gate:
    """ASGI middleware; WebSockets pass untouched."""

    def __init__(self, app: ASGIApp, meters: ApiMeters, max_body_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._meters = meters
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: by the method in its own the server knows what to leave out
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500  # unless an answer begins: the server's own handler then answers 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, self._bounded(receive, state), tell)
        finally:
            known = method if method in KNOWN_METHODS else "other"
            self._meters.requests.labels(known, _route(scope), str(status)).inc()

    def _bounded(self, receive: Receive, state: dict[str, Any]) -> Receive:
        """Bound the body, and note in ``state`` how long it is so far."""
        read_bytes, whole = 0, False
        deadline_s = asyncio.get_running_loop().time() + self._body_timeout_s

        async def bounded() -> Message:
            nonlocal read_bytes, whole
            message = await (receive() if whole else self._in_time(receive, deadline_s))
            whole = not message.get("more_body", False)
            read_bytes += len(message.get("body", b""))
            state["body_bytes"] = read_bytes
            if read_bytes > self._max_body_bytes:
                detail = f"the body is larger than {self._max_body_bytes} bytes (TOCSIN_API_MAX_BODY_BYTES)"
                raise HTTPException(413, detail)
            return message

        return bounded

    async def _in_time(self, receive: Receive, deadline_s: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await receive()
        except TimeoutError as error:
            detail = f"the body was not whole within {self._body_timeout_s:g} s (TOCSIN_API_BODY_TIMEOUT_S)"
            raise HTTPException(408, detail, {"Connection": "close"}) from error


def _request_id(scope: Scope) -> str:
    """The caller's id if it is a harmless word, else a random one."""
    wanted = REQUEST_ID_HEADER.lower().encode()
    given = next((value for name, value in scope["headers"] if name == wanted), b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", UNROUTED))
