"""What stands in Kafka and in the store beside the anomalies, for measurements of the REST API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from connectors.catalogue import Topics
from connectors.detector import DetectorConfig, DetectorRevision
from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import DEAD_LETTER_ORIGIN_HEADER, DEAD_LETTER_REASON_HEADER, OutRecord
from connectors.settings import KafkaSettings
from connectors.status import (
    DetectorStatus,
    PartitionStatus,
    SignalState,
    SignalStatus,
    detector_key,
    partition_key,
)
from tests.benchmarks.api_fill import START_MS
from tests.benchmarks.matching import labels_of, selector_of

DEAD_LETTERS, RULES, SOURCES, COLLECTORS = 450, 20, 10, 5
AT_ONCE = 5_000
FULL_EVERY = 4
"""One detector of so many is told of by all partitions, the others by one."""
SIGNALS = 3
"""Named of a detector on each partition."""


def write_topics(settings: KafkaSettings, detectors: int) -> None:
    """Detectors, what a flow tells of them, and dead letters."""
    producer = make_producer(settings, "benchmark")
    sent = []
    for record in records(settings, detectors):
        sent.append(send(producer, record))
        if len(sent) == AT_ONCE:
            confirm(sent, settings.delivery_timeout_s)
            sent.clear()
    producer.flush()
    confirm(sent, settings.delivery_timeout_s)
    producer.close()


def records(settings: KafkaSettings, detectors: int) -> Iterator[OutRecord]:
    """All of them."""
    topics, partitions = settings.topics, settings.partitions
    for number in range(detectors):
        value = revision_of(number).encode()
        yield OutRecord(topics.detectors, f"d{number}".encode(), value, [])
    for partition in range(partitions):
        alive = PartitionStatus(
            partition=partition, log_ms=START_MS, looked_ms=START_MS, detectors_offset=detectors, detectors=detectors,
            series=20_000 // partitions, lanes=50_000, samples=10**8, judged=10**8, drops={"late": 7},
        )  # fmt: skip
        yield OutRecord(topics.status, partition_key(partition), alive.encode(), [])
        for number in range(detectors):
            if number % FULL_EVERY and number % partitions != partition:
                continue
            key = detector_key(f"d{number}", partition)
            yield OutRecord(topics.status, key, told_of(number, partition).encode(), [])
    yield from dead_letters(topics)


def revision_of(number: int) -> DetectorRevision:
    """One detector, as the api writes it."""
    config = DetectorConfig(
        name=f"detector {number}",
        kind=("mad", "auto", "zscore")[number % 3],
        selector=selector_of(number, distinct=True),
        labels={"team": f"team-{number % 11}"},
    )
    return DetectorRevision(detector_id=f"d{number}", base_revision=0, config=config, author="benchmark", time_ms=0)


def told_of(number: int, partition: int) -> DetectorStatus:
    """One detector on one partition, as a flow tells of it."""
    signals = [
        SignalStatus(
            labels=labels_of(number * 97 + 8 * one + partition), state=SignalState.RUNNING, open=one == 0, needs=0,
            last_ms=START_MS, time_ms=START_MS, value=98.5, score=0.25, expected=97.5, lower=90.25, upper=103.5,
        )
        for one in range(SIGNALS)
    ]  # fmt: skip
    return DetectorStatus(
        detector=f"d{number}", partition=partition, log_ms=START_MS, revision=1, enabled=True, matched=SIGNALS,
        members=0, warming=0, running=SIGNALS, silent=0, open=1, needs=0, step_s=15.0, last_ms=START_MS, samples=10**5,
        anomalies=7, since_ms=START_MS - 10**9, anomalies_per_day=0.6, threshold=4.5, drops={}, state_bytes=10**4,
        signals=signals,
    )  # fmt: skip


def dead_letters(topics: Topics) -> Iterator[OutRecord]:
    """Records that no flow could read."""
    for number in range(DEAD_LETTERS):
        origin = f"{topics.metrics}/{number % 4}/{number}".encode()
        headers = [(DEAD_LETTER_REASON_HEADER, b"poison: wire type 7"), (DEAD_LETTER_ORIGIN_HEADER, origin)]
        yield OutRecord(topics.dead_letter, b"shop", b"\x0f" * 500, headers)


def add_by_rest(http: httpx.Client) -> dict[str, list[str]]:
    """Rules, data sources that nobody listens at, and collectors; the addresses at which they are read."""
    for number in range(RULES):
        verdict = {"verdict": "expected", "rule": {}, "author": "benchmark"}
        http.post(f"/api/anomalies/{number:032x}/verdict", json=verdict).raise_for_status()
    listed = http.get("/api/datasources").raise_for_status().json()["datasources"]
    known = {one["config"]["name"]: one["id"] for one in listed}
    for number in range(SOURCES):
        config = {"name": f"source {number}", "kind": "prometheus", "url": f"http://127.0.0.1:1/{number}"}
        if config["name"] in known:
            continue
        made = http.post("/api/datasources", json=config).raise_for_status().json()
        known[config["name"]] = made["id"]
        for query in range(COLLECTORS):
            collector = {"name": f"collector {query}", "query": "up", "enabled": False}
            http.post(f"/api/datasources/{made['id']}/collectors", json=collector).raise_for_status()
    ids = list(known.values())
    return {
        "data sources": ["/api/datasources", *(f"/api/datasources/{one}" for one in ids)],
        "collectors": [f"/api/datasources/{one}/collectors" for one in ids],
    }
