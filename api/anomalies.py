"""``/api/anomalies``: the recent ones, each as its last event."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api.context import ANOMALIES, Context
from api.problems import ApiError, Code
from api.recent import Filter, Page, Place, RecentAnomalies, State
from connectors.messages import Anomaly, Message, Severity

router = APIRouter(prefix="/api/anomalies", tags=["anomalies"])

PAGE_BYTES = 4 * 1024 * 1024
"""Where a page ends, but for an anomaly that is larger by itself: a thousand of the usual ones have less than 2 MB."""
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


@router.get("", response_model=AnomalyPage)
async def list_anomalies(
    recent: Recent,
    limit: Annotated[int, Query(ge=1, le=1000, description="anomalies on a page, fewer if they are large")] = 100,
    before: Annotated[str | None, Query(description="``next`` of the page before")] = None,
    severity: Severity | None = None,
    detector: Annotated[str | None, Query(max_length=64, description="detector id")] = None,
    state: State | None = None,
) -> Response:
    """Recent anomalies, newest first; each is the last event of its episode."""
    start = _parse_cursor(before) if before is not None else None
    return _json(_encode(recent.page(Filter(severity, detector, state), start, limit, PAGE_BYTES)))


@router.get("/{anomaly_id}", response_model=Anomaly)
async def read_anomaly(anomaly_id: str, recent: Recent) -> Response:
    """The last event of one episode."""
    kept = recent.get(anomaly_id)
    if kept is None:
        message = f"anomaly {anomaly_id!r} is not among the {len(recent)} recent ones"
        raise ApiError(Code.NOT_FOUND, message)
    return _json(kept.event)


def _encode(page: Page) -> bytes:
    """An ``AnomalyPage`` of events that are JSON already."""
    cursor = b"null" if page.next is None else b'"%d-%s"' % (page.next.time_ms, page.next.id.encode())
    return b'{"anomalies":[%s],"next":%s}' % (b",".join(kept.event for kept in page.anomalies), cursor)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _parse_cursor(text: str) -> Place:
    match = CURSOR.fullmatch(text)
    if match is None:
        message = f"before: {text[:100]!r}: expected the next of a page"
        raise ApiError(Code.BAD_REQUEST, message)
    return Place(int(match[1]), match[2])
