"""``python -m tests.benchmarks.noise [--minutes 20] [--interval 15] [--keep FOLDER] [--json]``: auto on a real host.

The processes of ``make run`` without the demo get all metrics of this host's node exporter from a real Prometheus,
and one ``auto`` detector with nothing but defaults watches everything. Each episode is printed as it reaches a
WebSocket client. The minutes begin when nearly all signals are judged, a quarter of an hour later at a sample every
15 s; nobody does anything to the host until they are over. Then CPU, disk and network load come one after another
(``tests/benchmarks/injection.py``). A load is found when an episode opens on a metric that tells of such load, at most
60 s after it began.

It wants ``prometheus`` and ``prometheus-node-exporter`` on the path, and no root. Itself it is idle most of the time;
what else works on the host is noise that somebody causes, so the share of the cores that was busy is printed too.
``--keep`` leaves the logs, and Prometheus' data, by which ``tocsin backtest`` can judge the run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect

from connectors.anomaly import Anomaly, EventType
from connectors.detector import DetectorConfig
from flows.detectors.auto_state import WARMUP
from tests.benchmarks import injection
from tests.benchmarks.flow_process import FlowProcess, broker_with_topics
from tests.benchmarks.latency import environment_of, process
from tests.benchmarks.noise_report import Heard, Injected, Outcome
from tests.brokers import free_port
from tests.node_exporter import NodeExporter, missing_node_exporter
from tests.prometheus import Prometheus, missing_prometheus

MINUTES = 20.0
INTERVAL_S = 15.0
"""What most scrape at."""
NEARLY, LOOK_S = 0.95, 5.0
"""So large a share of the signals must be judged when the minutes begin."""
WARM_UP_TIMES = 3.0
"""It may take so many times what ``auto`` asks for."""
LOAD_S, PAUSE_S = 60.0, 120.0
EVERYTHING = DetectorConfig(name="everything", kind="auto", selector='{__name__=~".+"}')


class Watcher:
    """Hears from a WebSocket which episodes open, and prints them."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._began_s = time.monotonic()

    def clock_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began_s

    @asynccontextmanager
    async def listening(self, api: str) -> AsyncIterator[None]:
        """Hear until the block ends; fails at once when the api hangs up."""
        async with (
            connect(api.replace("http", "ws") + "/api/ws", max_size=None) as socket,
            asyncio.TaskGroup() as tasks,
        ):
            await socket.send(json.dumps({"type": "subscribe", "topics": ["anomalies"]}))
            answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
            assert answer["type"] == "subscribed", answer
            listener = tasks.create_task(self._listen(socket))
            yield
            listener.cancel()

    async def _listen(self, socket: ClientConnection) -> None:
        async for message in socket:
            anomaly = Anomaly.model_validate(json.loads(message)["data"])
            if anomaly.event is EventType.OPENED:
                self.heard.append(Heard(self.clock_s(), anomaly))
                say(f"{self.clock_s():7.1f} s  {anomaly.severity:8}  {anomaly.sentence}")
        raise ConnectionError("the api closed the WebSocket")

    async def inject(self, load: str, folder: Path) -> Injected:
        """Put a load on the host, and let it recover."""
        before, begin_s = len(self.heard), self.clock_s()
        say(f"{begin_s:7.1f} s  {load} load begins")
        running = injection.start(load, LOAD_S, folder)
        if await asyncio.to_thread(running.wait):
            raise RuntimeError(f"the {load} load failed")
        say(f"{self.clock_s():7.1f} s  {load} load ends")
        await asyncio.sleep(PAUSE_S)
        return Injected(load, begin_s, self.heard[before:])


def say(line: str) -> None:
    """What is only for people does not mix with JSON."""
    sys.stderr.write(line + "\n")


def idle_s() -> float:
    """CPU seconds that this host has spent idle."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


def judged(metrics: Mapping[str, float]) -> float:
    """Share of the signals that are judged, by the flow's own account, which it takes once a minute."""
    warming = sum(value for name, value in metrics.items() if name.startswith("tocsin_flow_warming_up{"))
    lanes = metrics["tocsin_flow_lanes"]
    if metrics["tocsin_flow_judged_total"] < WARMUP * max(lanes, 1.0):
        return 0.0
    return 1.0 - warming / lanes


async def warm_up(flow: FlowProcess, timeout_s: float) -> None:
    """Wait until nearly all signals are judged."""
    deadline = time.monotonic() + timeout_s
    while (share := judged(flow.metrics())) < NEARLY:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{share:.0%} of the signals are judged after {timeout_s:.0f} s")
        await asyncio.sleep(LOOK_S)


async def watch(api: str, flow: FlowProcess, minutes: float, interval_s: float, folder: Path) -> Outcome:
    """Listen to the host, first left alone, then under each load."""
    watcher = Watcher()
    async with watcher.listening(api):
        await warm_up(flow, 60 + WARM_UP_TIMES * WARMUP * interval_s)
        say(f"{watcher.clock_s():7.1f} s  {minutes:g} minutes begin")
        idle_before_s = idle_s()
        await asyncio.sleep(60 * minutes)
        idle = (idle_s() - idle_before_s) / (60 * minutes * (psutil.cpu_count() or 1))
        uncaused, series = list(watcher.heard), int(flow.metrics()["tocsin_flow_series"])
        injected = [await watcher.inject(load, folder) for load in injection.LOADS]
    return Outcome(minutes, interval_s, series, max(0.0, 1 - idle), uncaused, injected)


@contextmanager
def host_under_watch(home: Path, interval_s: float) -> Iterator[tuple[str, FlowProcess]]:
    """All processes, one detector, and samples on their way; yields the address of the api, and the flow."""
    with ExitStack() as stack:
        settings = stack.enter_context(broker_with_topics(home))
        api_port, ingest_port = free_port(), free_port()
        environment = environment_of(settings, home, api_port, ingest_port)
        flow = stack.enter_context(FlowProcess(settings, home))
        flow.await_ready()
        ingest = stack.enter_context(process("connectors.ingest", ingest_port, environment, home / "ingest.log"))
        api = stack.enter_context(process("api.app", api_port, environment, home / "api.log"))
        httpx.post(api + "/api/detectors", json=EVERYTHING.model_dump(mode="json")).raise_for_status()
        exporter = stack.enter_context(NodeExporter(home))
        write = ingest + "/api/v1/write"
        stack.enter_context(Prometheus(home, exporter.port, write, f"{round(1000 * interval_s)}ms"))
        yield api, flow


def run(minutes: float, interval_s: float, home: Path) -> Outcome:
    """Start everything, watch, and stop it."""
    with host_under_watch(home, interval_s) as (api, flow):
        return asyncio.run(watch(api, flow, minutes, interval_s, home))


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when it is not quiet enough or a load was missed, 2 when something to run is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="how long nothing is injected once signals are judged"
    )
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds from scrape to scrape")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and samples here")
    parser.add_argument("--json", action="store_true", help="the list and the verdict as JSON")
    given = parser.parse_args(arguments)
    for missing in filter(None, (missing_prometheus(), missing_node_exporter())):
        parser.error(missing)
    with tempfile.TemporaryDirectory() as scratch:
        home = given.keep or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        outcome = run(given.minutes, given.interval, home)
    sys.stdout.write((json.dumps(outcome.figures(), indent=1) if given.json else "\n".join(outcome.lines())) + "\n")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
