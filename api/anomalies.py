"""``/api/anomalies``: the recent ones, each as its last event."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from api.context import ANOMALIES, Context
from api.problems import ApiError, Code
from api.recent import Filter, Place, RecentAnomalies, State, place
from connectors.messages import Anomaly, Message, Severity

router = APIRouter(prefix="/api/anomalies", tags=["anomalies"])

CURSOR = re.compile(r"(-?\d{1,18})-([0-9a-f]{32})")


class AnomalyPage(Message):
    """Some of the recent anomalies, newest first by the time of their latest surprising sample."""

    anomalies: list[Anomaly]
    next: Annotated[str | None, Field(description="give it as ``before`` to get the following page; null at the end")]


def recent_anomalies(request: Request) -> RecentAnomalies:
    """The store, once the topic has been read; raises ``Unavailable`` before."""
    context: Context = request.app.state.context
    context.require(ANOMALIES)
    return context.recent


Recent = Annotated[RecentAnomalies, Depends(recent_anomalies)]


@router.get("")
async def list_anomalies(
    recent: Recent,
    limit: Annotated[int, Query(ge=1, le=1000, description="anomalies on a page")] = 100,
    before: Annotated[str | None, Query(description="``next`` of the page before")] = None,
    severity: Severity | None = None,
    detector: Annotated[str | None, Query(max_length=64, description="detector id")] = None,
    state: State | None = None,
) -> AnomalyPage:
    """Recent anomalies, newest first; each is the last event of its episode."""
    start = _parse_cursor(before) if before is not None else None
    found = list(islice(recent.newest(Filter(severity, detector, state), start), limit + 1))
    page = found[:limit]
    return AnomalyPage(anomalies=page, next=_cursor(page[-1]) if len(found) > limit else None)


@router.get("/{anomaly_id}")
async def read_anomaly(anomaly_id: str, recent: Recent) -> Anomaly:
    """The last event of one episode."""
    anomaly = recent.get(anomaly_id)
    if anomaly is None:
        message = f"anomaly {anomaly_id!r} is not among the {len(recent)} recent ones"
        raise ApiError(Code.NOT_FOUND, message)
    return anomaly


def _cursor(anomaly: Anomaly) -> str:
    return "-".join(str(part) for part in place(anomaly))


def _parse_cursor(text: str) -> Place:
    match = CURSOR.fullmatch(text)
    if match is None:
        message = f"before: {text[:100]!r}: expected the next of a page"
        raise ApiError(Code.BAD_REQUEST, message)
    return Place(int(match[1]), match[2])
