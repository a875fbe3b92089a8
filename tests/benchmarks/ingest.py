"""Ingest alone: remote-write bodies in, Kafka records out, in the real process against the embedded broker.

    python -m tests.benchmarks.ingest [--seconds 20] [--json]

CPU seconds are those of the ingest process, user and system. The load comes from this process: prebuilt requests over
raw sockets, so that it is not what is measured. At the end every sample is read back from Kafka and counted.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cramjam
import psutil

from connectors.codec.encode import encode_write_request
from connectors.codec.record import decode_record
from connectors.follower import Follower
from connectors.messages import CONTROL_HEADER
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import Embedded, free_port
from tests.ingests import process

SERIES = 20_000
SERIES_PER_BODY = 2_000
CONNECTIONS = 8
WARM_S = 3.0


def labels(number: int) -> dict[str, str]:
    """Ten labels of about 250 bytes, as a scrape of a cluster gives them."""
    return {
        "__name__": ("http_requests_total", "http_request_duration_seconds_count")[number % 2],
        "container": "main",
        "instance": f"10.{number % 7}.{number // 250 % 250}.{number % 250}:9100",
        "job": "kubernetes-pods",
        "method": ("GET", "POST", "PUT", "DELETE")[number // 2 % 4],
        "namespace": f"team-{number % 13}",
        "pod": f"checkout-{number:06d}-{number * 2_654_435_761 % 2**32:08x}",
        "region": "eu-central-1",
        "service": f"checkout-{number % 31}",
        "status": ("200", "404", "500")[number % 3],
    }


def requests(time_ms: int) -> list[bytes]:
    """HTTP requests, ready to be sent, that together hold one sample of every series."""
    made = []
    for first in range(0, SERIES, SERIES_PER_BODY):
        numbers = range(first, first + SERIES_PER_BODY)
        body = bytes(
            cramjam.snappy.compress_raw(encode_write_request((labels(n), [(time_ms, n * 0.37)]) for n in numbers))
        )
        head = (
            "POST /api/v1/write HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/x-protobuf\r\n"
            "Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Load:
    """Connections that each send one request after the other and count what was answered 204."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.accepted = [0] * CONNECTIONS
        self.refused: list[bytes] = []
        self._port = port
        self._bodies = bodies
        self._end_s = 0.0

    def run(self, seconds: float) -> int:
        """Send for so long; returns the requests accepted in this time."""
        before = sum(self.accepted)
        self._end_s = time.monotonic() + seconds
        threads = [threading.Thread(target=self._connection, args=(number,)) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.refused:
            message = f"ingest refused {len(self.refused)} requests, the first with {self.refused[0]!r}"
            raise RuntimeError(message)
        return sum(self.accepted) - before

    def _connection(self, number: int) -> None:
        turn = number
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            while time.monotonic() < self._end_s:
                connection.sendall(self._bodies[turn % len(self._bodies)])
                answer = connection.recv(4096)
                if answer.startswith(b"HTTP/1.1 204"):
                    self.accepted[number] += 1
                else:
                    self.refused.append(answer)
                    return
                turn += 1


def count_back(settings: KafkaSettings, expected: int, timeout_s: float = 120.0) -> tuple[int, int]:
    """Samples and records that stand in ``tocsin.metrics``, counted with the flow's own decoder."""
    found = records = 0

    def add(received: list[Received]) -> None:
        nonlocal found, records
        for record in received:
            if record.value is not None and all(name != CONTROL_HEADER for name, _ in record.headers):
                found += len(decode_record(record.value, 0).times_ms)
                records += 1

    with Follower(settings, settings.topics.metrics, add) as follower:
        follower.wait(lambda: found >= expected and follower.caught_up(), timeout_s)
    return found, records


def measure(settings: KafkaSettings, seconds: float) -> dict[str, float]:
    """Load ingest for ``seconds`` and say what it cost."""
    with process(settings) as (ingest, pid):
        load = Load(ingest.port, requests(int(time.time() * 1000)))
        warm = load.run(WARM_S)
        cpu = psutil.Process(pid)
        cpu_before, started = cpu.cpu_times(), time.monotonic()
        accepted = load.run(seconds)
        cpu_after, ended = cpu.cpu_times(), time.monotonic()
        rss = cpu.memory_info().rss
    sent = (warm + accepted) * SERIES_PER_BODY
    found, records = count_back(settings, sent)
    if found != sent:
        message = f"{sent} samples were answered 204, but {found} stand in Kafka"
        raise RuntimeError(message)
    samples = accepted * SERIES_PER_BODY
    user_s, system_s = cpu_after.user - cpu_before.user, cpu_after.system - cpu_before.system
    return {
        "samples_per_cpu_second": samples / (user_s + system_s),
        "samples_per_second": samples / (ended - started),
        "samples": samples,
        "samples_per_record": found / records,
        "cpu_user_s": user_s,
        "cpu_system_s": system_s,
        "wall_s": ended - started,
        "rss_mb": rss / 1e6,
    }


def run(seconds: float = 20.0, settings: KafkaSettings | None = None) -> dict[str, float]:
    """Measure against ``settings``, whose topics exist, or against an embedded broker of its own."""
    if settings is not None:
        return measure(settings, seconds)
    with tempfile.TemporaryDirectory() as folder:
        broker = Embedded(free_port(), Path(folder))
        broker.start()
        try:
            own = KafkaSettings(kafka=broker.bootstrap, topic_prefix="benchmark")
            create_topics(own)
            return measure(own, seconds)
        finally:
            broker.stop()


def main() -> None:
    """Print the result as a table, or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result: dict[str, Any] = run(arguments.seconds)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>24} {value:>16,.1f}")


if __name__ == "__main__":
    main()
