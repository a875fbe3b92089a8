"""Parameters of requests are read once for all that are alike, and exactly as FastAPI reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from api import parameters as module
from api.app import create_app
from api.meters import ApiMeters
from api.parameters import AS_FASTAPI, MOST_CHARS, Parameters, remember_parameters
from api.settings import ApiSettings
from tests.apis import ask

Count = Annotated[int, Query(ge=1, le=9)]


class Counting(Parameters):
    """Counts what FastAPI is asked."""

    def __init__(self) -> None:
        self.asked = 0
        super().__init__(self._ask)

    def _ask(self, fields: Sequence[Any], received: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        self.asked += 1
        return AS_FASTAPI(fields, received)


def fields(path: str = "/api/anomalies") -> Sequence[Any]:
    app = create_app(ApiSettings(kafka="127.0.0.1:1"))
    (route,) = (one for one in app.routes if isinstance(one, APIRoute) and one.path == path and "GET" in one.methods)
    return route.dependant.query_params


@pytest.mark.parametrize(
    "query",
    ["", "limit=50&state=open", "label=a%3Db&label=c%3Dd", "from_ms=7&acknowledged=true&unknown=x", "sort=-surprise"],
)
def test_it_is_as_fastapi_reads_it_the_first_time_and_the_next(query: str) -> None:
    counting, of = Counting(), fields()
    read = [counting.read(of, QueryParams(query)) for _ in range(3)]
    assert read == [AS_FASTAPI(of, QueryParams(query))] * 3
    assert (counting.asked, len(counting)) == (1, 1)


def test_what_differs_is_read_by_itself() -> None:
    counting, of = Counting(), fields()
    queries = ("limit=5", "limit=6", "limit=5&limit=6", "limit=6&limit=5", "before=5")
    assert [counting.read(of, QueryParams(query))[0]["limit"] for query in queries] == [5, 6, 6, 5, 100]
    other = fields("/api/detectors")
    assert counting.read(other, QueryParams("limit=5")) == AS_FASTAPI(other, QueryParams("limit=5"))
    assert counting.asked == 6


def test_who_changes_a_list_changes_his_own() -> None:
    counting, of = Counting(), fields()
    counting.read(of, QueryParams("label=a%3Db"))[0]["label"].append("c=d")
    assert counting.read(of, QueryParams("label=a%3Db"))[0]["label"] == ["a=b"]


def test_what_is_wrong_or_long_is_not_kept() -> None:
    counting, of = Counting(), fields()
    for query in ("limit=0", f"detector={'x' * 65}", f"before={'x' * MOST_CHARS}"):
        assert counting.read(of, QueryParams(query)) == counting.read(of, QueryParams(query)), query
    assert (counting.asked, len(counting)) == (6, 0)


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    counting, of = Counting(), fields()
    for limit in range(1, 9):
        assert counting.read(of, QueryParams(f"limit={limit}"))[0]["limit"] == limit
        assert len(counting) <= 3


def test_all_apps_of_the_process_ask_it() -> None:
    app, meters = FastAPI(), ApiMeters()
    remember_parameters(meters)

    @app.get("/{name}")
    async def read(name: str, count: Count = 3) -> tuple[str, int]:
        return name, count

    before = meters.registry.get_sample_value("tocsin_api_parameters_kept") or 0.0
    answers = [ask(app, "GET", path).json() for path in ("/x", "/x", "/y", "/x?count=4", "/x?count=4")]
    assert answers == [["x", 3], ["x", 3], ["y", 3], ["x", 4], ["x", 4]]
    assert ask(app, "GET", "/x?count=10").status_code == 422
    assert (meters.registry.get_sample_value("tocsin_api_parameters_kept") or 0.0) - before == 4  # two of each
