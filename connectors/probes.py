"""/alive, /ready, /health and /metrics of a process that is not a web server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SHUTDOWN_POLL_S = 60.0
"""How often the serving thread looks whether it should end; a process that serves probes ends with its process."""


class Component(NamedTuple):
    """State of one part of a process: ``ok`` or ``down``, and why."""

    status: str
    reason: str = ""


Components = Callable[[], Mapping[str, Component]]


class Probes:
    """Serves the probes in a daemon thread."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, components: Components) -> None:
        handler = type("Handler", (_Handler,), {"registry": registry, "components": staticmethod(components)})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(SHUTDOWN_POLL_S,), name="probes", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    components: Components

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/alive":
                self._answer(HTTPStatus.OK, {"alive": True})
            case "/ready":
                self._ready()
            case "/health":
                self._health()
            case "/metrics":
                self._send(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.registry))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, {"error": "try /alive, /ready, /health or /metrics"})

    def _ready(self) -> None:
        reason = "; ".join(f"{name}: {c.reason}" for name, c in self.components().items() if c.status != "ok")
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        self._answer(status, {"ready": not reason, "reason": reason})

    def _health(self) -> None:
        components = self.components()
        down = any(component.status != "ok" for component in components.values())
        body = {"status": "down" if down else "ok", "components": {n: c._asdict() for n, c in components.items()}}
        self._answer(HTTPStatus.SERVICE_UNAVAILABLE if down else HTTPStatus.OK, body)

    def _answer(self, status: HTTPStatus, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes are not worth a line each."""
