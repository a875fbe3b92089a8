"""What a WebSocket client's message changes, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from api.backlog import Gone
from api.client import Client
from api.context import ANOMALIES, Context
from api.cursor import Cursor
from api.problems import shown
from api.socket_messages import (
    ALL_ANOMALIES,
    CLIENT_MESSAGE,
    MAX_TOPICS,
    TOPIC_FORMS,
    ClientMessage,
    ErrorCode,
    Ping,
    Pong,
    SocketError,
    Subscribe,
    Subscribed,
    Unsubscribe,
    is_of_anomalies,
)
from api.subscription import Wanted
from connectors.messages import Message
from connectors.refusals import expected_of, given_of, path_of
from flows.selector import SelectorError, parse_selector

MESSAGES: dict[str, type[BaseModel]] = {"subscribe": Subscribe, "unsubscribe": Unsubscribe, "ping": Ping}


def answer_to(text: str | None, client: Client, context: Context) -> Message:
    """Do what a message asks for; a binary one has no text. What cannot be done changes nothing."""
    if text is None:
        return SocketError(code=ErrorCode.BAD_MESSAGE, detail="binary message: send JSON as text")
    try:
        message = CLIENT_MESSAGE.validate_json(text)
    except ValidationError as error:
        return _refusal(error)
    return _obey(message, client, context)


def _obey(message: ClientMessage, client: Client, context: Context) -> Message:
    match message:
        case Ping():
            return Pong(cursor=_cursor(client, context))
        case Subscribe():
            return _subscribe(message, client, context)
        case Unsubscribe(topics=topics):
            client.topics = {topic: wanted for topic, wanted in client.topics.items() if topic not in topics}
            return _subscribed(client, context)


def _subscribe(message: Subscribe, client: Client, context: Context) -> Message:
    if any(map(is_of_anomalies, message.topics)) and not context.loaded(ANOMALIES):
        return SocketError(code=ErrorCode.NOT_READY, detail="the api still reads its topics: ask again in a second")
    if len({*client.topics, *message.topics}) > MAX_TOPICS:
        detail = f"topics: a client has up to {MAX_TOPICS}: unsubscribe some, or take {ALL_ANOMALIES}"
        return SocketError(code=ErrorCode.TOO_MANY_TOPICS, detail=detail)
    try:
        wanted = _wanted(message)
    except SelectorError as error:
        return SocketError(code=ErrorCode.BAD_SELECTOR, detail=str(error)[:1000])
    if message.since is None:
        client.topics = {**client.topics, **dict.fromkeys(message.topics, wanted)}
        return _subscribed(client, context)
    return _resume(message, message.since, wanted, client, context)


def _resume(message: Subscribe, since: str, wanted: Wanted, client: Client, context: Context) -> Message:
    """One cursor cannot say what two subscriptions have brought so far, so it is given with the first."""
    if client.replaying or any(map(is_of_anomalies, client.topics)):
        detail = "since: give it with the first topics of anomalies; for others open another connection"
        return SocketError(code=ErrorCode.BAD_MESSAGE, detail=detail)
    if not any(map(is_of_anomalies, message.topics)):
        detail = "since: only events of anomalies are kept, and no topic of theirs is named"
        return SocketError(code=ErrorCode.BAD_MESSAGE, detail=detail)
    try:
        missed = context.feed.resume(client, dict.fromkeys(message.topics, wanted), Cursor.parse(since))
    except Gone as error:
        detail = f"since: {error}: subscribe without it, then load GET /api/anomalies"
        return SocketError(code=ErrorCode.CURSOR_GONE, detail=detail)
    cursor = since if missed else _cursor(client, context)
    return Subscribed(topics=sorted(client.topics), missed=missed, cursor=cursor)


def _wanted(message: Subscribe) -> Wanted:
    """Raises ``SelectorError``."""
    return Wanted(
        frozenset(message.severities) if message.severities is not None else None,
        parse_selector(message.selector) if message.selector is not None else None,
    )


def _subscribed(client: Client, context: Context) -> Subscribed:
    return Subscribed(topics=sorted(client.topics), cursor=_cursor(client, context))


def _cursor(client: Client, context: Context) -> str | None:
    return context.feed.cursor(client) if context.loaded(ANOMALIES) else None


def _refusal(error: ValidationError) -> SocketError:
    first = error.errors()[0]
    where = path_of(first["loc"][1:])
    match first["type"]:
        case "json_invalid":
            return SocketError(code=ErrorCode.BAD_JSON, detail=first["msg"])
        case "union_tag_invalid" | "union_tag_not_found":
            detail = "type: must be one of subscribe, unsubscribe, ping"
            return SocketError(code=ErrorCode.UNKNOWN_TYPE, detail=detail)
        case "string_pattern_mismatch" if "topics" in where:
            known = ", ".join(TOPIC_FORMS)
            detail = f"{where}: {str(first['input'])[:100]!r} is not a topic; there are: {known}"
            return SocketError(code=ErrorCode.UNKNOWN_TOPIC, detail=detail)
        case "string_pattern_mismatch":
            detail = f"{where}: {str(first['input'])[:100]!r} is no cursor of an event"
            return SocketError(code=ErrorCode.BAD_MESSAGE, detail=detail)
        case _:
            return SocketError(code=ErrorCode.BAD_MESSAGE, detail=_detail(first))


def _detail(found: Mapping[str, Any]) -> str:
    """Where, what was given, and what would be right; the type of the message leads its place."""
    kind, loc = found["loc"][:1], found["loc"][1:]
    expected = expected_of(MESSAGES[str(kind[0])], found, loc) if kind else expected_of(BaseModel, found)
    given = given_of(found)
    value = "" if given is None else f"{shown(given)}: "
    return f"{path_of(loc) or 'message'}: {value}{expected}"
