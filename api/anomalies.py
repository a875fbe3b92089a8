"""``/api/anomalies``: the history, each anomaly as its last event; without a store the recent ones."""

from __future__ import annotations

from functools import partial
from typing import Annotated, NamedTuple

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import Connection

from api.context import Context
from api.history_place import parse_place, place_text
from api.history_query import find
from api.history_rows import INT64
from api.history_wanted import Sort, Wanted
from api.holding import HoldingAnomalies
from api.recent import Filter, Place, State
from api.router import Router
from api.selection import parse_labels
from connectors.anomaly import Anomaly, Severity
from connectors.errors import StoreUnavailable, Unavailable
from connectors.feedback import Verdict
from connectors.messages import Message
from flows.validator import ConfigError

router = Router(prefix="/api/anomalies", tags=["anomalies"])

PAGE_BYTES = 4 * 1024 * 1024
"""Where a page ends, but for an anomaly that is larger by itself: a thousand of the usual ones have less than 2 MB."""
REACH_S = 1.0
"""How long a list waits for the store to have what clients of the WebSocket have been told."""
FRESH_S = 10.0
"""For so long a list stands if nothing was written. What other replicas write this process reads as well; what they
forget, being too old or too many, it shows for so long at most."""
MOST_LABELS = 10
TimeMs = Annotated[int, Field(ge=-INT64, lt=INT64)]


class AnomalyPage(Message):
    """Some of the anomalies, newest first by the time of their latest surprising sample unless sorted otherwise."""

    anomalies: list[Anomaly]
    next: Annotated[str | None, Field(description="give it as ``before`` to get the following page; null at the end")]


class Listing(NamedTuple):
    """A list that was asked for."""

    wanted: Wanted
    sort: Sort
    before: str | None
    limit: int


@router.get("", response_model=AnomalyPage)
async def list_anomalies(
    context: HoldingAnomalies,
    limit: Annotated[int, Query(ge=1, le=1000, description="anomalies on a page, fewer if they are large")] = 100,
    before: Annotated[str | None, Query(description="``next`` of the page before, with the same sort")] = None,
    severity: Severity | None = None,
    detector: Annotated[str | None, Query(max_length=64, description="detector id")] = None,
    state: State | None = None,
    from_ms: Annotated[TimeMs | None, Query(description="latest surprising sample not before")] = None,
    to_ms: Annotated[TimeMs | None, Query(description="latest surprising sample before")] = None,
    label: Annotated[
        list[str] | None, Query(max_length=MOST_LABELS, description="of its signal, as job=shop; each must hold")
    ] = None,
    acknowledged: Annotated[bool | None, Query(description="whether somebody has taken care of it")] = None,
    verdict: Annotated[Verdict | None, Query(description="what somebody takes it for")] = None,
    sort: Annotated[Sort, Query(description="- puts the greatest first")] = Sort.NEWEST,
) -> Response:
    """Anomalies, each as the last event of its episode; what a WebSocket client was told is among them."""
    if from_ms is not None and to_ms is not None and to_ms < from_ms:
        raise ConfigError(field="to_ms", value=to_ms, expected=f"must not be before from_ms = {from_ms}")
    labels = parse_labels(label or ())
    wanted = Wanted(severity, detector, state, from_ms, to_ms, labels, acknowledged, verdict)
    listing = Listing(wanted, sort, before, limit)
    start = parse_place(before, sort) if before is not None else None
    spoken = wanted.acknowledged is None and wanted.verdict is None
    if await context.history.reach(context.backlog.reached, REACH_S) and (
        spoken or await context.feedback.reach(context.feedback.seen, REACH_S)
    ):
        try:
            version = (context.history.version, context.feedback.version)
            work = partial(context.store.read, partial(_found, listing=listing, start=start))
            return _json(await context.shared.answer(listing, version, work, FRESH_S))
        except Unavailable:
            if not _is_simple(listing):
                raise
    if not _is_simple(listing):
        raise StoreUnavailable(context.history.incomplete)
    return _json(_recent(context, listing))


def _found(connection: Connection, listing: Listing, start: tuple[object, ...] | None) -> bytes:
    found = find(connection, listing.wanted, listing.sort, start, listing.limit, PAGE_BYTES)
    return _encode(found.events, place_text(found.next) if found.next is not None else None)


def _is_simple(listing: Listing) -> bool:
    """Whether the recent anomalies can answer it as well."""
    wanted = listing.wanted
    return listing.sort is Sort.NEWEST and wanted == Wanted(wanted.severity, wanted.detector, wanted.state)


def _recent(context: Context, listing: Listing) -> bytes:
    wanted = Filter(listing.wanted.severity, listing.wanted.detector, listing.wanted.state)
    place = None
    if listing.before is not None:
        time_ms, anomaly = parse_place(listing.before, listing.sort)
        place = Place(time_ms, anomaly.hex())
    page = context.recent.page(wanted, place, listing.limit, PAGE_BYTES)
    if place is not None and not page.anomalies:  # which would read as the end of the history
        raise StoreUnavailable(context.history.incomplete)
    rest = page.next or context.recent.oldest  # what is older stands in the history, if anything is
    following = None if rest is None else f"{rest.time_ms}-{rest.id}"
    return _encode([kept.event for kept in page.anomalies], following)


def _encode(events: list[bytes], following: str | None) -> bytes:
    """An ``AnomalyPage`` of events that are JSON already."""
    cursor = b"null" if following is None else b'"%s"' % following.encode()
    return b'{"anomalies":[%s],"next":%s}' % (b",".join(events), cursor)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
