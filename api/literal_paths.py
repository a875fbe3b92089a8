"""Addresses without a parameter that one with a parameter fits too: ``/api/detectors/preview`` is no detector's.

Of such an address only its own methods exist; without this, all others would ask for a detector of that name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route


class Refused(Route):
    """Methods that an address does not have."""


def keep_literal_paths(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Refuse the methods that only addresses with parameters have, before these are asked."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    own = defaultdict[str, set[str]](set)
    for route in routes:
        if not route.param_convertors:
            own[route.path] |= route.methods or set()
    for path, methods in own.items():
        wider = [route for route in routes if route.param_convertors and route.path_regex.match(path)]
        others = {method for route in wider for method in route.methods or ()} - methods
        if others:
            app.router.routes.insert(0, Refused(path, _refuse, methods=sorted(others), include_in_schema=False))


async def _refuse(_request: Request) -> Response:
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
