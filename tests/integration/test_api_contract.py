"""Requests that schemathesis makes from the api's own OpenAPI document: nothing fails, all answers are as described."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.default_detectors import write_defaults
from connectors.kafka_clients import confirm, make_producer
from connectors.settings import KafkaSettings
from tests.anomalies import make_anomaly
from tests.apis import ROOT, RunningApi, api_settings, running_api, wait_for
from tests.integration.test_api_feed import produce

pytestmark = pytest.mark.integration

SEED, EXAMPLES = 1, 1
"""Of each operation, besides some sixty that its schema asks for: half a minute of processor time in all."""
TIMEOUT_S = 300
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
CONFIG = """
[parameters]
"path.detector_id" = "default-cpu"
"path.anomaly_id" = "{anomaly}"
"path.partition" = 0
"path.offset" = 0

[phases.coverage]
unexpected-methods = []
"""
SAME_BODY = """
[[operations]]
include-name = "{operation}"
phases.coverage.enabled = false
generation.max-examples = 3
"""
"""Things that are there: with made-up ids nearly all would end at 404. A data source may well answer 502 or 503.

What other methods are answered is tested for every address in test_api_bounds.py."""
SAME_BODIES = (
    "PUT /api/detectors/{detector_id}",
    "POST /api/detectors/preview",
    "PUT /api/datasources/{source_id}",
    "POST /api/datasources/test",
    "PUT /api/datasources/{source_id}/collectors/{collector_id}",
)
"""Their body is, or holds, that of another operation, whose every bound is tried: they get a few made-up ones."""


@pytest.fixture
def api(kafka_settings: KafkaSettings) -> Iterator[RunningApi]:
    """Data sources may be on this machine alone, so that nobody else is asked."""
    write_defaults(kafka_settings, 1_000)
    produce(kafka_settings, [make_anomaly(1)])
    producer = make_producer(kafka_settings, "test")
    confirm([producer.send(kafka_settings.topics.dead_letter, b"x")], kafka_settings.delivery_timeout_s)
    producer.close()
    with running_api(api_settings(kafka_settings, api_source_networks="127.0.0.0/8")) as running:
        level = running.http.get("/api/log-level").json()
        yield running
        running.http.put("/api/log-level", json=level)


def share_unicode_data(folder: Path) -> None:
    """What hypothesis works out in seconds, and keeps in the folder that it runs in: which characters there are."""
    data = ROOT / ".hypothesis" / "unicode_data"
    data.mkdir(parents=True, exist_ok=True)
    (folder / ".hypothesis").mkdir()
    (folder / ".hypothesis" / data.name).symlink_to(data)


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_nothing_fails_and_every_answer_is_as_described(api: RunningApi, tmp_path: Path) -> None:
    wait_for(lambda: len(api.http.get("/api/anomalies").json()["anomalies"]) == 1)
    share_unicode_data(tmp_path)
    config = tmp_path / "schemathesis.toml"
    bodies = [SAME_BODY.format(operation=operation) for operation in SAME_BODIES]
    config.write_text("".join([CONFIG.format(anomaly=make_anomaly(1).id), *bodies]))
    bounds = ["--seed", str(SEED), "--max-examples", str(EXAMPLES), "--request-timeout", "30"]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{api.url}/api/docs"]
    done = subprocess.run(
        [*command, *bounds, "--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS), "--no-color"],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    operations = sum(len(path) for path in json.loads(api.http.get("/api/docs").text)["paths"].values())
    assert f"Tested: {operations}" in done.stdout
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found, done.stdout
    assert int(found[1]) == int(found[2]) > 10 * operations
