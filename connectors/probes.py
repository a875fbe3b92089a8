"""/alive, /ready, /health and /metrics: what a process says of itself, and a server for one that has no other."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from connectors.http_answer import Answer, method_not_allowed, not_found
from connectors.messages import Message
from connectors.settings import is_ipv6

SHUTDOWN_POLL_S = 60.0
"""How often the serving thread looks whether it should end; a process that serves probes ends with its process."""
REQUEST_TIMEOUT_S = 10.0
"""A client that says nothing for so long gives its thread back."""
MAX_BODY_BYTES = 64 * 1024
"""No probe takes a body; so much of one is read, so that its sender reads the answer."""
_log = logging.getLogger(__name__)


class Status(StrEnum):
    """How a part is doing: degraded does its work within limits, down does not."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class Component(Message):
    """One part of the process."""

    status: Status
    reason: str = ""
    response_ms: float | None = None
    """how long it took to answer, of what was asked"""


OK = Component(status=Status.OK)


def down_if(reason: str) -> Component:
    """A part that is down for this reason, or fine when there is none."""
    return Component(status=Status.DOWN, reason=reason) if reason else OK


def degraded_if(reason: str) -> Component:
    """A part that works within limits for this reason, or fine when there is none."""
    return Component(status=Status.DEGRADED, reason=reason) if reason else OK


class Alive(Message):
    """The process answers."""

    alive: bool = True


class Ready(Message):
    """Whether no part is down, and if one is, why."""

    ready: bool
    reason: str

    @classmethod
    def of(cls, components: Mapping[str, Component]) -> Self:
        """The verdict on these parts."""
        reason = "; ".join(f"{name}: {c.reason}" for name, c in components.items() if c.status is Status.DOWN)
        return cls(ready=not reason, reason=reason)

    @property
    def http_status(self) -> HTTPStatus:
        """200 or 503."""
        return HTTPStatus.OK if self.ready else HTTPStatus.SERVICE_UNAVAILABLE


class Health(Message):
    """The worst status of all parts, and each part's."""

    status: Status
    components: dict[str, Component]

    @classmethod
    def of(cls, components: Mapping[str, Component]) -> Self:
        """The verdict on these parts; without any, the process has not started yet."""
        worst = max((part.status for part in components.values()), key=list(Status).index, default=Status.DOWN)
        return cls(status=worst, components=dict(components))

    @property
    def http_status(self) -> HTTPStatus:
        """503 once a part is down."""
        return HTTPStatus.SERVICE_UNAVAILABLE if self.status is Status.DOWN else HTTPStatus.OK


Components = Callable[[], Mapping[str, Component]]
Pages = Mapping[str, Callable[[], Message]]
"""What a process tells beside the probes, by path."""
PATHS = ("/alive", "/ready", "/health", "/metrics")
METHODS = "GET, HEAD"


def answer(
    method: str,
    path: str,
    registry: CollectorRegistry,
    components: Components,
    beside: tuple[str, ...] = (),
    pages: Pages = MappingProxyType({}),
) -> Answer:
    """The answer of a process with these counters and parts, which may serve more paths ``beside``; 404 and 405 too."""
    asked = path.partition("?")[0]
    if asked not in PATHS and asked not in pages:
        return not_found(asked, (*beside, *PATHS, *pages))
    if method not in METHODS.split(", "):
        return method_not_allowed(method, asked, METHODS)
    if asked in pages:
        return _json(HTTPStatus.OK, pages[asked]())
    match asked:
        case "/alive":
            return _json(HTTPStatus.OK, Alive())
        case "/ready":
            ready = Ready.of(components())
            return _json(ready.http_status, ready)
        case "/health":
            health = Health.of(components())
            return _json(health.http_status, health)
    return Answer(HTTPStatus.OK, [(b"content-type", CONTENT_TYPE_LATEST.encode())], generate_latest(registry))


def _json(status: HTTPStatus, body: Message) -> Answer:
    return Answer(status, [(b"content-type", b"application/json")], body.encode())


class Probes:
    """Serves the probes, and maybe more pages, in a daemon thread."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        components: Components,
        pages: Pages = MappingProxyType({}),
    ) -> None:
        served = {"registry": registry, "components": staticmethod(components), "pages": pages}
        handler = type("Handler", (_Handler,), served)
        self._server = (_Server6 if is_ipv6(host) else _Server)((host, port), handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(SHUTDOWN_POLL_S,), name="probes", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """A client that hangs up, or says nothing, is not worth a line; anything else is an error of ours."""
        expected = isinstance(sys.exception(), (ConnectionError, TimeoutError))
        _log.log(logging.DEBUG if expected else logging.ERROR, "probe of %s failed", client_address, exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    registry: CollectorRegistry
    components: Components
    pages: Pages

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Let every method, ``do_GET`` and whatever else the library looks for, have its answer."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._respond

    def _respond(self) -> None:
        length = self.headers.get("content-length", "")
        if length.isdecimal():  # a body left unread would break the connection before the answer is read
            self.rfile.read(min(MAX_BODY_BYTES, int(length)))
        found = answer(self.command, self.path, self.registry, self.components, pages=self.pages)
        self.send_response(found.status)
        for name, value in (*found.headers, (b"content-length", b"%d" % len(found.body))):
            self.send_header(name.decode(), value.decode())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    def log_message(self, *_: object) -> None:
        """Probes are not worth a line each."""
