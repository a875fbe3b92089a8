"""A response of those of our servers that know no web framework: ingest and the probes of all other processes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """A response: status, headers and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""


def json_answer(status: int, body: dict[str, Any], headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, [(b"content-type", b"application/json"), *(headers or [])], json.dumps(body).encode())


def not_found(path: str, known: tuple[str, ...]) -> Answer:
    """404 with the paths that there are."""
    *most, last = known
    return json_answer(404, {"error": f"{path}: try {', '.join(most)} or {last}", "reason": "not_found"})


def method_not_allowed(method: str, path: str, allowed: str) -> Answer:
    """405 with the methods that this path takes, ``GET, HEAD`` or the like."""
    body = {"error": f"{method} {path}: {allowed} only", "reason": "method_not_allowed"}
    return json_answer(405, body, [(b"allow", allowed.encode())])
