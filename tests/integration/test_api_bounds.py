"""What the api does not take: headers and bodies without end, values of the wrong kind, pages of other origins."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from connectors.topics import create_topics
from tests.apis import RunningApi, api_settings, running_api
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

FRIEND = "https://friend.example:8443"
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def api(broker: str) -> Iterator[RunningApi]:
    """One api for all tests, for none of them changes anything."""
    kafka = unique_settings(broker)
    create_topics(kafka)
    settings = api_settings(kafka, api_body_timeout_s=0.3, api_origins=f"https://other.example, {FRIEND}/")
    with running_api(settings) as running:
        yield running


def raw(api: RunningApi, sent: bytes) -> tuple[bytes, dict[str, Any]]:
    """Status line and problem of the answer, after which the server has closed."""
    found = b""
    with socket.create_connection(("127.0.0.1", api.port), DEADLINE_S) as connection:
        connection.sendall(sent)
        while piece := connection.recv(65_536):
            found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    problem = json.loads(body)
    lines = {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n"))}
    assert problem["request_id"]
    assert lines[b"x-request-id"].decode() == problem["request_id"]
    return head.partition(b"\r\n")[0], problem


GETTABLE = [
    "/alive",
    "/ready",
    "/health",
    "/api/detectors",
    "/api/detector-kinds",
    "/api/anomalies?limit=1",
    "/api/schemas/anomaly.v1.json",
    "/api/docs",
    "/api/docs/ui",
]


@pytest.mark.parametrize("path", GETTABLE)
def test_every_address_answers_head_as_get_without_the_body(api: RunningApi, path: str) -> None:
    head, get = api.http.head(path), api.http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert path == "/health" or head.headers["content-length"] == str(len(get.content))  # it tells response times
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_is_counted_as_head_and_refused_where_get_is(api: RunningApi) -> None:
    before = api.metric("tocsin_api_http_requests_total", method="HEAD", route="/metrics", code="200")
    assert api.http.head("/metrics").status_code == 200
    assert api.metric("tocsin_api_http_requests_total", method="HEAD", route="/metrics", code="200") == before + 1
    refused = api.http.head("/api/nowhere")
    assert (refused.status_code, refused.content) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/metrics", *(path for path in GETTABLE if path != "/api/detectors")])
def test_what_can_only_be_read_says_so(api: RunningApi, path: str, method: str) -> None:
    answer = api.http.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("POST", "/api/detectors/d-1", "GET, HEAD, PUT, PATCH, DELETE"), ("GET", "/api/detectors/d-1/stop", "POST"),
    ("DELETE", "/api/detectors", "GET, HEAD, POST"), ("PUT", "/api/detectors", "GET, HEAD, POST"),
    ("DELETE", "/api/anomalies/0", "GET, HEAD"), ("POST", "/api/docs/assets/swagger-ui.css", "GET, HEAD"),
])  # fmt: skip
def test_all_methods_of_an_address_are_told(api: RunningApi, method: str, path: str, allowed: str) -> None:
    answer = api.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_header_without_end_is_a_problem(api: RunningApi) -> None:
    status, problem = raw(api, b"GET /alive HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000)
    assert status.startswith(b"HTTP/1.1 431 ")
    assert (problem["code"], problem["status"], problem["retryable"]) == ("header_too_large", 431, False)


def test_what_is_no_http_is_a_problem(api: RunningApi) -> None:
    status, problem = raw(api, b"\x16\x03\x01\x02\x00\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 400 ")
    assert problem["code"] == "bad_request"


def test_a_body_that_is_never_whole_is_a_problem(api: RunningApi) -> None:
    head = b"POST /api/detectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    status, problem = raw(api, head + b"{")
    assert status.startswith(b"HTTP/1.1 408 ")
    assert (problem["code"], problem["retryable"]) == ("timeout", True)
    assert "TOCSIN_API_BODY_TIMEOUT_S" in problem["detail"]


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"threshold": True}, "number"),
        ({"threshold": "8"}, "number"),
        ({"quiet_s": "60"}, "number"),
        ({"enabled": "no"}, "boolean"),
        ({"enabled": 0}, "boolean"),
        ({"name": 7}, "string"),
        ({"tenant": "a|b"}, "a-z A-Z 0-9"),
        ({"tenant": ".."}, "neither . nor .."),
        ({"tenant": "ü"}, "a-z A-Z 0-9"),
        ({"selector": 'up{a="b",a="c"}'}, "no series can fulfil both"),
        ({"selector": 'up{__name__!="up"}'}, "no series can fulfil both"),
    ],
)
def test_a_value_that_would_be_bent_or_can_never_fire_is_refused(
    api: RunningApi, changes: dict[str, Any], right: str
) -> None:
    body = {"name": "n", "kind": "mad", "selector": "up", **changes}
    answer = api.http.post("/api/detectors", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == next(iter(changes))
    assert right in error["expected"]


def test_whole_numbers_are_numbers(api: RunningApi) -> None:
    body = {"name": "n", "kind": "mad", "selector": "up", "threshold": 9, "quiet_s": 30}
    made = api.http.post("/api/detectors", json=body)
    assert made.status_code == 201
    assert (made.json()["config"]["threshold"], made.json()["config"]["quiet_s"]) == (9.0, 30.0)
    assert api.http.delete(made.headers["location"], headers={"If-Match": "*"}).status_code == 204


@pytest.mark.parametrize("page", ["own", None, FRIEND, "https://OTHER.example"])
def test_a_page_of_this_host_or_an_allowed_one_may_open_a_websocket(api: RunningApi, page: str | None) -> None:
    origin = f"http://127.0.0.1:{api.port}" if page == "own" else page
    with connect(api.socket_url, additional_headers={"Origin": origin} if origin else {}) as client:
        client.send('{"type": "ping"}')
        assert json.loads(client.recv(DEADLINE_S))["type"] == "pong"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1", "null", "", FRIEND[:-1]])
def test_any_other_page_may_not(api: RunningApi, origin: str) -> None:
    before = api.metric("tocsin_api_socket_clients_closed_total", reason="origin")
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(api.socket_url, additional_headers={"Origin": origin}),
    ):
        pytest.fail("it is connected")
    assert refused.value.response.status_code == 403
    problem = json.loads(refused.value.response.body or b"")
    assert (problem["code"], problem["instance"]) == ("forbidden", "/api/ws")
    assert api.metric("tocsin_api_socket_clients_closed_total", reason="origin") == before + 1
