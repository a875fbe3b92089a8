"""What every HTTP request passes first: a request id, a bound for its body, a count and a line when it is answered.

HEAD is answered as GET is, by every address; the server leaves the body out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.meters import ApiMeters
from api.problems import REQUEST_ID_HEADER
from connectors.logs import REQUEST_ID as SERVED
from connectors.probes import PATHS as PROBES

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
UNROUTED = "(none)"
"""Route label of requests to addresses that do not exist: their paths would be an unbounded label."""
MAX_PATH = 200
"""Of a path so much is written to the log."""
log = logging.getLogger(__name__)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Limit(NamedTuple):
    """How large a body may be, and the setting that says so."""

    most_bytes: int
    setting: str

    def check(self, size_bytes: int) -> None:
        """Raises ``HTTPException`` for what is larger."""
        if size_bytes > self.most_bytes:
            detail = f"the body is larger than {self.most_bytes} bytes ({self.setting})"
            raise HTTPException(413, detail)


class Gate:
    """ASGI middleware; WebSockets pass untouched."""

    def __init__(
        self, app: ASGIApp, meters: ApiMeters, limit_of: Callable[[str], Limit], body_timeout_s: float
    ) -> None:
        self._app = app
        self._meters = meters
        self._limit_of = limit_of
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
        began_s, served = time.monotonic(), SERVED.set(request_id)

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, self._bounded(receive, scope, self._limit_of(scope["path"])), tell)
        finally:
            known = method if method in KNOWN_METHODS else "other"
            self._meters.http.requests.labels(known, _route(scope), str(status)).inc()
            _write_line(method, scope["path"], status, time.monotonic() - began_s)
            SERVED.reset(served)

    def _bounded(self, receive: Receive, scope: Scope, limit: Limit) -> Receive:
        """Bound the body, of which nothing is asked for if it says itself that it is too large.

        How long it is so far is noted in the scope's ``state``.
        """
        state, declared_bytes, read_bytes, whole = scope["state"], _declared_bytes(scope), 0, False
        deadline_s = asyncio.get_running_loop().time() + self._body_timeout_s

        async def bounded() -> Message:
            nonlocal read_bytes, whole
            limit.check(declared_bytes)
            message = await (receive() if whole else self._in_time(receive, deadline_s))
            whole = not message.get("more_body", False)
            read_bytes += len(message.get("body", b""))
            state["body_bytes"] = read_bytes
            limit.check(read_bytes)
            return message

        return bounded

    async def _in_time(self, receive: Receive, deadline_s: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await receive()
        except TimeoutError as error:
            detail = f"the body was not whole within {self._body_timeout_s:g} s (TOCSIN_API_BODY_TIMEOUT_S)"
            raise HTTPException(408, detail, {"Connection": "close"}) from error


def _write_line(method: str, path: str, status: int, took_s: float) -> None:
    """One line per request; probes come every few seconds and are worth none, unless they fail or all is wanted."""
    level = logging.DEBUG if path in PROBES and status < 400 else logging.INFO
    extra = {"status": status, "duration_ms": round(1000 * took_s, 1)}
    log.log(level, "%s %s", method, path[:MAX_PATH], extra=extra)


def _request_id(scope: Scope) -> str:
    """The caller's id if it is a harmless word, else a random one."""
    given = _header(scope, REQUEST_ID_HEADER.lower().encode())
    if REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"{random.getrandbits(64):016x}"


def _declared_bytes(scope: Scope) -> int:
    """The length of the body by its header, whose form the server has checked; 0 where it is not known."""
    return int(_header(scope, b"content-length") or 0)


def _header(scope: Scope, wanted: bytes) -> bytes:
    """Value of the first header of this name, which is in small letters; empty if there is none."""
    found: bytes = next((value for name, value in scope["headers"] if name == wanted), b"")
    return found


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", UNROUTED))
