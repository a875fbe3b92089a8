"""Routers that pass over requests to other addresses without a look at each of their routes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """A router for addresses that all begin alike: by as much of ``prefix`` as is no parameter.

    FastAPI asks one router after the other and each of them all of its routes, twice, which costs more than most
    answers.
    """

    def __init__(self, *, prefix: str, **more: Any) -> None:
        super().__init__(prefix=prefix, **more)
        self._begins = prefix.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it has a route for this request."""
        if not scope.get("root_path") and not scope["path"].startswith(self._begins):
            return Match.NONE, {}
        return super().matches(scope)


def make_routes(app: FastAPI) -> None:
    """Let every router make its routes now: FastAPI does so at the first request of each, which would wait for it."""
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "/nowhere", "headers": []}
    for route in app.routes:
        route.matches(nowhere)
