"""``/api/status`` and ``/api/detectors/{id}/status`` and ``…/health``: what flows tell, and what it means."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Coroutine, Hashable
from hashlib import blake2b
from itertools import islice
from typing import Annotated, Any

import orjson
from fastapi import Query, Response
from pydantic import Field

from api.change import Revisions, existing
from api.context import Context
from api.detector_health import DetectorHealth, HealthState, health_of
from api.holding import HoldingStatus
from api.json_route import JSON, JsonRoute
from api.revisions import RevisionLog
from api.router import Router
from api.standing import Standing, standing_of
from connectors.detector import Detector
from connectors.messages import Message
from connectors.status import PartitionStatus, SignalState, SignalStatus

router = Router(prefix="/api", tags=["status"], route_class=JsonRoute)

LIMIT, LIMIT_MOST = 100, 1000
PLACE_CHARS = 150
"""Of a signal's labels as text, as far as they order signals; a digest of all of them follows."""


class DetectorStatusPage(Message):
    """How a detector stands, and some of the signals that are named of it."""

    standing: Standing
    signals: list[SignalStatus]
    named: Annotated[int, Field(description="signals that are named and fit; the others are only counted")]
    next: Annotated[str | None, Field(description="give it as ``after`` to get the following page; null at the end")]


class DetectorSummary(Message):
    """One detector in few words."""

    detector: str
    name: str
    health: HealthState
    says: Annotated[str, Field(description="why, in one sentence")]
    signals: int | None
    warming: int | None
    silent: int | None
    open: int | None
    anomalies_per_day: float | None
    last_ms: int | None


class FlowStatus(Message):
    """The partitions of the flow, each by its last sign of life."""

    partitions: list[PartitionStatus]
    heard_ms: Annotated[int | None, Field(description="log time of the one that was heard of least lately")]
    age_s: Annotated[float | None, Field(description="how long ago that is; null: nothing was ever heard")]
    missing: Annotated[list[int], Field(description="partitions of which nothing was ever heard")]


class StatusPage(Message):
    """The flow, and some of the detectors, ordered by id."""

    flow: FlowStatus
    detectors: list[DetectorSummary]
    next: Annotated[str | None, Field(description="give it as ``after`` to get the following page; null at the end")]


@router.get("/status", response_model=StatusPage)
async def read_status(
    context: HoldingStatus,
    revisions: Revisions,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MOST, description="detectors on a page")] = LIMIT,
    after: Annotated[str, Query(max_length=64, description="``next`` of the page before")] = "",
) -> Response:
    """How the flow and the detectors do, as they told of themselves; nothing is guessed."""

    async def work() -> bytes:
        found = list(islice(revisions.after(after), limit + 1))
        following = found[limit - 1].id if len(found) > limit else None
        summaries = [_summary(context, one) for one in found[:limit]]
        return StatusPage(flow=_flow(context), detectors=summaries, next=following).encode()

    return await _shared(context, revisions, ("status", limit, after), work)


@router.get("/detectors/{detector_id}/status", response_model=DetectorStatusPage)
async def read_detector_status(
    detector_id: str,
    context: HoldingStatus,
    revisions: Revisions,
    state: Annotated[SignalState | None, Query(description="of the signals")] = None,
    open: Annotated[bool | None, Query(description="signals with an open episode, or without")] = None,  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=LIMIT_MOST, description="signals on a page")] = LIMIT,
    after: Annotated[str, Query(max_length=400, description="``next`` of the page before")] = "",
) -> Response:
    """How one detector does: counts of all partitions, and the signals that are named of it, ordered by labels."""
    detector = existing(revisions, detector_id)

    async def work() -> bytes:
        fitting = [
            (_place(signal), signal)
            for signal in context.told.signals(detector_id)
            if (state is None or signal["state"] == state) and (open is None or signal["open"] is open)
        ]
        fitting.sort(key=lambda one: one[0])
        begin = bisect_right(fitting, after, key=lambda one: one[0]) if after else 0
        page = fitting[begin : begin + limit]
        answer = {
            "standing": _standing(context, detector).model_dump(),
            "signals": [signal for _, signal in page],
            "named": len(fitting),
            "next": page[-1][0] if begin + limit < len(fitting) else None,
        }
        return orjson.dumps(answer)

    return await _shared(context, revisions, ("status of one", detector_id, state, open, limit, after), work)


@router.get("/detectors/{detector_id}/health", response_model=DetectorHealth)
async def read_detector_health(detector_id: str, context: HoldingStatus, revisions: Revisions) -> Response:
    """Whether it does its job, and if not why, in one sentence."""
    detector = existing(revisions, detector_id)

    async def work() -> bytes:
        return _health(context, detector).encode()

    return await _shared(context, revisions, ("health of one", detector_id), work)


async def _shared(
    context: Context, revisions: RevisionLog, key: Hashable, work: Callable[[], Coroutine[Any, Any, bytes]]
) -> Response:
    """What is told, for all who ask within a moment in which nothing else is."""
    version = (context.told.version, revisions.version)
    return Response(await context.shared.answer(key, version, work), media_type=JSON)


def _standing(context: Context, detector: Detector) -> Standing:
    told = context.told
    return standing_of(detector, told.of(detector.id), told.partitions, context.settings.partitions, context.now_ms())


def _health(context: Context, detector: Detector) -> DetectorHealth:
    return health_of(_standing(context, detector), detector.config, context.now_ms())


def _summary(context: Context, detector: Detector) -> DetectorSummary:
    standing = _standing(context, detector)
    health = health_of(standing, detector.config, context.now_ms())
    return DetectorSummary(
        detector=standing.detector,
        name=standing.name,
        health=health.state,
        says=health.says,
        signals=standing.signals,
        warming=standing.warming,
        silent=standing.silent,
        open=standing.open,
        anomalies_per_day=standing.anomalies_per_day,
        last_ms=standing.last_ms,
    )


def _flow(context: Context) -> FlowStatus:
    partitions = [status for _, status in sorted(context.told.partitions.items())]
    heard_ms = min((one.log_ms for one in partitions), default=None)
    heard = {one.partition for one in partitions}
    return FlowStatus(
        partitions=partitions,
        heard_ms=heard_ms,
        age_s=None if heard_ms is None else max(0, context.now_ms() - heard_ms) / 1000,
        missing=[number for number in range(context.settings.partitions) if number not in heard],
    )


def _place(signal: dict[str, Any]) -> str:
    """Where a signal stands in the order: its labels as text, shortened, and what tells it from others."""
    text = orjson.dumps(signal["labels"], option=orjson.OPT_SORT_KEYS)
    return f"{text[:PLACE_CHARS].decode(errors='replace')}#{blake2b(text, digest_size=8).hexdigest()}"
