"""A real flow on a real embedded broker, for benchmarks: start, feed, wait, and read what it cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import httpx
import psutil

from connectors.detector import DetectorConfig, DetectorRevision
from connectors.kafka_clients import confirm, make_producer
from connectors.messages import CONTROL_HEADER, ControlRecord
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ROOT, Embedded, free_port

START_S = 180.0
POLL_S = 0.2
JUDGED_POLL_S = 0.5
"""To answer costs the flow some milliseconds, which count as its own: Prometheus asks every 15 s."""


class Cost(NamedTuple):
    """What a process spent between two moments."""

    cpu_s: float
    wall_s: float


@contextmanager
def broker_with_topics(home: Path, partitions: int = 8) -> Iterator[KafkaSettings]:
    """An embedded broker of our own with all topics."""
    broker = Embedded(free_port(), home / "broker")
    broker.start()
    try:
        settings = KafkaSettings(kafka=broker.bootstrap, partitions=partitions, delivery_timeout_s=60.0)
        create_topics(settings)
        yield settings
    finally:
        broker.stop()


class FlowProcess:
    """``python -m flows.run`` as ``make run`` starts it; several processes when given ``cluster`` options."""

    def __init__(self, settings: KafkaSettings, home: Path, options: Sequence[str] = (),
                 port_variable: str = "TOCSIN_FLOW_PORT", **more: str) -> None:  # fmt: skip
        self.port = free_port()
        self._environment = {
            **os.environ,
            "TOCSIN_KAFKA": settings.kafka,
            "TOCSIN_TOPIC_PREFIX": settings.topic_prefix,
            "TOCSIN_PARTITIONS": str(settings.partitions),
            "TOCSIN_HOME": str(home),
            port_variable: str(self.port),
            **more,
        }
        self._options = options
        self._log = home / f"flow-{self.port}.log"

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "flows.run", *self._options],
                env=self._environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def await_ready(self) -> None:
        """Until /ready answers 200."""
        deadline = time.monotonic() + START_S
        while not self._ready():
            self.check(deadline, POLL_S)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def check(self, deadline: float, pause_s: float) -> None:
        """Wait a little; raises if the flow ended, or should be done by now."""
        if self.process.poll() is not None:
            raise RuntimeError("the flow ended:\n" + self._log.read_text()[-3000:])
        if time.monotonic() > deadline:
            raise TimeoutError("the flow is not where it should be:\n" + self._log.read_text()[-3000:])
        time.sleep(pause_s)

    def metrics(self) -> dict[str, float]:
        """All metrics by name with labels."""
        lines = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30).text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def cpu_s(self) -> float:
        """User and system CPU seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def await_judged(flows: Sequence[FlowProcess], judged: int, timeout_s: float = 600.0) -> Cost:
    """Wait until so many samples were judged in all; gives what that cost from now on."""
    started, before = time.monotonic(), sum(flow.cpu_s() for flow in flows)
    while True:
        done = sum(flow.metrics()["tocsin_flow_judged_total"] for flow in flows)
        if done >= judged:
            return Cost(sum(flow.cpu_s() for flow in flows) - before, time.monotonic() - started)
        for flow in flows:
            flow.check(started + timeout_s, JUDGED_POLL_S / len(flows))


class Feeder:
    """Writes what ingest would write: detectors, samples and control records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topics, self._partitions = settings.topics, settings.partitions
        self._timeout_s = settings.delivery_timeout_s
        self._producer = make_producer(settings, "tocsin-feeder")
        self._futures: list[object] = []
        self._revisions = 0

    def close(self) -> None:
        """End the producer."""
        self._producer.close()

    def detectors(self, configs: Mapping[str, DetectorConfig]) -> None:
        """New detectors by id."""
        for detector_id, config in configs.items():
            revision = DetectorRevision(
                detector_id=detector_id, base_revision=0, config=config, author="benchmark", time_ms=0
            )
            self._futures.append(
                self._producer.send(self._topics.detectors, key=detector_id.encode(), value=revision.encode())
            )
            self._revisions += 1
        self.confirm()

    def control(self, time_ms: int) -> None:
        """The second hand, to every partition."""
        value = ControlRecord(time_ms=time_ms, detectors_offset=self._revisions, feedback_offset=0).encode()
        for partition in range(self._partitions):
            self._futures.append(
                self._producer.send(
                    self._topics.metrics, partition=partition, value=value, headers=[(CONTROL_HEADER, b"1")]
                )
            )

    def samples(self, partition: int, value: bytes, tenant: bytes = b"anonymous") -> None:
        """A record of samples."""
        self._futures.append(self._producer.send(self._topics.metrics, partition=partition, key=tenant, value=value))

    def confirm(self) -> None:
        """Wait until Kafka has everything."""
        self._producer.flush()
        confirm(self._futures, self._timeout_s)
        self._futures.clear()
