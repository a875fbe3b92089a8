"""The real api under a real uvicorn server: in a thread of the test, or as a process that can be killed."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.context import Context
from api.server import make_server
from api.settings import ApiSettings
from connectors.settings import KafkaSettings
from tests.brokers import free_port
from tests.processes import wait_until

ROOT = Path(__file__).parents[1]
DEADLINE_S = 20.0
START_S = 60.0
"""A process imports for two seconds, and for twenty where others take the processor."""
HOMES = Path(tempfile.mkdtemp(prefix="tocsin-api-"))
"""Folders of the stores, one for each api."""
atexit.register(shutil.rmtree, HOMES, ignore_errors=True)


@dataclass(frozen=True)
class RunningApi:
    """Where it answers, and what it holds when it runs in this process."""

    port: int
    http: httpx.Client
    context: Context | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/ws"

    def metric(self, name: str, **labels: str) -> float:
        """A value of /metrics; 0 for a counter that has not counted yet."""
        inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        wanted = f"{name}{{{inner}}} " if inner else f"{name} "
        lines = self.http.get("/metrics").text.splitlines()
        return next((float(line[len(wanted) :]) for line in lines if line.startswith(wanted)), 0.0)


def api_settings(kafka: KafkaSettings, **changes: Any) -> ApiSettings:
    """Settings for the same topics on a free port, with a store of its own that keeps the old times of tests."""
    port = free_port()
    own = {"api_port": port, "home": HOMES / str(port), "api_history_days": 36_500}
    return ApiSettings(**{**kafka.model_dump(), **own, **changes})


@contextmanager
def running_api(settings: ApiSettings, *, until_ready: bool = True) -> Iterator[RunningApi]:
    """The api in a thread of this process, ready, and stopped at the end."""
    app = create_app(settings)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.api_port}", timeout=60, verify=False) as http:
            wait_for(lambda: server.started)
            if until_ready:
                wait_for(lambda: http.get("/ready").status_code == 200)
            yield RunningApi(settings.api_port, http, context=app.state.context)
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


@contextmanager
def api_process(settings: ApiSettings, log: Path, ready_s: float = START_S) -> Iterator[RunningApi]:
    """``python -m api.app`` as a process of its own, ready, and ended at the end if it still runs."""
    environment = {f"TOCSIN_{key.upper()}": _text(value) for key, value in settings.model_dump().items()}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.app"], cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.api_port}", timeout=60, verify=False) as http:
            wait_for(lambda: process.poll() is None and _answers(http), f"see {log}: {log.read_text()[-500:]}", ready_s)
            yield RunningApi(settings.api_port, http, process=process)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def ask(app: FastAPI, method: str, path: str, **arguments: Any) -> httpx.Response:
    """The answer of an app without a server; what nobody expected is its 500, as a client would see it."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.request(method, path, **arguments)

    return asyncio.run(main())


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool], what: str = "the condition", timeout_s: float = DEADLINE_S) -> None:
    """Look until the condition holds; fails past the deadline."""
    wait_until(condition, timeout_s, what)
