"""``/alive``, ``/ready``, ``/health`` and ``/metrics``, the same on every process of Tocsin."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.context import Context
from connectors.messages import Message

router = APIRouter(tags=["probes"])


class Alive(Message):
    """The process answers."""

    alive: bool = True


class Ready(Message):
    """Whether all topics have been read to their end, and if not, why."""

    ready: bool
    reason: str


class Status(StrEnum):
    """How a part is doing."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class Component(Message):
    """One part of the process."""

    status: Status
    reason: str


class Health(Message):
    """The worst status of all parts, and each part's."""

    status: Status
    components: dict[str, Component]


@router.get("/alive")
async def alive() -> Alive:
    """200 as long as the process answers at all."""
    return Alive()


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """200 once detectors and recent anomalies are loaded, else 503."""
    reason = _context(request).unready_reason()
    response.status_code = 503 if reason else 200
    return Ready(ready=not reason, reason=reason)


@router.get("/health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """How each part is doing; 503 once one of them is down."""
    context = _context(request)
    components = {name: _component(context, name) for name in context.followers}
    ranks = list(Status)
    worst = max((part.status for part in components.values()), key=ranks.index, default=Status.DOWN)
    response.status_code = 503 if worst is Status.DOWN else 200
    return Health(status=worst, components=components)


def _component(context: Context, name: str) -> Component:
    follower = context.followers[name]
    if follower.error is not None:
        return Component(status=Status.DOWN, reason=str(follower.error))
    if not context.loaded(name):
        return Component(status=Status.DEGRADED, reason=f"still reading {follower.topic}")
    return Component(status=Status.OK, reason="")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """All counters and gauges in Prometheus' text format."""
    return Response(generate_latest(_context(request).meters.registry), media_type=CONTENT_TYPE_LATEST)


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context
