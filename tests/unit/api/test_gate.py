import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from api.gate import Gate, Limit
from api.meters import ApiMeters
from api.problems import REQUEST_ID_HEADER
from api.refusal import install_problems
from connectors.messages import Message
from tests.apis import ask

LIMIT = Limit(100, "TOCSIN_API_MAX_BODY_BYTES")
BODY_TIMEOUT_S = 20.0


class Thing(Message):
    name: str


def make_app() -> tuple[FastAPI, ApiMeters]:
    meters = ApiMeters()
    app = FastAPI()
    app.add_middleware(Gate, meters=meters, limit_of=lambda _: LIMIT, body_timeout_s=BODY_TIMEOUT_S)
    install_problems(app)

    @app.post("/things/{thing_id}")
    async def put(thing_id: str, thing: Thing) -> Thing:
        return Thing(name=thing.name + thing_id)

    @app.get("/broken")
    async def broken() -> None:
        message = "secret detail"
        raise ZeroDivisionError(message)

    return app, meters


def counted(meters: ApiMeters, method: str, route: str, code: str) -> float | None:
    labels = {"method": method, "route": route, "code": code}
    return meters.registry.get_sample_value("tocsin_api_http_requests_total", labels)


def test_answers_are_counted_by_route_not_by_path() -> None:
    app, meters = make_app()
    for thing in ("a", "b"):
        assert ask(app, "POST", f"/things/{thing}", json={"name": "x"}).status_code == 200
    assert counted(meters, "POST", "/things/{thing_id}", "200") == 2
    for path in ("/nowhere", "/elsewhere"):
        assert ask(app, "BREW", path).status_code == 404
    assert counted(meters, "other", "(none)", "404") == 2


def test_a_harmless_request_id_is_kept_and_another_is_replaced() -> None:
    app, _ = make_app()
    kept = ask(app, "GET", "/nowhere", headers={REQUEST_ID_HEADER: "trace-7"})
    assert kept.headers[REQUEST_ID_HEADER] == kept.json()["request_id"] == "trace-7"
    drawn = ask(app, "GET", "/nowhere", headers={REQUEST_ID_HEADER: "a b"})
    assert len(drawn.headers[REQUEST_ID_HEADER]) == 16
    assert drawn.headers[REQUEST_ID_HEADER] == drawn.json()["request_id"]


def test_every_request_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "api.gate")
    app, _ = make_app()
    ask(app, "POST", "/things/a", json={"name": "x"})
    ask(app, "GET", "/" + "x" * 500)
    ask(app, "GET", "/alive")
    lines = [record for record in caplog.records if record.name == "api.gate"]
    assert [line.getMessage()[:20] for line in lines] == ["POST /things/a", "GET /" + "x" * 15, "GET /alive"]
    assert [line.__dict__["status"] for line in lines] == [200, 404, 404]
    assert all(0.0 <= line.__dict__["duration_ms"] < 10_000 for line in lines)
    assert len(lines[1].getMessage()) < 250


def test_what_nobody_expected_is_a_500_that_shows_nothing_of_the_inside() -> None:
    app, meters = make_app()
    answer = ask(app, "GET", "/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert answer.headers[REQUEST_ID_HEADER] == answer.json()["request_id"] != ""
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert counted(meters, "GET", "/broken", "500") == 1


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 60):
        yield body[begin : begin + 60]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("extra", [0, 1])
def test_a_body_is_read_up_to_its_bound(extra: int, declared: bool) -> None:
    app, _ = make_app()
    frame = len(json.dumps({"name": ""}))
    body = json.dumps({"name": "x" * (LIMIT.most_bytes - frame + extra)}).encode()
    content = body if declared else in_pieces(body)
    answer = ask(app, "POST", "/things/a", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == (413 if extra else 200)
    if extra:
        assert answer.json()["code"] == "too_large"
        assert "100 bytes" in answer.json()["detail"]


def test_nothing_is_read_of_a_body_that_says_it_is_too_large() -> None:
    app, _ = make_app()

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    length = {"Content-Length": str(LIMIT.most_bytes + 1), "Content-Type": "application/json"}
    assert ask(app, "POST", "/things/a", content=never(), headers=length).json()["code"] == "too_large"
