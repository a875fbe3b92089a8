from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from connectors.probes import Component, Probes


@pytest.fixture
def state() -> dict[str, Component]:
    return {"source": Component("ok"), "detectors": Component("ok")}


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


def test_ready_and_not_ready(url: str, state: dict[str, Component]) -> None:
    assert get(url + "/ready") == (200, {"ready": True, "reason": ""})
    state["detectors"] = Component("down", "not read yet")
    assert get(url + "/ready?verbose") == (503, {"ready": False, "reason": "detectors: not read yet"})


def test_health_names_every_component(url: str, state: dict[str, Component]) -> None:
    ok = {"status": "ok", "reason": ""}
    assert get(url + "/health") == (200, {"status": "ok", "components": {"source": ok, "detectors": ok}})
    state["source"] = Component("down", "broker gone")
    status, body = get(url + "/health")
    assert status == 503
    assert body == {
        "status": "down", "components": {"source": {"status": "down", "reason": "broker gone"}, "detectors": ok},
    }  # fmt: skip


def test_metrics(url: str) -> None:
    answer = httpx.get(url + "/metrics", timeout=10)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\ntocsin_bells_total 3.0\n" in answer.text


def test_anything_else_is_not_found(url: str) -> None:
    assert get(url + "/")[0] == 404
    assert httpx.post(url + "/alive", timeout=10).status_code == 501
