from __future__ import annotations

import pytest

from connectors.messages import MetricType
from flows.shape.counter import is_counter

C, G, H, S, GH, U = (
    MetricType(name) for name in ("counter", "gauge", "histogram", "summary", "gaugehistogram", "unknown")
)


@pytest.mark.parametrize(("metric", "types", "expected"), [
    ("requests_total", {}, True),
    ("rpc_seconds_count", {}, True),
    ("rpc_seconds_sum", {}, True),
    ("rpc_seconds_bucket", {}, True),
    ("temperature", {}, False),
    ("temperature", {"temperature": U}, False),
    ("context_switches", {"context_switches": C}, True),
    ("requests_total", {"requests": C}, True),
    ("requests_created", {"requests": C}, False),
    ("worker_count", {"worker_count": G}, False),
    ("jobs_total", {"jobs_total": G}, False),
    ("rpc_seconds_count", {"rpc_seconds": H}, True),
    ("rpc_seconds", {"rpc_seconds": S}, False),
    ("rpc_seconds_sum", {"rpc_seconds": S}, True),
    ("queue_bucket", {"queue": GH}, False),
    ("queue_gsum", {"queue": GH}, False),
    ("queue_count", {"queue": G}, True),  # a gauge has no such series: the name is of something else
    ("_total", {}, True),
])  # fmt: skip
def test_the_type_decides_and_else_the_name(metric: str, types: dict[str, MetricType], expected: bool) -> None:
    assert is_counter(metric, types.get) is expected
