"""The whole way: real Prometheus scrapes an exporter that spikes, and a WebSocket client hears of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from websockets.sync.client import connect

from connectors.settings import KafkaSettings
from tests import ingests
from tests.apis import api_process, api_settings
from tests.integration.test_api_feed import subscribe
from tests.integration.test_api_real_flow import running_flow
from tests.prometheus import Exporter, Prometheus, missing_prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

WINDOW = 10
SPIKES_AT = 3 * WINDOW
SPIKE = 5_000.0
DETECTOR = {
    "name": "Queue length",
    "kind": "mad",
    "selector": '{__name__="queue_length",job="exporter"}',
    "params": {"window": WINDOW},
    "threshold": 20.0,
}


def test_a_spike_that_prometheus_scrapes_is_heard_on_a_websocket(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    scrapes = itertools.count()

    def page() -> str:
        scrape = next(scrapes)
        value = SPIKE if scrape >= SPIKES_AT else 100.0 + scrape * 7 % 5
        return f'# TYPE queue_length gauge\nqueue_length{{queue="checkout"}} {value}\n# EOF\n'

    with (
        ingests.process(kafka_settings) as (ingest, _),
        api_process(api_settings(kafka_settings), tmp_path / "api.log") as api,
        running_flow(kafka_settings, tmp_path),
        connect(api.socket_url) as client,
    ):
        subscribe(client)
        assert api.http.post("/api/detectors", json=DETECTOR).status_code == 201
        url = f"http://127.0.0.1:{ingest.port}/api/v1/write"
        with Exporter(page) as exporter, Prometheus(tmp_path, exporter.port, url):
            heard = json.loads(client.recv(60))["data"]

    assert heard["event"] == "opened"
    assert heard["value"] == SPIKE
    assert 100.0 <= heard["expected"] <= 105.0
    assert heard["lower"] <= heard["expected"] <= heard["upper"] < SPIKE
    assert heard["direction"] == "up"
    assert heard["signal"] == {
        "labels": {
            "__name__": "queue_length",
            "instance": f"127.0.0.1:{exporter.port}",
            "job": "exporter",
            "queue": "checkout",
        },
        "shape": "raw",
        "expression": None,
    }
