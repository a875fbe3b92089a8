import pytest
from fastapi import FastAPI
from starlette.routing import Match

from api.router import Router, make_routes
from tests.apis import ask

things = Router(prefix="/api/things/{thing_id}/parts")


@things.get("")
async def parts(thing_id: str) -> str:
    return thing_id


app = FastAPI()
app.include_router(things)


@pytest.mark.parametrize(("path", "status"), [
    ("/api/things/7/parts", 200), ("/api/things/7/parts/", 307), ("/api/things/7", 404), ("/api/thing", 404),
])  # fmt: skip
def test_addresses_are_found_as_by_any_router(path: str, status: int) -> None:
    assert ask(app, "GET", path).status_code == status


def test_a_method_that_is_not_there_is_told_from_an_address_that_is_not() -> None:
    assert ask(app, "PUT", "/api/things/7/parts").status_code == 405


def test_the_routes_of_another_address_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(things, "routes")
    assert things.matches({"type": "http", "method": "GET", "path": "/api/rules"}) == (Match.NONE, {})


def test_what_was_made_before_needs_not_be_made_by_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    made = FastAPI()
    made.include_router(things)
    make_routes(made)
    monkeypatch.delattr("fastapi.routing.get_dependant")
    assert ask(made, "GET", "/api/things/7/parts").status_code == 200
