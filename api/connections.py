"""``/api/connections``: who is connected by WebSocket, for operators."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import Query
from pydantic import Field

from api.client import Client
from api.holding import Holding
from api.router import Router
from connectors.anomaly import Severity
from connectors.messages import Message

router = Router(prefix="/api/connections", tags=["operation"])

MAX_SHOWN_TOPICS = 16


class ConnectionTopic(Message):
    """A topic of a client, and what it has of it."""

    topic: str
    severities: Annotated[list[Severity] | None, Field(description="null: all")]
    selector: Annotated[str | None, Field(description="null: whatever the labels")]


class Connection(Message):
    """One client."""

    id: str
    peer: Annotated[str, Field(description="address and port it connects from; a proxy's, if there is one")]
    since_ms: int
    topics: Annotated[list[ConnectionTopic], Field(description="the first 16")]
    topics_total: int
    waiting: Annotated[int, Field(description="messages queued for it; at TOCSIN_API_CLIENT_QUEUE it is closed")]
    replaying: Annotated[int, Field(description="events that it missed and has not got yet")]
    sent: Annotated[int, Field(description="messages")]
    slow: Annotated[bool, Field(description="it is being closed because it reads too slowly")]


class ConnectionPage(Message):
    """Some of the clients of this process, the longest connected first."""

    connections: list[Connection]
    total: Annotated[int, Field(description="clients of this process; each replica has its own")]
    next: Annotated[str | None, Field(description="give it as ``after`` to get the following page; null at the end")]


@router.get("")
async def list_connections(
    context: Holding,
    limit: Annotated[int, Query(ge=1, le=1000, description="connections on a page")] = 100,
    after: Annotated[str | None, Query(max_length=64, description="``next`` of the page before")] = None,
) -> ConnectionPage:
    """WebSocket clients of this process: since when, what they want, and whether they keep up."""
    clients = sorted(context.feed.clients, key=_place)
    later = [client for client in clients if after is None or _place(client) > after]
    shown = list(islice(later, limit))
    more = _place(shown[-1]) if len(later) > len(shown) else None
    return ConnectionPage(connections=[_shown(client) for client in shown], total=len(clients), next=more)


def _place(client: Client) -> str:
    """Stands still while others come and go."""
    return f"{client.since_ms:015d}-{client.id}"


def _shown(client: Client) -> Connection:
    topics = [
        ConnectionTopic(
            topic=topic,
            severities=sorted(wanted.severities) if wanted.severities is not None else None,
            selector=str(wanted.selector) if wanted.selector is not None else None,
        )
        for topic, wanted in islice(client.topics.items(), MAX_SHOWN_TOPICS)
    ]
    return Connection(
        id=client.id,
        peer=client.peer,
        since_ms=client.since_ms,
        topics=topics,
        topics_total=len(client.topics),
        waiting=client.waiting,
        replaying=client.replaying,
        sent=client.sent,
        slow=client.slow.is_set(),
    )
