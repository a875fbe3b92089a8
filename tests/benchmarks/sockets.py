"""``python -m tests.benchmarks.sockets [--clients 1000] [--stuck 10] [--json]``: anomalies to a thousand clients.

One api process; anomalies are written to Kafka as a flow writes them, 50 a second, evenly, in bursts of 10 s with
pauses between. Each bears the moment when it was due, so the latency is from there to the arrival at each client, and
what waits in the writer or in Kafka counts too. Some clients subscribe and never read: they must be cut off, and cost
others nothing. The clients are one process of their own (``tests/benchmarks/socket_clients.py``), on the same machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from connectors.anomaly import Contributor
from connectors.kafka_clients import confirm, make_producer
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings
from tests.anomalies import make_anomaly
from tests.apis import api_process, api_settings
from tests.benchmarks.flow_process import broker_with_topics
from tests.benchmarks.host import watch_host
from tests.brokers import ROOT

CLIENTS, STUCK = 1_000, 10
RATE, BURST_S, BURSTS, PAUSE_S = 50, 10, 3, 2.0
TARGET_P99_MS = 500.0
MEMBERS = [
    Contributor(labels={"pod": f"checkout-{n:05d}-7d9c5b7f4-abcde", "namespace": "shop", "node": f"node-{n}"}, value=n)
    for n in range(16)
]
"""Of a group, so that events are long, and all of them together more than the kernel takes for a stuck client."""


def burst(settings: KafkaSettings, first: int) -> None:
    """Write anomalies on their schedule, whatever Kafka takes for it."""
    producer = make_producer(settings, "benchmark", linger_ms=0)
    begin_s, sent = time.time() + 0.1, []
    for number in range(RATE * BURST_S):
        due_s = begin_s + number / RATE
        time.sleep(max(0.0, due_s - time.time()))
        due_ms = round(1000 * due_s)
        event = make_anomaly(first + number, start_ms=due_ms, time_ms=due_ms, contributors=MEMBERS)
        record = OutRecord(settings.topics.anomalies, event.id.encode(), event.encode(), [])
        sent.append(producer.send(record.topic, key=record.key, value=record.value))
    confirm(sent, 30.0)
    producer.close()


def run(clients: int, stuck: int) -> dict[str, float]:
    """All bursts, and what the clients say of them."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        settings = stack.enter_context(broker_with_topics(home))
        api = stack.enter_context(api_process(api_settings(settings, api_max_clients=clients), home / "api.log"))
        assert api.process is not None
        server = psutil.Process(api.process.pid)
        command = [sys.executable, "-m", "tests.benchmarks.socket_clients", "127.0.0.1", str(api.port)]
        listener = subprocess.Popen(
            [*command, str(clients), str(stuck)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(listener.kill)
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stdout.readline().strip() == "ready"
        before_bytes, before_s = server.memory_info().rss, sum(server.cpu_times()[:2])
        most_bytes, stolen_share = before_bytes, watch_host()
        for number in range(BURSTS):
            burst(settings, 1 + number * RATE * BURST_S)
            most_bytes = max(most_bytes, server.memory_info().rss)
            time.sleep(PAUSE_S)
        listener.stdin.write(f"{RATE * BURST_S * BURSTS}\n")
        listener.stdin.flush()
        answer = json.loads(listener.stdout.readline())
        return {
            **answer,
            "clients": clients,
            "stuck": stuck,
            "cut_off": api.metric("tocsin_api_socket_clients_closed_total", reason="slow"),
            "server_cpu_s": sum(server.cpu_times()[:2]) - before_s,
            "grown_mib": (most_bytes - before_bytes) / 2**20,
            "stolen_percent": 100 * stolen_share(),
        }


def main(arguments: Sequence[str]) -> int:
    """Run and print; 1 if anything was lost, or the target is missed."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.sockets")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--stuck", type=int, default=STUCK)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = run(chosen.clients, chosen.stuck)
    if chosen.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:14} {value:12,.1f}" for name, value in found.items()))
    return int(found["lost"] + found["twice"] > 0 or found["p99_ms"] >= TARGET_P99_MS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
