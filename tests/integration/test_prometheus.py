"""The whole way: real Prometheus scrapes an exporter whose metrics jump, and a WebSocket client hears of it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from websockets.sync.client import connect

from connectors.messages import DEFAULT_TENANT, Metadata, metadata_key
from connectors.topics import create_topics
from tests import ingests
from tests.apis import api_process, api_settings
from tests.conftest import unique_settings
from tests.integration.test_api_feed import subscribe
from tests.integration.test_api_real_flow import running_flow
from tests.prometheus import PLAIN_TEXT, Exporter, Prometheus, missing_prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

WINDOW = 15
SPIKES_AT = 2 * WINDOW
JUMPS_AT = 5 * WINDOW
"""Later, so that Prometheus has told the types, which it does once a second, and a window of rates is full."""
SPIKE = 5_000.0
HEARD_S = 60.0
GROWN = np.cumsum(np.random.default_rng(0).uniform(0.0, 200.0, 4 * round(HEARD_S) + 100))
"""Noise is wide, and thresholds are high: a scrape that comes late on a busy machine is no anomaly of the rate."""
METRICS = ("queue_length", "switches", "seats_total")


def detector(metric: str) -> dict[str, Any]:
    """Its shape is the default, auto."""
    return {
        "name": metric,
        "kind": "mad",
        "selector": f'{{__name__="{metric}",job="exporter"}}',
        "params": {"window": WINDOW},
        "threshold": 100.0,
    }


def page(scrape: int) -> str:
    """A gauge, a counter without ``_total``, and a gauge with it: only their types tell them apart."""
    noise = scrape * 7 % 5
    length = SPIKE if scrape >= SPIKES_AT else 100.0 + noise
    switches = GROWN[scrape] + SPIKE * max(0, scrape - JUMPS_AT + 1)
    seats = SPIKE if scrape >= JUMPS_AT else 100.0 + noise
    return (
        f'# TYPE queue_length gauge\nqueue_length{{queue="checkout"}} {length}\n'
        f"# TYPE switches counter\nswitches {switches}\n"
        f"# TYPE seats_total gauge\nseats_total {seats}\n"
    )


class Heard(NamedTuple):
    exporter: str
    opened: dict[str, dict[str, Any]]
    """the first anomaly of each detector, by its name"""
    families: Mapping[bytes | None, Metadata]


@pytest.fixture(scope="module")
def heard(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """What a client hears while Prometheus scrapes: all parts are started once."""
    scrapes, home, settings = itertools.count(), tmp_path_factory.mktemp("whole"), unique_settings(broker)
    create_topics(settings)
    opened: dict[str, dict[str, Any]] = {}
    with (
        ingests.process(settings) as (ingest, _),
        api_process(api_settings(settings), home / "api.log") as api,
        running_flow(settings, home),
        connect(api.socket_url) as client,
    ):
        subscribe(client)
        for metric in METRICS:
            assert api.http.post("/api/detectors", json=detector(metric)).status_code == 201
        url = f"http://127.0.0.1:{ingest.port}/api/v1/write"
        with Exporter(lambda: page(next(scrapes)), PLAIN_TEXT) as exporter, Prometheus(home, exporter.port, url):
            until_s = time.monotonic() + HEARD_S
            while len(opened) < len(METRICS):
                event = json.loads(client.recv(max(0.0, until_s - time.monotonic())))["data"]
                opened.setdefault(event["detector"]["name"], event)
        return Heard(f"127.0.0.1:{exporter.port}", opened, ingest.families())


def test_a_spike_that_prometheus_scrapes_is_heard_on_a_websocket(heard: Heard) -> None:
    spike = heard.opened["queue_length"]
    assert spike["event"] == "opened"
    assert spike["value"] == SPIKE
    assert 100.0 <= spike["expected"] <= 105.0
    assert spike["lower"] <= spike["expected"] <= spike["upper"] < SPIKE
    assert spike["direction"] == "up"
    assert spike["signal"] == {
        "labels": {
            "__name__": "queue_length",
            "instance": heard.exporter,
            "job": "exporter",
            "queue": "checkout",
        },
        "shape": "raw",
        "expression": None,
    }


def test_a_counter_is_what_prometheus_metadata_calls_one_whatever_its_name(heard: Heard) -> None:
    told = {metric: heard.families[metadata_key(DEFAULT_TENANT, metric)].type for metric in METRICS}
    assert told == {"queue_length": "gauge", "switches": "counter", "seats_total": "gauge"}
    jump = heard.opened["switches"]
    assert jump["event"] == "opened"
    assert jump["signal"]["shape"] == "rate"
    assert 0.0 < jump["expected"] < 2_000.0 < SPIKE < jump["value"]
    seats = heard.opened["seats_total"]
    assert (seats["signal"]["shape"], seats["value"]) == ("raw", SPIKE)
