"""What crosses ``/api/ws`` as an AsyncAPI 3 document, generated from the types of ``api.socket_messages``.

It is served beside the OpenAPI document, which has no words for WebSockets.
"""

from __future__ import annotations

from functools import cache
from inspect import cleandoc
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from api.asyncapi_examples import EXAMPLES
from api.socket_messages import CLOSE_BUSY, CLOSE_SLOW, SOCKET_VERSION, ClientMessage, ServerMessage
from api.version import version_text
from connectors.messages import Message

SCHEMAS = "#/components/schemas/"
CHANNEL = "#/channels/socket"
DESCRIPTION = f"""
JSON text messages, one object each, told apart by `type`: version {SOCKET_VERSION}, which only grows: leave out fields
that you do not know. Close codes: {CLOSE_SLOW} the client reads too slowly, {CLOSE_BUSY} too many clients, 1012 the
server stops, 1011 no pong in time, 1009 a message too large. Docs: docs/api.md in the repository.
"""
FROM_CLIENT: tuple[type[Message], ...] = get_args(ClientMessage)
FROM_SERVER: tuple[type[Message], ...] = get_args(ServerMessage)


@cache
def asyncapi_document() -> dict[str, Any]:
    """The whole document; the api receives what clients send and sends what they receive."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tocsin WebSocket", "version": version_text(), "description": cleandoc(DESCRIPTION)},
        "defaultContentType": "application/json",
        "channels": {"socket": {"address": "/api/ws", "messages": _channel_messages(), "bindings": {"ws": {}}}},
        "operations": {
            "receive": _operation("receive", "What clients ask for.", FROM_CLIENT),
            "send": _operation("send", "What clients get: answers, and what they are subscribed to.", FROM_SERVER),
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel_messages() -> dict[str, Any]:
    return {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in EXAMPLES}


def _operation(action: str, summary: str, models: tuple[type[Message], ...]) -> dict[str, Any]:
    messages = [{"$ref": f"{CHANNEL}/messages/{model.__name__}"} for model in models]
    return {"action": action, "channel": {"$ref": CHANNEL}, "summary": summary, "messages": messages}


def _messages() -> dict[str, Any]:
    return {
        model.__name__: {
            "name": model.model_fields["type"].annotation.__args__[0],  # type: ignore[union-attr]  # a Literal of one
            "title": model.__name__,
            "summary": cleandoc(model.__doc__ or "").partition("\n")[0],
            "payload": {"$ref": f"{SCHEMAS}{model.__name__}"},
            "examples": [{"payload": example.model_dump(mode="json", exclude_unset=True)} for example in examples],
        }
        for model, examples in EXAMPLES.items()
    }


def _schemas() -> dict[str, Any]:
    """What a client may send, and what it will be sent."""
    both = [(model, "validation" if model in FROM_CLIENT else "serialization") for model in EXAMPLES]
    _, found = models_json_schema(both, ref_template=SCHEMAS + "{model}")  # type: ignore[arg-type]  # of literals
    schemas: dict[str, Any] = found["$defs"]
    return schemas
