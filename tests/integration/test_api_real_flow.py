"""Samples in Kafka, the real flow as a process, and what it writes: on REST, WebSocket and to a foreign consumer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.series_hash import series_hash
from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, OutRecord
from connectors.settings import KafkaSettings
from tests.apis import DEADLINE_S, ROOT, RunningApi, api_settings, running_api, wait_for
from tests.brokers import free_port
from tests.integration.test_api_consumer import judge
from tests.integration.test_api_feed import subscribe
from tests.processes import get

pytestmark = pytest.mark.integration

START_MS = 1_767_225_600_000
STEP_MS = 1_000
SERIES, STEPS = 40, 240
SPIKES = {(number, 120 + 3 * number % 60) for number in range(0, SERIES, 2)}
DETECTOR = {
    "name": "Queue length",
    "kind": "mad",
    "selector": '{__name__="queue_length"}',
    "params": {"window": 60},
    "threshold": 12.0,
    "quiet_s": 10,
}


GROUPED = {
    "name": "Queues together",
    "kind": "ewma",
    "selector": '{__name__="queue_length"}',
    "params": {"warmup": 5},
    "group": {"by": ["__name__"], "step_s": 5, "grace_s": 1},
    "threshold": 50.0,
}


def labels_of(number: int) -> dict[str, str]:
    return {"__name__": "queue_length", "queue": f"q{number}", "note": 'with "quotes", ünicode\nand lines'}


def records(settings: KafkaSettings, steps: range = range(-1, STEPS), detectors: int = 1) -> Iterator[OutRecord]:
    """Every series' samples step by step, each step followed by the second hand in every partition."""
    rng = np.random.default_rng(3)
    topic, key = settings.topics.metrics, DEFAULT_TENANT.encode()
    homes = [
        series_hash(encode_labels(labels_of(number)), DEFAULT_TENANT) % settings.partitions for number in range(SERIES)
    ]
    for step in steps:
        time_ms = START_MS + step * STEP_MS
        values = rng.normal(100.0, 5.0, SERIES)
        for number in range(SERIES if step >= 0 else 0):
            value = 1_000.0 if (number, step) in SPIKES else float(values[number])
            body = encode_write_request([(labels_of(number), [(time_ms, value)])])
            yield OutRecord(topic, key, body, [], homes[number])
        yield from second_hand(settings, step, detectors)


def second_hand(settings: KafkaSettings, step: int, detectors: int) -> Iterator[OutRecord]:
    """The time of a step, in every partition."""
    time_ms = START_MS + step * STEP_MS
    control = ControlRecord(time_ms=time_ms, detectors_offset=detectors, feedback_offset=0).encode()
    for partition in range(settings.partitions):
        yield OutRecord(settings.topics.metrics, None, control, [(CONTROL_HEADER, b"1")], partition)


@contextmanager
def running_flow(settings: KafkaSettings, home: Path, stop: int = signal.SIGTERM) -> Iterator[str]:
    """The address of its probes; it is ended by a signal."""
    port = free_port()
    given = {f"TOCSIN_{key.upper()}": str(value) for key, value in settings.model_dump().items()}
    environment = {**os.environ, **given, "TOCSIN_HOME": str(home), "TOCSIN_FLOW_PORT": str(port)}
    environment["TOCSIN_FLOW_SNAPSHOT_INTERVAL_S"] = "1"
    with (home / "flow.log").open("wb") as log:
        flow = subprocess.Popen([sys.executable, "-m", "flows.run"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
        assert flow.poll() is None, (home / "flow.log").read_text()[-2000:]
    finally:
        flow.send_signal(stop)
        flow.wait(DEADLINE_S)


def listed(api: RunningApi) -> dict[str, dict[str, Any]]:
    page = api.http.get("/api/anomalies", params={"limit": 1000}).json()
    return {anomaly["id"]: anomaly for anomaly in page["anomalies"]}


def test_what_the_flow_writes_is_valid_and_the_same_everywhere(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    with running_api(api_settings(kafka_settings)) as api, connect(api.socket_url) as client:
        subscribe(client)
        detector = api.http.post("/api/detectors", json=DETECTOR).json()
        producer = make_producer(kafka_settings, "test")
        confirm([send(producer, record) for record in records(kafka_settings)], 30)
        producer.close()
        with running_flow(kafka_settings, tmp_path) as flow:
            wait_for(
                lambda: sum(anomaly["event"] == "closed" for anomaly in listed(api).values()) >= len(SPIKES),
                f"see {tmp_path}/flow.log",
                timeout_s=60,
            )
            wait_for(
                lambda: get(f"{flow}/health").json()["status"] == "ok",
                "log time is old, but nothing waits: there is no lag",
            )
        code, verdict = judge(kafka_settings)
        assert (code, verdict.problems) == (0, [])
        assert verdict.last == listed(api)
        queues = {(a["signal"]["labels"]["queue"], a["peak"]["time_ms"]) for a in verdict.last.values()}
        assert queues == {(f"q{number}", START_MS + step * STEP_MS) for number, step in SPIKES}
        for anomaly in verdict.last.values():
            assert anomaly["signal"]["labels"]["note"] == labels_of(0)["note"]
            assert anomaly["detector"] == {"id": detector["id"], "name": "Queue length", "kind": "mad", "revision": 1}
            assert (anomaly["direction"], anomaly["closed_by"], anomaly["peak"]["value"]) == ("up", "quiet", 1_000.0)
        received: dict[str, Any] = {}
        for _ in range(verdict.records):
            event = json.loads(client.recv(DEADLINE_S))["data"]
            received[event["id"]] = event
        assert received == verdict.last


def test_how_detectors_do_is_what_the_flow_tells_before_and_after_it_was_killed(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    with running_api(api_settings(kafka_settings)) as api:
        ids = [api.http.post("/api/detectors", json=config).json()["id"] for config in (DETECTOR, GROUPED)]
        single, groups = (f"/api/detectors/{detector_id}" for detector_id in ids)
        assert api.http.get(f"{single}/status").json()["standing"]["series"] is None, "nothing is guessed"
        assert api.http.get(f"{single}/health").json()["says"].startswith("nothing was ever heard of a flow")
        feed(kafka_settings, range(-1, 100))
        with running_flow(kafka_settings, tmp_path, signal.SIGKILL):
            told_at(api, single, 99, kafka_settings)
        before = standing(api, single)
        assert (before["series"], before["signals"], before["running"], before["silent"]) == (SERIES, SERIES, SERIES, 0)
        feed(kafka_settings, range(100, STEPS))
        with running_flow(kafka_settings, tmp_path):
            told_at(api, single, STEPS - 1, kafka_settings)
            wait_for(lambda: (standing(api, groups)["signals"], standing(api, groups)["warming"]) == (1, 0))
            api.http.delete(f"{groups}", headers={"If-Match": "*"}).raise_for_status()
            feed(kafka_settings, range(STEPS, STEPS + 20), detectors=3)
            wait_for(lambda: api.context is not None and api.context.told.of(ids[1]) == [], "tombstones")
            check_signals(api, single)
        after = standing(api, single)
        assert after["anomalies"] == len(SPIKES), "counted over the kill, each once"
        assert after["partitions_told"] == kafka_settings.partitions
        assert (after["in_force"], after["needs"], after["step_s"]) == (True, 0, 1.0)
        check_lint(api, single)
        summary = api.http.get("/api/status").json()
        assert summary["flow"]["missing"] == []
        assert sum(one["series"] for one in summary["flow"]["partitions"]) == SERIES
        assert [(one["detector"], one["signals"], one["health"]) for one in summary["detectors"]] == [
            (ids[0], SERIES, "down")
        ], "its log time is years ago"


def feed(settings: KafkaSettings, steps: range, detectors: int = 2) -> None:
    producer = make_producer(settings, "test")
    confirm([send(producer, record) for record in records(settings, steps, detectors)], 30)
    producer.close()


def standing(api: RunningApi, path: str) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get(f"{path}/status").json()["standing"]
    return found


def told_at(api: RunningApi, path: str, step: int, settings: KafkaSettings) -> None:
    """Wait until all partitions have told how a detector did shortly before that step or at it.

    A flow that works off a backlog tells of few a second, and goes on when the second hand does: here it stands still.
    """
    producer = make_producer(settings, "test")

    def told() -> bool:
        parts = [part for part in standing(api, path)["parts"] if part["partition"] is not None]
        if len(parts) == settings.partitions and all(
            part["told_ms"] >= START_MS + (step - 25) * STEP_MS for part in parts
        ):
            return True
        confirm([send(producer, record) for record in second_hand(settings, step, detectors=2)], 30)
        return False

    try:
        wait_for(told, timeout_s=60)
    finally:
        producer.close()


def check_signals(api: RunningApi, path: str) -> None:
    """All are there once, on pages or filtered, with the verdict on a sample that was sent."""
    whole = api.http.get(f"{path}/status").json()
    assert (whole["named"], whole["next"], len(whole["signals"])) == (SERIES, None, SERIES)
    paged, after = [], ""
    while after is not None:
        page = api.http.get(f"{path}/status", params={"limit": 15, "after": after}).json()
        paged += page["signals"]
        after = page["next"]
    assert [one["labels"] for one in paged] == [one["labels"] for one in whole["signals"]]
    assert {one["labels"]["queue"] for one in paged} == {f"q{number}" for number in range(SERIES)}
    for one in paged:
        assert one["last_ms"] >= one["time_ms"] >= START_MS
        number, step = int(one["labels"]["queue"][1:]), (one["time_ms"] - START_MS) // STEP_MS
        if one["lower"] is None:  # of each is told what was judged first since it was told of before
            assert step < DETECTOR["params"]["window"], "warming up"
            continue
        assert one["lower"] < one["expected"] < one["upper"]
        assert (number, step) in SPIKES or one["lower"] - 20 < one["value"] < one["upper"] + 20
    assert api.http.get(f"{path}/status", params={"state": "warming"}).json()["named"] == 0
    assert api.http.get(f"{path}/status", params={"state": "running", "open": False}).json()["named"] == SERIES


def check_lint(api: RunningApi, path: str) -> None:
    """What the flow told is in the linter's numbers, of the detector and of a draft with its selector."""
    draft = {"name": "draft", "kind": "auto", "selector": DETECTOR["selector"]}
    other = {**draft, "selector": "other"}
    answers = [
        api.http.get(f"{path}/lint"),
        *(api.http.post("/api/detectors/lint", json={"config": config}) for config in (draft, other)),
    ]
    saved, like, unknown = ({one["code"]: one for one in answer.json()["findings"]} for answer in answers)
    assert saved["watches"]["numbers"] == like["watches"]["numbers"] == {"series": SERIES}
    assert saved["first_verdict"]["says"] == "first verdict after 60 samples: 60 s at 1 s"
    assert "series_unknown" in unknown
    share = {**draft, "group": {"denominator": DETECTOR["selector"]}}
    refused = api.http.post("/api/detectors/lint", json={"config": share}).json()
    assert (refused["ok"], [one["code"] for one in refused["findings"]]) == (False, ["never_fires"])
    assert api.http.post("/api/detectors", json=share).status_code == 422
