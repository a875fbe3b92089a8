"""``python -m tests.benchmarks.latency [--kind mad] [--json]``: remote-write request received → anomaly on a WebSocket.

The real processes of ``make run``; an open-loop sender in a process of its own keeps to its schedule of 50,000 samples
a second whatever the answers take. Each sample bears the moment at which its request was due, so the latency of an
anomaly is the time of its arrival less its ``start_ms``: waiting in the sender counts too. A request waits for the one
before it of the same series, as those of a shard of Prometheus do: what comes out of order is dropped by the flow.

The last two steps hit 22 series a second time, 39 s after the first. A kind that lets a series rest after an episode,
as ``auto`` does, need not tell of these: they are counted apart as ``second_spikes``, and none of them is due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
from websockets.asyncio.client import connect

from connectors.detector import DetectorConfig
from connectors.settings import KafkaSettings
from flows.detectors.registry import KINDS
from tests.benchmarks.flow_process import FlowProcess, await_judged, broker_with_topics
from tests.benchmarks.host import watch_host
from tests.benchmarks.load import Record, labels_of
from tests.benchmarks.pipeline import AUTO_THRESHOLD
from tests.brokers import ROOT, free_port

SERIES = 20_000
REQUESTS_PER_STEP = 10
STEP_MS = 400
WARM_STEPS = 64
STEPS = 100
SPIKES_PER_STEP = 12
START_S = 120.0
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def spiking(step: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Series that spike at a step of the measured part, spread over time and series: no two at a step are the same."""
    return (np.arange(SPIKES_PER_STEP) * (SERIES // SPIKES_PER_STEP) + step * 17) % SERIES


class Requests:
    """The bodies of a step, one for each 2,000 series."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(3)
        self._per_request = SERIES // REQUESTS_PER_STEP
        numbers = range(0, SERIES, self._per_request)
        self._records = [Record([labels_of(n) for n in range(s, s + self._per_request)]) for s in numbers]

    def body(self, request: int, step: int, time_ms: int) -> bytes:
        """Snappy body of a request; steps below 0 are warm-up and hold no spikes."""
        values = self._random.normal(100.0, 5.0, self._per_request)
        if step >= 0:
            mine = spiking(step) - request * self._per_request
            values[mine[(mine >= 0) & (mine < self._per_request)]] = 10_000.0
        return bytes(cramjam.snappy.compress_raw(self._records[request].at(time_ms, values)))


async def send(url: str) -> None:
    """Warm up as fast as ingest takes it, then keep to the schedule; prints ``begin_ms`` between the two."""
    requests = Requests()
    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=30) as client:
        begin_ms = int(time.time() * 1000) - WARM_STEPS * STEP_MS
        for step in range(WARM_STEPS):
            for request in range(REQUESTS_PER_STEP):
                body = requests.body(request, step - WARM_STEPS, begin_ms + step * STEP_MS)
                (await client.post(url, content=body)).raise_for_status()
        await asyncio.to_thread(sys.stdin.readline)
        begin_ms = int(time.time() * 1000) + 1000
        print(begin_ms, flush=True)
        shards = [asyncio.Lock() for _ in range(REQUESTS_PER_STEP)]
        async with asyncio.TaskGroup() as tasks:
            for step in range(STEPS):
                for request in range(REQUESTS_PER_STEP):
                    due_ms = begin_ms + step * STEP_MS + request * STEP_MS // REQUESTS_PER_STEP
                    body = requests.body(request, step, due_ms)
                    await asyncio.sleep(max(0.0, due_ms / 1000 - time.time()))
                    tasks.create_task(post(client, url, body, shards[request]))


async def post(client: httpx.AsyncClient, url: str, body: bytes, shard: asyncio.Lock) -> None:
    """One request that must be taken; those of a shard in the order in which they are due."""
    async with shard:
        (await client.post(url, content=body)).raise_for_status()


async def listen(url: str, latencies_ms: dict[str, float], ready: asyncio.Event, seen_until_ms: list[float]) -> None:
    """Note the latency of every opened anomaly by id."""
    async with connect(url, max_size=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "topics": ["anomalies"]}))
        async for message in socket:
            now_ms = time.time() * 1000
            event = json.loads(message)
            if event["type"] == "subscribed":
                ready.set()
            if event["type"] == "anomaly" and event["data"]["event"] == "opened":
                data = event["data"]
                series = data["signal"]["labels"]["pod"].split("-")[1]
                latencies_ms[f"{int(series, 16)}/{data['start_ms']}"] = now_ms - data["start_ms"]
                seen_until_ms.append(now_ms)


@contextmanager
def process(module: str, port: int, environment: dict[str, str], log: Path) -> Iterator[str]:
    """A process of ours until the block ends; yields its address once it is ready."""
    with log.open("wb") as out:
        running = subprocess.Popen([sys.executable, "-m", module], env=environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
        while not answers(url + "/ready"):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} is not ready:\n" + log.read_text()[-3000:])
            time.sleep(0.1)
        yield url
    finally:
        running.kill()
        running.wait()


def answers(url: str) -> bool:
    """Whether a probe says 200."""
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def environment_of(settings: KafkaSettings, home: Path, api: int, ingest: int) -> dict[str, str]:
    """What ``make run`` would tell its processes."""
    return {
        **os.environ,
        "TOCSIN_KAFKA": settings.kafka,
        "TOCSIN_PARTITIONS": str(settings.partitions),
        "TOCSIN_HOME": str(home),
        "TOCSIN_API_PORT": str(api),
        "TOCSIN_INGEST_PORT": str(ingest),
    }


async def measure(api: str, ingest: str, flow: FlowProcess, kind: str) -> dict[str, float]:
    """Run sender and listener."""
    latencies_ms: dict[str, float] = {}
    seen: list[float] = []
    ready = asyncio.Event()
    listener = asyncio.create_task(listen(api.replace("http", "ws") + "/api/ws", latencies_ms, ready, seen))
    await asyncio.wait_for(ready.wait(), 10)
    sender = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.latency", "--send", ingest + "/api/v1/write",
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    await asyncio.to_thread(await_judged, [flow], SERIES * WARM_STEPS)
    assert sender.stdin is not None
    assert sender.stdout is not None
    sender.stdin.write(b"\n")
    begin_ms = int(await sender.stdout.readline())
    snapshots = flow.metrics()["tocsin_flow_snapshot_stops_total"]
    if await sender.wait():
        raise RuntimeError("the sender failed")
    due, second = due_of(kind, begin_ms)
    deadline = time.monotonic() + 30
    while not due <= latencies_ms.keys() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    listener.cancel()
    found = np.array([latencies_ms[key] for key in due & latencies_ms.keys()])
    epochs = flow.metrics()["tocsin_flow_snapshot_stops_total"] - snapshots
    return {**summary(found, len(due), epochs), "second_spikes": len(second)}


def config_of(kind: str) -> DetectorConfig:
    """A detector of this kind on every series."""
    threshold = AUTO_THRESHOLD if kind == "auto" else None
    return DetectorConfig(name="all", kind=kind, selector='{job="kubernetes-pods"}', quiet_s=1.0, threshold=threshold)


def spikes(begin_ms: int) -> Iterator[tuple[int, int]]:
    """Series and time of each spike, in the order in which they are due."""
    for step in range(STEPS):
        for series in spiking(step).tolist():
            request = series // (SERIES // REQUESTS_PER_STEP)
            yield series, begin_ms + step * STEP_MS + request * STEP_MS // REQUESTS_PER_STEP


def due_of(kind: str, begin_ms: int) -> tuple[set[str], set[str]]:
    """Keys of the anomalies that must be told, and of the spikes of which this kind need not tell.

    These are the second spikes of a series, if the kind lets a series rest: the first was told seconds ago, and of the
    few samples that are known of it one was as large, so that the second is no great surprise (2 to 4 of most).
    """
    first: set[int] = set()
    due: set[str] = set()
    second: set[str] = set()
    rests = KINDS[kind].cooldown_s != 0.0
    for series, time_ms in spikes(begin_ms):
        (second if rests and series in first else due).add(f"{series}/{time_ms}")
        first.add(series)
    return due, second


def summary(latencies_ms: np.ndarray[Any, np.dtype[np.float64]], due: int, epochs: float) -> dict[str, float]:
    """The figures."""
    quantiles = {f"p{q}_ms": float(np.percentile(latencies_ms, q)) for q in (50, 90, 99)}
    return {
        "samples_per_second": SERIES * 1000 / STEP_MS,
        "anomalies_due": due,
        "anomalies_seen": len(latencies_ms),
        "anomalies_lost": due - len(latencies_ms),
        "epochs": epochs,
        **quantiles,
        "max_ms": float(latencies_ms.max()),
    }


def run(kind: str) -> dict[str, float]:
    """Start everything and measure."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        settings = stack.enter_context(broker_with_topics(home))
        api_port, ingest_port = free_port(), free_port()
        environment = environment_of(settings, home, api_port, ingest_port)
        flow = stack.enter_context(FlowProcess(settings, home))
        flow.await_ready()
        ingest = stack.enter_context(process("connectors.ingest", ingest_port, environment, home / "ingest.log"))
        api = stack.enter_context(process("api.app", api_port, environment, home / "api.log"))
        config = config_of(kind).model_dump(mode="json")
        httpx.post(api + "/api/detectors", json=config).raise_for_status()
        stolen_share = watch_host()
        return {**asyncio.run(measure(api, ingest, flow, kind)), "stolen_share": stolen_share()}


def main() -> None:
    """Print the figures, or be the sender."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kind", default="mad")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--send", metavar="URL", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.send:
        asyncio.run(send(chosen.send))
        return
    figures = run(chosen.kind)
    print(json.dumps(figures) if chosen.json else ", ".join(f"{name} {value:,.4g}" for name, value in figures.items()))
    if figures["second_spikes"] and not chosen.json:
        second = figures["second_spikes"]
        print(f"not due for {chosen.kind}: {second} spikes on series that spiked 39 s before, which rest from that")


if __name__ == "__main__":
    main()
