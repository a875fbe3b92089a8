"""The benchmark of real noise, as far as it can be hurried: a node exporter's series reach a detector and a client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.benchmarks.noise import Watcher, host_under_watch
from tests.node_exporter import missing_node_exporter
from tests.processes import wait_until
from tests.prometheus import missing_prometheus

MISSING = missing_prometheus() or missing_node_exporter()
pytestmark = [pytest.mark.integration, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MANY = 200
"""Every node exporter shows more series."""


async def hear(api: str) -> int:
    watcher = Watcher()
    async with watcher.listening(api):
        return len(watcher.heard)


def test_all_metrics_of_a_real_host_are_watched(tmp_path: Path) -> None:
    with host_under_watch(tmp_path, interval_s=0.5) as (api, flow):
        wait_until(lambda: flow.metrics()["tocsin_flow_series"] > MANY, 60.0, f"{MANY} series of the node exporter")
        wait_until(lambda: flow.metrics()["tocsin_flow_judged_total"] > 2 * MANY, 60.0, f"{2 * MANY} samples judged")
        metrics = flow.metrics()
        assert metrics["tocsin_flow_lanes"] == metrics["tocsin_flow_series"], "one detector on all of them"
        assert asyncio.run(hear(api)) == 0, "nothing alarms before it has warmed up"
