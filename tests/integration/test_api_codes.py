"""Every code that the api can answer is produced, by a client where a client can do it, and says what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import flows.revisions
from api import source_table
from api.app import create_app
from api.problems import ACTIONS, RETRYABLE, STATUS, Code
from connectors.errors import SourceRefused, StoreUnavailable
from connectors.kafka_clients import confirm, make_producer
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import make_anomaly
from tests.apis import RunningApi, api_settings, ask, running_api
from tests.brokers import free_port
from tests.conftest import unique_settings
from tests.integration.test_api_feed import produce

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0
Problem = dict[str, Any]
CONFIG = {"name": "n", "kind": "mad", "selector": "up"}
HEAD = b"POST /api/detectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def api(broker: str) -> Iterator[RunningApi]:
    kafka = unique_settings(broker)
    create_topics(kafka)
    producer = make_producer(kafka, "test")
    confirm([producer.send(kafka.topics.dead_letter, b"x")], kafka.delivery_timeout_s)
    producer.close()
    produce(kafka, [make_anomaly(1)])
    with running_api(api_settings(kafka, api_body_timeout_s=0.3)) as running:
        assert running.http.post("/api/detectors", json=CONFIG).status_code == 201
        yield running


def raw(api: RunningApi, sent: bytes) -> Problem:
    found = b""
    with socket.create_connection(("127.0.0.1", api.port), DEADLINE_S) as connection:
        connection.sendall(sent)
        while piece := connection.recv(65_536):
            found += piece
    return json.loads(found.partition(b"\r\n\r\n")[2])


def asked(method: str, path: str, **more: Any) -> Callable[[RunningApi], Problem]:
    return lambda api: api.http.request(method, path, **more).json()


def foreign(api: RunningApi) -> Problem:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(api.socket_url, additional_headers={"Origin": "https://evil.example"}),
    ):
        pytest.fail("it is connected")
    return json.loads(refused.value.response.body or b"")


def with_changes(path: str, change: Callable[[pytest.MonkeyPatch, RunningApi], None], **more: Any) -> Any:
    def ask_it(api: RunningApi) -> Problem:
        with pytest.MonkeyPatch.context() as patch:
            change(patch, api)
            return api.http.request("POST" if more else "GET", path, **more).json()

    return ask_it


def overload(patch: pytest.MonkeyPatch, api: RunningApi) -> None:
    assert api.context is not None
    patch.setattr(api.context.dead_letters._workers, "most", 0)


def without_rules(patch: pytest.MonkeyPatch, _: RunningApi) -> None:
    patch.setattr("api.anomaly.MOST_RULES", 0)


def without_room(patch: pytest.MonkeyPatch, _: RunningApi) -> None:
    patch.setattr(flows.revisions, "MAX_DETECTORS", 1)


def without_kafka(path: str, method: str = "GET", **changes: Any) -> Callable[[RunningApi], Problem]:
    nowhere = KafkaSettings(kafka="127.0.0.1:1", delivery_timeout_s=1.0)
    return lambda _: ask(create_app(api_settings(nowhere, **changes)), method, path).json()


def forgetful(api: RunningApi) -> Problem:
    """The embedded broker's process does not say whether changes are kept."""
    kafka = api_settings(KafkaSettings(), api_broker_health=f"http://127.0.0.1:{free_port()}/health")
    assert api.context is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.context.revisions, "_upkeep", create_app(kafka).state.context.upkeep)
        return api.http.post("/api/detectors", json={**CONFIG, "threshold": 7}).json()


def raising(error: Exception) -> Callable[[RunningApi], Problem]:
    """An address that fails so, in the app as it is."""

    def ask_it(_: RunningApi) -> Problem:
        app = create_app(api_settings(KafkaSettings(kafka="127.0.0.1:1")))

        @app.get("/api/failing")
        async def failing() -> None:
            raise error

        return ask(app, "GET", "/api/failing").json()

    return ask_it


SOURCE = {"name": "nowhere", "kind": "prometheus", "url": "http://127.0.0.1:1"}


def unreachable(api: RunningApi) -> Problem:
    made = api.http.post("/api/datasources", json={**SOURCE, "name": "elsewhere"}).json()
    asked = {"query": "up", "from_ms": 0, "to_ms": 1000, "step_s": 1}
    return api.http.post(f"/api/datasources/{made['id']}/query", json=asked).json()


def twice(api: RunningApi) -> Problem:
    api.http.post("/api/datasources", json=SOURCE)
    return api.http.post("/api/datasources", json=SOURCE).json()


def without_sources(patch: pytest.MonkeyPatch, _: RunningApi) -> None:
    patch.setattr(source_table, "MAX_SOURCES", 0)


CASES: dict[Code, Callable[[RunningApi], Problem]] = {
    Code.BAD_REQUEST: asked("POST", "/api/detectors", content=b"{", headers={"Content-Type": "application/json"}),
    Code.FORBIDDEN: foreign,
    Code.NOT_FOUND: asked("GET", "/api/detectors/nobody"),
    Code.METHOD_NOT_ALLOWED: asked("DELETE", "/api/anomalies"),
    Code.DUPLICATE_DETECTOR: asked("POST", "/api/detectors", json=CONFIG),
    Code.DETECTOR_LIMIT: with_changes("/api/detectors", without_room, json={**CONFIG, "threshold": 9}),
    Code.RULE_LIMIT: with_changes(
        f"/api/anomalies/{make_anomaly(1).id}/verdict", without_rules, json={"verdict": "expected", "rule": {}}
    ),
    Code.NOT_REPLAYABLE: asked("POST", "/api/dead-letters/0/0/replay"),
    Code.STALE_REVISION: lambda api: changed(api, '"77"'),
    Code.TIMEOUT: lambda api: raw(api, HEAD + b"Content-Length: 100\r\n\r\n{"),
    Code.TOO_LARGE: asked("POST", "/api/detectors", json={**CONFIG, "name": "n" * 70_000}),
    Code.HEADER_TOO_LARGE: lambda api: raw(api, b"GET /alive HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000),
    Code.UNSUPPORTED_MEDIA_TYPE: asked("POST", "/api/detectors", content=b"{}", headers={"Content-Type": "text/csv"}),
    Code.INVALID: asked("POST", "/api/detectors", json={**CONFIG, "kind": "mda"}),
    Code.UPGRADE_REQUIRED: asked("GET", "/api/ws"),
    Code.PRECONDITION_REQUIRED: lambda api: changed(api, None),
    Code.OVERLOADED: with_changes("/api/dead-letters", overload),
    Code.INTERNAL: raising(RuntimeError("the password is 123")),
    Code.SOURCE_REFUSED: raising(SourceRefused(reason="bad_data", message="parse error")),
    Code.UNAVAILABLE: forgetful,
    Code.LOADING: without_kafka("/api/detectors"),
    Code.KAFKA_UNAVAILABLE: without_kafka("/api/dead-letters"),
    Code.STORE_UNAVAILABLE: raising(StoreUnavailable("no answer")),
    Code.SOURCE_UNAVAILABLE: unreachable,
    Code.DUPLICATE_SOURCE: twice,
    Code.SOURCE_LIMIT: with_changes("/api/datasources", without_sources, json=SOURCE),
}


def changed(api: RunningApi, if_match: str | None) -> Problem:
    (detector,) = api.http.get("/api/detectors").json()["detectors"]
    headers = {"If-Match": if_match} if if_match is not None else {}
    return api.http.put(f"/api/detectors/{detector['id']}", json=CONFIG, headers=headers).json()


def test_every_code_has_a_case() -> None:
    assert set(CASES) == set(Code)


@pytest.mark.parametrize("code", CASES)
def test_it_is_answered_and_says_what_to_do(api: RunningApi, code: Code) -> None:
    problem = CASES[code](api)
    assert (problem["code"], problem["status"], problem["action"]) == (code, STATUS[code], ACTIONS[code])
    assert problem["retryable"] is (code in RETRYABLE)
    assert problem["request_id"]
    assert "123" not in problem["detail"], "nothing of the inside"


def test_an_address_without_a_websocket_is_told_as_a_problem(api: RunningApi) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(api.socket_url + "s"):
        pytest.fail("it is connected")
    answer = refused.value.response
    problem = json.loads(answer.body or b"")
    assert (answer.status_code, problem["code"], problem["instance"]) == (404, "not_found", "/api/wss")
    assert "/api/ws" in problem["detail"]
    assert answer.headers["X-Request-ID"] == problem["request_id"]


@pytest.mark.parametrize(
    ("header", "says"),
    [("Sec-WebSocket-Key: x", "Sec-WebSocket-Key"), ("Sec-WebSocket-Version: 7", "Version header: 7")],
)
def test_an_upgrade_that_is_none_is_told_as_a_problem(api: RunningApi, header: str, says: str) -> None:
    usual = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    headers = [f"{name}: {value}" for name, value in usual.items() if not header.startswith(name)]
    lines = ["GET /api/ws HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", *headers, header, "", ""]
    problem = raw(api, "\r\n".join(lines).encode())
    assert (problem["code"], problem["status"]) == ("bad_request", 400)
    assert says in problem["detail"]
