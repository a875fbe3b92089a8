"""``/api/deployment``, ``/api/system`` and ``/api/log-level``: what runs here, how it is doing, and what it writes."""

from __future__ import annotations

import gc
import logging
import os
import platform
import sys
from typing import Annotated, Any

import psutil
from fastapi import Response
from pydantic import Field

from api.holding import Holding
from api.json_route import JSON, JsonRoute
from api.router import Router
from api.settings import ApiSettings
from api.version import version_text
from connectors.logs import LogLevel
from connectors.messages import Message

router = Router(prefix="/api", tags=["operation"], route_class=JsonRoute)

_log = logging.getLogger(__name__)


class Deployment(Message):
    """Which Tocsin this is, and with which settings."""

    version: str
    commit: Annotated[str, Field(description="that it was built of (TOCSIN_COMMIT); empty if nobody said")]
    environment: Annotated[str, Field(description="what people call it (TOCSIN_ENVIRONMENT)")]
    python: str
    platform: str
    settings: Annotated[dict[str, Any], Field(description="of the api, secrets as stars")]


class System(Message):
    """What this process takes of its machine."""

    pid: int
    uptime_s: float
    cpu_s: Annotated[float, Field(description="user and system, since its start")]
    memory_bytes: Annotated[int, Field(description="resident")]
    threads: int
    open_files: Annotated[int, Field(description="sockets among them")]
    collections: Annotated[list[int], Field(description="of Python's garbage collector, by generation")]
    cores: int
    load: Annotated[list[float], Field(description="of the machine, over 1, 5 and 15 minutes")]


class Level(Message):
    """Least level that this process writes to its log."""

    level: LogLevel


@router.get("/deployment", response_model=Deployment)
async def read_deployment(context: Holding) -> Response:
    """Version, commit, environment and settings of this process."""

    async def work() -> bytes:
        return _deployment(context.settings).encode()

    return Response(await context.joined.answer("deployment", work), media_type=JSON)


def _deployment(settings: ApiSettings) -> Deployment:
    return Deployment(
        version=version_text(),
        commit=settings.commit,
        environment=settings.environment,
        python=platform.python_version(),
        platform=sys.platform,
        settings=settings.model_dump(mode="json"),
    )


@router.get("/system", response_model=System)
async def read_system(context: Holding) -> Response:
    """Memory, threads, processor time and the like of this process."""

    async def work() -> bytes:
        return _system(context.now_ms()).encode()

    return Response(await context.joined.answer("system", work), media_type=JSON)


def _system(now_ms: int) -> System:
    process = psutil.Process()
    with process.oneshot():
        cpu = process.cpu_times()
        return System(
            pid=process.pid,
            uptime_s=max(0.0, now_ms / 1000 - process.create_time()),
            cpu_s=cpu.user + cpu.system,
            memory_bytes=process.memory_info().rss,
            threads=process.num_threads(),
            open_files=process.num_fds(),
            collections=[generation["collections"] for generation in gc.get_stats()],
            cores=os.cpu_count() or 1,
            load=list(os.getloadavg()),
        )


@router.get("/log-level")
async def read_log_level() -> Level:
    """What this process writes to its log now."""
    return Level.model_validate({"level": logging.getLevelName(logging.getLogger().level)})


@router.put("/log-level")
async def set_log_level(wanted: Level) -> Level:
    """Write more or less to the log of this process, until it ends; other processes and replicas stay as they are."""
    _log.warning("log level set to %s", wanted.level)
    logging.getLogger().setLevel(wanted.level)
    return wanted
