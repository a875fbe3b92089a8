"""Routers whose routes are made once for the process, and pass over requests to other addresses at a glance.

FastAPI makes the routes of a router anew for each application that includes it, at its first request, which takes a
quarter of a second of all those of the api; and it asks one router after the other and each of them all of its routes,
twice, which costs more than most answers.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from api.problems import MEDIA_TYPE, Problem

SCHEMA_REF = "#/components/schemas/{model}"
"""Where OpenAPI has the schema of a model."""
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": SCHEMA_REF.format(model=Problem.__name__)}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    422: {"content": _PROBLEM, "description": "a value is not allowed"},
    "default": {"content": _PROBLEM, "description": "any other refusal, told apart by its code"},
}
"""What every route of a ``Router`` may answer besides its own; for a ``model`` FastAPI makes a validator for each."""


class Route(APIRoute):
    """A route for addresses that all begin alike: by as much of its path as is no parameter."""

    def __init__(self, path: str, *arguments: Any, **more: Any) -> None:
        super().__init__(path, *arguments, **more)
        self._begins = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this request is for it."""
        if not scope.get("root_path") and not scope["path"].startswith(self._begins):
            return Match.NONE, {}
        return super().matches(scope)


class Router(APIRouter):
    """Makes such routes, for an application to take as they are (``add_routes``)."""

    def __init__(self, *, prefix: str, route_class: type[Route] = Route, **more: Any) -> None:
        super().__init__(prefix=prefix, route_class=route_class, responses=REFUSALS, **more)


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Let the application answer by the routes of a router."""
    app.router.routes.extend(router.routes)
