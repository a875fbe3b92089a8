"""Ingest as tests run it: the real server in a thread, requests over real sockets, and Kafka read back."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cramjam

from connectors.codec.encode import encode_write_request
from connectors.ingest import Ingest, make_server, serve
from connectors.ingest_settings import IngestSettings
from connectors.messages import CONTROL_HEADER, ControlRecord, Metadata
from connectors.received import Received
from connectors.settings import KafkaSettings
from tests import wire
from tests.brokers import ROOT, free_port, read_all
from tests.processes import wait_until

READY_S = 100.0
"""The first start on a machine compiles the kernels."""
V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
V2 = {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        return dict(json.loads(self.body))

    @property
    def written(self) -> tuple[int, int, int]:
        """Samples, histograms and exemplars by the headers of 2.0."""
        names = ("samples", "histograms", "exemplars")
        counts = [int(self.headers[f"x-prometheus-remote-write-{name}-written"]) for name in names]
        return counts[0], counts[1], counts[2]


class RunningIngest:
    """A server that runs, and what one does with it."""

    def __init__(self, settings: KafkaSettings, port: int, app: Ingest | None = None) -> None:
        self.settings = settings
        self.port = port
        self.app = app
        """in this process, or None"""

    def ready(self) -> bool:
        """Whether it listens and says that it is ready."""
        try:
            return bool(self.get("/ready")["ready"])
        except ConnectionError:
            return False

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def write(self, request: bytes, headers: Mapping[str, str] = V1, **more: str) -> Answer:
        """Send a request that is not yet compressed."""
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return self.raw(snappy(request), {**headers, **named})

    def raw(self, body: bytes, headers: Mapping[str, str] = V1) -> Answer:
        return self.request("POST", "/api/v1/write", body, headers)

    def get(self, path: str) -> dict[str, Any]:
        return dict(json.loads(self.request("GET", path).body))

    def metric(self, name: str) -> float:
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def written(self) -> list[tuple[bytes | None, int, wire.Series]]:
        """Every series in ``tocsin.metrics`` with key and partition of its record."""
        return [
            (record.key, record.partition, series)
            for record in read_all(self.settings, self.settings.topics.metrics)
            if not is_control(record)
            for series in wire.read_record(record.value or b"")
        ]

    def names(self) -> list[str]:
        """``__name__`` of every series written, sorted."""
        return sorted(dict(series.labels)[b"__name__"].decode() for _, _, series in self.written())

    def families(self) -> dict[bytes | None, Metadata]:
        """The last metadata of each key."""
        records = read_all(self.settings, self.settings.topics.metadata)
        return {record.key: Metadata.decode(record.value or b"") for record in records}

    def controls(self) -> list[tuple[int, ControlRecord]]:
        """Partition and value of every control record."""
        records = read_all(self.settings, self.settings.topics.metrics)
        return [(r.partition, ControlRecord.decode(r.value or b"")) for r in records if is_control(r)]

    def assert_taken(self, path: Path, tenant: str) -> None:
        """Send a recorded body; every series of it, as the twin reads it, must stand in Kafka, and nothing else."""
        headers = {name: value for name, value in json.loads(path.read_text())["headers"] if name != "Host"}
        body = path.with_suffix(".body").read_bytes()
        answer = self.raw(body, {**headers, "X-Scope-OrgID": tenant})
        assert answer.status == 204, answer
        split = wire.split_2 if "v2.Request" in headers.get("Content-Type", "") else wire.split_1
        twin = split(bytes(cramjam.snappy.decompress_raw(body)))
        assert twin.series or twin.families
        expected = sorted(twin.good(), key=repr)
        assert sorted((series for key, _, series in self.written() if key == tenant.encode()), key=repr) == expected


def is_control(record: Received) -> bool:
    return any(name == CONTROL_HEADER for name, _ in record.headers)


def snappy(request: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(request))


def sample(name: str, value: float = 1.0, time_ms: int = 1_700_000_000_000) -> bytes:
    """A 1.0 request with one sample."""
    return encode_write_request([({"__name__": name}, [(time_ms, value)])])


@contextmanager
def running(settings: KafkaSettings, ready: bool = True, **changes: Any) -> Iterator[RunningIngest]:
    """Ingest on a free port, ready unless told otherwise; ended on leaving."""
    app = Ingest(IngestSettings(**{**settings.model_dump(), "ingest_port": 0, **changes}))
    server = make_server(app, app.settings)

    def run() -> None:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(serve(app, server))

    thread = threading.Thread(target=run, name="ingest-under-test")
    thread.start()
    try:
        wait_until(lambda: server.started, 10.0, "the server to listen")
        ingest = RunningIngest(app.settings, server.servers[0].sockets[0].getsockname()[1], app)
        if ready:
            wait_until(ingest.ready, READY_S, "ingest to be ready")
        yield ingest
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def process(settings: KafkaSettings, code: int = 0, **environment: str) -> Iterator[tuple[RunningIngest, int]]:
    """``python -m connectors.ingest`` on a free port, ready, and its process id; ended on leaving, with ``code``."""
    ingest = RunningIngest(settings, free_port())
    given = {
        "TOCSIN_KAFKA": settings.kafka,
        "TOCSIN_TOPIC_PREFIX": settings.topic_prefix,
        "TOCSIN_PARTITIONS": str(settings.partitions),
        "TOCSIN_DELIVERY_TIMEOUT_S": str(settings.delivery_timeout_s),
        "TOCSIN_INGEST_PORT": str(ingest.port),
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "connectors.ingest"], cwd=ROOT, env={**os.environ, **given, **environment}
    )
    try:
        wait_until(lambda: ingest.ready() or started.poll() is not None, READY_S, "ingest to be ready")
        assert started.poll() is None, f"ingest ended with code {started.poll()}"
        yield ingest, started.pid
    finally:
        started.terminate()
        assert started.wait(20) == code
