import pytest
from fastapi import FastAPI
from starlette.routing import Match

from api.router import Router, add_routes
from tests.apis import ask

things = Router(prefix="/api/things/{thing_id}/parts")


@things.get("")
async def parts(thing_id: str) -> str:
    return thing_id


app = FastAPI()
add_routes(app, things)


@pytest.mark.parametrize(("path", "status"), [
    ("/api/things/7/parts", 200), ("/api/things/7/parts/", 307), ("/api/things/7", 404), ("/api/thing", 404),
])  # fmt: skip
def test_addresses_are_found_as_by_any_router(path: str, status: int) -> None:
    assert ask(app, "GET", path).status_code == status


def test_a_method_that_is_not_there_is_told_from_an_address_that_is_not() -> None:
    assert ask(app, "PUT", "/api/things/7/parts").status_code == 405


def test_a_route_of_another_address_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    (route,) = things.routes
    monkeypatch.delattr(route, "path_regex")
    assert route.matches({"type": "http", "method": "GET", "path": "/api/rules"}) == (Match.NONE, {})


def test_routes_are_made_for_the_process_and_not_for_each_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("fastapi.routing.get_dependant")
    made = FastAPI()
    add_routes(made, things)
    assert ask(made, "GET", "/api/things/7/parts").status_code == 200
