from __future__ import annotations

import logging
import socket
import struct
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from connectors.probes import OK, Component, Health, Probes, Ready, Status, down_if
from connectors.settings import authority
from tests.brokers import loopbacks
from tests.processes import wait_until


@pytest.fixture
def state() -> dict[str, Component]:
    return {"source": OK, "detectors": OK}


@pytest.fixture
def url(state: dict[str, Component]) -> str:
    registry = CollectorRegistry()
    Counter("tocsin_bells", "Bells rung", registry=registry).inc(3)
    return f"http://127.0.0.1:{Probes('127.0.0.1', 0, registry, lambda: state).port}"


def get(url: str) -> tuple[int, object]:
    answer = httpx.get(url, timeout=10)
    return answer.status_code, answer.json()


def test_alive(url: str) -> None:
    assert get(url + "/alive") == (200, {"alive": True})


@pytest.mark.parametrize("host", loopbacks())
def test_every_address_can_be_listened_on(host: str) -> None:
    probes = Probes(host, 0, CollectorRegistry(), dict)
    assert get(f"http://{authority(host, probes.port)}/alive") == (200, {"alive": True})


def test_a_process_may_tell_more_beside_its_probes() -> None:
    probes = Probes("127.0.0.1", 0, CollectorRegistry(), dict, {"/more": lambda: OK})
    url = f"http://127.0.0.1:{probes.port}"
    assert get(url + "/more") == (200, {"status": "ok", "reason": "", "response_ms": None})
    assert get(url + "/less")[0] == 404
    assert httpx.post(url + "/more", timeout=10).status_code == 405


def test_ready_and_not_ready(url: str, state: dict[str, Component]) -> None:
    assert get(url + "/ready") == (200, {"ready": True, "reason": ""})
    state["detectors"] = down_if("not read yet")
    assert get(url + "/ready?verbose") == (503, {"ready": False, "reason": "detectors: not read yet"})


def test_health_names_every_component(url: str, state: dict[str, Component]) -> None:
    ok = {"status": "ok", "reason": "", "response_ms": None}
    assert get(url + "/health") == (200, {"status": "ok", "components": {"source": ok, "detectors": ok}})
    state["source"] = down_if("broker gone")
    status, body = get(url + "/health")
    assert status == 503
    assert body == {
        "status": "down", "components": {"source": {**ok, "status": "down", "reason": "broker gone"}, "detectors": ok},
    }  # fmt: skip


def test_the_worst_part_counts_and_a_degraded_one_still_works() -> None:
    degraded = Component(status=Status.DEGRADED, reason="full")
    for parts, status, code in (
        ({}, Status.DOWN, 503),
        ({"a": OK, "b": OK}, Status.OK, 200),
        ({"a": OK, "b": degraded}, Status.DEGRADED, 200),
        ({"a": down_if("gone"), "b": degraded}, Status.DOWN, 503),
    ):
        health = Health.of(parts)
        assert (health.status, health.http_status) == (status, code)
    assert Ready.of({"a": OK, "b": degraded}).ready
    assert down_if("") == OK


def test_a_client_that_hangs_up_leaves_no_trace(
    url: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    reset = struct.pack("ii", 1, 0)  # linger for 0 s: close() sends a reset
    with caplog.at_level(logging.DEBUG):
        with socket.create_connection((address.hostname, address.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.sendall(b"GET /metrics HTTP/1.0")
        wait_until(lambda: "probe of" in caplog.text, 10, "the server to notice")
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert capfd.readouterr().err == ""
    assert get(url + "/alive")[0] == 200


def test_a_part_that_cannot_be_asked_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, Component]:
        message = "a bug"
        raise KeyError(message)

    port = Probes("127.0.0.1", 0, CollectorRegistry(), broken).port
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/ready", timeout=10)
    wait_until(lambda: "a bug" in caplog.text, 10, "the error in the log")
    assert {record.levelname for record in caplog.records if "probe of" in record.message} == {"ERROR"}


def test_metrics(url: str) -> None:
    answer = httpx.get(url + "/metrics", timeout=10)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\ntocsin_bells_total 3.0\n" in answer.text


@pytest.mark.parametrize("path", ["/alive", "/ready", "/health", "/metrics", "/"])
def test_head_is_get_without_the_body(url: str, path: str) -> None:
    head, get = httpx.head(url + path, timeout=10), httpx.get(url + path, timeout=10)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-type"] == get.headers["content-type"]


def test_anything_else_is_refused_with_a_reason(url: str) -> None:
    assert get(url + "/?a") == (
        404, {"error": "/: try /alive, /ready, /health or /metrics", "reason": "not_found"}
    )  # fmt: skip
    for method in ("POST", "DELETE", "WHATEVER"):
        refused = httpx.request(method, url + "/alive", content=b"x" * 10_000, timeout=10)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert refused.json() == {"error": f"{method} /alive: GET, HEAD only", "reason": "method_not_allowed"}
        assert httpx.request(method, url + "/", timeout=10).status_code == 404
