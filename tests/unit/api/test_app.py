"""How the routes of the api are made."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import api


def routes() -> Iterator[APIRoute]:
    """Those of all routers that a module of the api holds."""
    for module in pkgutil.iter_modules(api.__path__, "api."):
        for router in vars(import_module(module.name)).values():
            if isinstance(router, APIRouter):
                yield from (route for route in router.routes if isinstance(route, APIRoute))


def called_by(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """The handler and all that it depends on."""
    if dependant.call is not None:
        yield dependant.call
    for one in dependant.dependencies:
        yield from called_by(one)


def test_no_request_goes_through_a_thread_to_be_handed_what_the_process_holds() -> None:
    called = [(route.path, call) for route in routes() for call in called_by(route.dependant)]
    assert len(called) > 60
    # FastAPI calls a plain function in a thread, which costs more than most answers
    assert [(path, call) for path, call in called if not iscoroutinefunction(call)] == []
