"""``/health`` of a real api: each part with its state, and why it is not well."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from connectors.kafka_clients import confirm, make_producer
from connectors.probes import OK
from connectors.settings import KafkaSettings
from connectors.status import LogsStatus, PartitionStatus, logs_key, partition_key
from connectors.topics import create_topics
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.brokers import free_port
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

BESIDE = {"system", "kafka", "store", "history", "cache", "websocket", "flow/metrics"}


@pytest.fixture(scope="module")
def kafka(broker: str) -> KafkaSettings:
    settings = unique_settings(broker)
    create_topics(settings)
    return settings


@pytest.fixture(scope="module")
def api(kafka: KafkaSettings) -> Iterator[RunningApi]:
    with running_api(api_settings(kafka, api_max_clients=1)) as running:
        yield running


def parts(api: RunningApi) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get("/health").json()["components"]
    return found


def told(kafka: KafkaSettings, partition: int, log_ms: int) -> None:
    status = PartitionStatus(
        partition=partition, log_ms=log_ms, looked_ms=None, detectors_offset=0, detectors=0, series=0, lanes=0,
        samples=0, judged=0, drops={},
    )  # fmt: skip
    tell(kafka, partition_key(partition), status.encode())


def tell(kafka: KafkaSettings, key: bytes, value: bytes) -> None:
    producer = make_producer(kafka, "test")
    confirm([producer.send(kafka.topics.status, key=key, value=value)], 20)
    producer.close()


def test_every_part_is_told_and_what_was_asked_has_a_time(api: RunningApi) -> None:
    wait_for(lambda: parts(api)["history"]["status"] == parts(api)["labels"]["status"] == "ok")
    found = parts(api)
    assert api.context is not None
    assert set(found) >= {*BESIDE, *api.context.topics}
    assert {name for name, part in found.items() if part["status"] != "ok"} == {"flow/metrics"}
    assert found["flow/metrics"]["reason"] == "nothing was ever heard of a flow"
    for name in ("kafka", "store"):
        assert 0 < found[name]["response_ms"] < 2_000
    assert api.http.get("/health").status_code == 200


def test_a_flow_is_well_while_all_its_partitions_are_heard_of(api: RunningApi, kafka: KafkaSettings) -> None:
    now_ms = int(time.time() * 1000)
    for partition in range(kafka.partitions):
        told(kafka, partition, now_ms - (600_000 if partition == 2 else 0))
    wait_for(lambda: parts(api)["flow/metrics"]["reason"].endswith("1 of 4 partitions for 60 s: 2"))
    told(kafka, 2, now_ms)
    wait_for(lambda: parts(api)["flow/metrics"]["status"] == "ok")


def test_the_logs_flow_is_a_part_once_it_was_heard_of(api: RunningApi, kafka: KafkaSettings) -> None:
    assert "flow/logs" not in parts(api)
    for partition in range(kafka.partitions):
        alive = LogsStatus(partition=partition, log_ms=int(time.time() * 1000), lines=1, bytes=2, drops={})
        tell(kafka, logs_key(partition), alive.encode())
        if partition == 0:
            wait_for(lambda: parts(api).get("flow/logs", {}).get("reason", "").endswith("for 60 s: 1, 2, 3"))
    wait_for(lambda: parts(api)["flow/logs"]["status"] == "ok")


def test_as_many_clients_as_are_allowed_are_told(api: RunningApi) -> None:
    with connect(api.socket_url) as client:
        client.send('{"type": "ping"}')
        client.recv(20)
        assert "TOCSIN_API_MAX_CLIENTS" in parts(api)["websocket"]["reason"]
    wait_for(lambda: parts(api)["websocket"]["status"] == "ok")


def test_a_data_source_that_does_not_answer_degrades(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.parts.REMEMBERED_S", 0.0)
    body = {"name": "gone", "kind": "prometheus", "url": f"http://127.0.0.1:{free_port()}"}
    made = api.http.post("/api/datasources", json=body)
    assert made.status_code == 201, made.text
    name = f"prometheus/{made.json()['id']}"
    wait_for(lambda: name in parts(api))
    assert (parts(api)[name]["status"], api.http.get("/health").status_code) == ("degraded", 200)
    assert parts(api)[name]["reason"]
    api.http.delete(made.headers["location"], headers={"If-Match": "*"})
    wait_for(lambda: name not in parts(api))


def test_who_watches_goes_on_after_a_look_that_failed(api: RunningApi) -> None:
    context = api.context
    assert context is not None
    at_hand = context.at_hand

    def fail() -> Any:
        message = "what psutil raises, or another"
        raise RuntimeError(message)

    with connect(api.socket_url) as socket:
        socket.send('{"type": "subscribe", "topics": ["system"]}')
        assert json.loads(socket.recv(10))["type"] == "subscribed"
        context.at_hand = fail
        wait_for(lambda: api.metric("tocsin_api_component_looks_failed_total") >= 1)
        context.at_hand = lambda: {**at_hand(), "another": OK}
        while json.loads(socket.recv(10))["data"]["component"] != "another":
            pass
    context.at_hand = at_hand
