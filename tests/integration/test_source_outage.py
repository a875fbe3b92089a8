"""Prometheus stops and starts again while it is asked: the api says so, and all that asked goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests import ingests
from tests.apis import api_settings, running_api, wait_for
from tests.conftest import unique_settings
from tests.integration.test_api_outage import Load, under
from tests.prometheus import Exporter, Prometheus, missing_prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

BOUND_S = 10.0
"""Of a question that is refused: it was tried four times."""
DETECTOR = {"name": "warm", "kind": "mad", "selector": "temperature", "params": {"window": 30}}
COLLECTOR = {"name": "warmth", "query": "temperature", "step_s": 1, "delay_s": 1}


@pytest.fixture
def kafka(broker: str) -> KafkaSettings:
    settings = unique_settings(broker, 2)
    create_topics(settings)
    return settings


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    page = "# TYPE temperature gauge\ntemperature 21\n# EOF\n"
    with Exporter(lambda: page) as exporter, Prometheus(tmp_path, exporter.port, None) as running:
        yield running


def test_a_prometheus_that_is_away_is_told_and_all_that_asked_it_goes_on(
    kafka: KafkaSettings, prometheus: Prometheus
) -> None:
    with ExitStack() as stack:
        ingest = stack.enter_context(ingests.running(kafka))
        settings = api_settings(kafka, api_ingest=f"http://127.0.0.1:{ingest.port}/api/v1/write")
        api = stack.enter_context(running_api(settings))
        body = {"name": "real", "kind": "prometheus", "url": prometheus.url}
        source = api.http.post("/api/datasources", json=body).json()["id"]
        collector = api.http.post(f"/api/datasources/{source}/collectors", json=COLLECTOR).headers["location"]
        detector = api.http.post("/api/detectors", json=DETECTOR).json()["id"]

        def past(number: int) -> dict[str, Any]:
            """Never the same, or it would be remembered."""
            now_ms = int(time.time()) * 1000
            return {"from_ms": now_ms - 60_000 - 1000 * number, "to_ms": now_ms, "step_s": 1}

        def preview(number: int) -> Any:
            asked = {"config": DETECTOR, "history": {"source": source, **past(number)}}
            return api.http.post("/api/detectors/preview", json=asked)

        def query(number: int) -> Any:
            asked = {"query": "temperature", **past(number)}
            return api.http.post(f"/api/datasources/{source}/query", json=asked)

        def told() -> dict[str, Any]:
            found: dict[str, Any] = api.http.get(collector).json()["status"]
            return found

        def health() -> dict[str, Any]:
            found: dict[str, Any] = api.http.get("/health").json()["components"].get(f"prometheus/{source}", {})
            return found

        asking = Load(preview), Load(query)
        wait_for(lambda: query(0).json().get("series"), "the first sample")
        wait_for(lambda: told()["samples"] > 0, "the first sample of the collector")
        with under(*asking):
            wait_for(lambda: all(load.count(well=True) > 2 for load in asking))
            prometheus.stop()
            answer = api.http.post(f"/api/detectors/{detector}/train", json={"history": {"source": source, **past(0)}})
            assert answer.status_code == 202, answer.text
            training = answer.headers["location"]
            wait_for(lambda: health().get("status") == "degraded", "its health")
            assert health()["reason"].startswith(f"cannot reach {prometheus.url}: ")
            assert api.http.get("/ready").status_code == 200
            wait_for(lambda: "cannot reach" in told()["last_error"], "the collector to say so")
            wait_for(lambda: all(load.count(well=False) > 1 for load in asking), "questions to be refused")
            assert api.http.get(training).json()["state"] == "fetching"
            before, collected = [load.count(well=True) for load in asking], told()["samples"]
            prometheus.start()
            wait_for(lambda: health().get("status") == "ok", "its health")
            wait_for(
                lambda: all(load.count(well=True) > count + 2 for load, count in zip(asking, before, strict=True)),
                "questions to be answered",
            )
            wait_for(lambda: told()["samples"] > collected and not told()["last_error"], "the collector to go on")
            wait_for(lambda: api.http.get(training).json()["state"] == "learning", "the training to go on")
        assert api.http.get(training).json()["samples"] > 0
        for load in asking:
            assert max(seconds for seconds, _ in load.answers) < BOUND_S
            refused = [answer for _, answer in load.answers if not answer.is_success]
            assert refused
            assert {one.text for one in refused if one.json()["code"] != "source_unavailable"} == set()
            assert {one.status_code for one in refused} == {503}
            assert all(one.json()["retryable"] and one.headers["retry-after"] for one in refused)
