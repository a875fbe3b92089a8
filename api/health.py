"""``/alive``, ``/ready``, ``/health`` and ``/metrics`` in the api: what they say is decided in connectors/probes.py."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.holding import Holding
from api.parts import Parts
from connectors.probes import Alive, Health, Ready

router = APIRouter(tags=["probes"])


@router.get("/alive")
async def alive() -> Alive:
    """200 as long as the process answers at all."""
    return Alive()


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(context: Holding, response: Response) -> Ready:
    """200 once detectors and recent anomalies are loaded and as long as Kafka answers, else 503."""
    verdict = Ready.of(context.components())
    response.status_code = verdict.http_status
    return verdict


@router.get("/health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """Each part with its state, why, and how long it took to answer; 503 once one is down, as without Kafka."""
    parts: Parts = request.app.state.parts
    verdict = Health.of(await parts.all())
    response.status_code = verdict.http_status
    return verdict


@router.get("/metrics", response_class=Response)
async def metrics(context: Holding) -> Response:
    """All counters and gauges in Prometheus' text format."""

    async def work() -> bytes:
        return generate_latest(context.meters.registry)

    return Response(await context.joined.answer("metrics", work), media_type=CONTENT_TYPE_LATEST)
