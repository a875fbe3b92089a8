from __future__ import annotations

import logging

import cramjam
import httpx
import pytest

from api.child import ANNOUNCE
from api.demo import PROCESSES_EVERY, Source, announce, push_once
from api.demo_settings import DemoSettings
from api.push import Outbox
from api.shop import FAULTS
from connectors.codec.record import decode_record


def families(source: Source, time_s: float) -> set[str]:
    return {labels["__name__"] for labels, _ in source.read(time_s)}


def test_it_reads_the_machine_and_the_shop_and_sometimes_the_processes() -> None:
    source = Source(start_s=1_800_000_000.0)
    reads = [families(source, 1_800_000_000.0 + second) for second in range(PROCESSES_EVERY + 1)]
    assert all({"node_cpu_seconds_total", "shop_requests_total", "shop_fault"} <= names for names in reads)
    told = ["namedprocess_namegroup_num_procs" in names for names in reads]
    assert told == [True, *[False] * (PROCESSES_EVERY - 1), True]


def test_a_fault_is_announced_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for before, now in ((None, None), (None, FAULTS[0]), (FAULTS[0], FAULTS[0]), (FAULTS[0], None)):
            announce(before, now)
    assert [record.getMessage() for record in caplog.records] == [
        "demo: fault payment_errors for 20 s: 30 % of payment requests fail",
        "demo: fault payment_errors is over",
    ]
    assert all(getattr(record, ANNOUNCE) is True for record in caplog.records)


def test_one_push_is_one_readable_body() -> None:
    bodies: list[bytes] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(204)

    with httpx.Client(transport=httpx.MockTransport(ingest)) as client:
        push_once(Source(start_s=0.0), Outbox(client, "http://ingest/api/v1/write"))
    [body] = bodies
    decoded = decode_record(bytes(cramjam.snappy.decompress_raw(body)), seed=0)
    assert len(decoded.series) == len(set(decoded.series.tolist())) > 50
    assert len(set(decoded.times_ms.tolist())) == 1


def test_the_address_follows_the_settings() -> None:
    assert DemoSettings(host="127.0.0.9", ingest_port=8101).url == "http://127.0.0.9:8101/api/v1/write"
