"""``python -m tests.benchmarks.api [--detectors 10000] [--anomalies 1000000] [--clients 50] [--seconds 5] [--json]``.

What every read of the REST API takes with so many detectors and stored anomalies: 50 clients, each of which asks again
as soon as it is answered, for 5 s per kind of request. They are one process of their own, beside one api process with
its store in SQLite (``--store URL`` takes another). First the store is filled, by the code that fills it live, and the
detectors are written to Kafka.

``python -m tests.benchmarks.sockets`` measures the other half: a thousand WebSocket clients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import psutil

from api.history_rows import Row, write_rows
from api.settings import ApiSettings
from api.store_engine import WRITING, make_engine, store_url
from api.store_steps import upgrade
from connectors.messages import AnomalyDetector, AnomalySignal, DetectorConfig, Severity, Shape
from connectors.settings import KafkaSettings
from tests.anomalies import closed, make_anomaly
from tests.apis import RunningApi, api_process, api_settings
from tests.benchmarks.flow_process import Feeder, broker_with_topics
from tests.benchmarks.matching import labels_of, selector_of
from tests.brokers import ROOT

DETECTORS, ANOMALIES, CLIENTS, SECONDS = 10_000, 1_000_000, 50, 5.0
SERIES, ROWS_AT_ONCE = 20_000, 2_000
READY_S = 120.0
OPEN_EVERY = 500
"""One anomaly of so many goes on."""
STEP_MS = 5_000
START_MS = 1_790_000_000_000
TARGET_P95_MS = 100.0
"""What an api of a dashboard may take; of the issue."""


def rows(anomalies: int, detectors: int) -> Iterator[Row]:
    """One every five seconds, of 20,000 series with ten labels each, told by all detectors in turn."""
    for number in range(anomalies):
        time_ms = START_MS + STEP_MS * number
        event = make_anomaly(
            number,
            sequence=1,
            start_ms=time_ms - 60_000,
            time_ms=time_ms,
            severity=list(Severity)[number % 10 % 3],
            detector=AnomalyDetector(id=f"d{number * 7919 % detectors}", name="load", kind="mad", revision=1),
            signal=AnomalySignal(labels=labels_of(number * 104_729 % SERIES), shape=Shape.RAW),
            surprise=5.0 + number % 1013 / 10,
        )
        yield Row.of(event if number % OPEN_EVERY == 0 else closed(event))


def fill(url: str, anomalies: int, detectors: int) -> None:
    """Fill the store, as the api fills it."""
    engine = make_engine(store_url(url), 1)
    made = rows(anomalies, detectors)
    with engine.connect() as plain:
        connection = plain.execution_options(**{WRITING: True})
        with connection.begin():
            upgrade(connection)
        while some := list(islice(made, ROWS_AT_ONCE)):
            with connection.begin():
                write_rows(connection, "filled", some, {})
    engine.dispose()


def write_detectors(settings: KafkaSettings, detectors: int) -> None:
    """To the log of detectors, as the api writes them."""
    feeder = Feeder(settings)
    configs = (
        (
            f"d{number}",
            DetectorConfig(
                name=f"detector {number}",
                kind=("mad", "auto", "zscore")[number % 3],
                selector=selector_of(number, distinct=True),
                labels={"team": f"team-{number % 11}"},
            ),
        )
        for number in range(detectors)
    )
    for some in batched_of(configs):
        feeder.detectors(dict(some))
    feeder.close()


def batched_of(configs: Iterator[tuple[str, DetectorConfig]]) -> Iterator[list[tuple[str, DetectorConfig]]]:
    """A thousand at a time."""
    while some := list(islice(configs, 1000)):
        yield some


def requests(detectors: int, anomalies: int) -> dict[str, list[str]]:
    """Kinds of reads, each with some of the paths that people ask for."""
    some = [f"d{number * 7919 % detectors}" for number in range(50)]
    ids = [f"{number * 104_729 % anomalies:032x}" for number in range(50)]
    labels = [labels_of(number * 1009 % SERIES) for number in range(50)]
    begin_ms, end_ms = START_MS, START_MS + STEP_MS * anomalies
    days = [begin_ms + (end_ms - begin_ms) * number // 50 for number in range(50)]
    listed = "/api/anomalies?limit=50"
    return {
        "detectors": ["/api/detectors", "/api/detectors?after=d5", "/api/detectors?limit=50&after=d9"],
        "detectors, filtered": [f"/api/detectors?text=metric_{number}_&kind=mad" for number in range(50)],
        "detectors by label": [f"/api/detectors?label=team%3Dteam-{number}&limit=50" for number in range(11)],
        "a detector": [f"/api/detectors/{one}" for one in some],
        "its revisions": [f"/api/detectors/{one}/revisions" for one in some],
        "its status": [f"/api/detectors/{one}/status" for one in some],
        "its health": [f"/api/detectors/{one}/health" for one in some],
        "status": ["/api/status"],
        "detector kinds": ["/api/detector-kinds", "/api/detector-kinds/auto"],
        "anomalies": [listed],
        "anomalies of a severity": [f"{listed}&severity={severity}" for severity in Severity],
        "anomalies of a detector": [f"{listed}&detector={one}" for one in some],
        "open anomalies": [f"{listed}&state=open"],
        "anomalies of a time": [f"{listed}&from_ms={day}&to_ms={day + 86_400_000}" for day in days],
        "anomalies of a label": [f"{listed}&label=instance%3D{one['instance']}" for one in labels],
        "anomalies of two labels": [f"{listed}&label=pod%3D{one['pod']}&label=env%3D{one['env']}" for one in labels],
        "anomalies of a common label": [f"{listed}&label=region%3Deu-central-1&severity=critical"],
        "anomalies, most surprising": [f"{listed}&sort=-surprise", f"{listed}&sort=-severity"],
        "an anomaly": [f"/api/anomalies/{one}" for one in ids],
        "trainings": ["/api/trainings"],
        "data sources": ["/api/datasources"],
        "dead letters": ["/api/dead-letters"],
        "connections": ["/api/connections"],
        "health": ["/health", "/ready", "/alive"],
        "deployment, system": ["/api/deployment", "/api/system"],
    }


@contextmanager
def clients_of(api: RunningApi, clients: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """The process of the clients."""
    command = [sys.executable, "-m", "tests.benchmarks.http_clients", "127.0.0.1", str(api.port)]
    process = subprocess.Popen(
        [*command, str(clients), str(seconds)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure(api: RunningApi, kinds: dict[str, list[str]], clients: int, seconds: float) -> dict[str, dict[str, float]]:
    """One kind of request after the other."""
    found = {}
    with clients_of(api, clients, seconds) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for kind, paths in kinds.items():
            before_s = cpu_s(api)
            process.stdin.write(json.dumps(paths) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            found[kind] = {**answer, "cpu_ms": 1000.0 * (cpu_s(api) - before_s) / answer["requests"]}
            sys.stderr.write(
                f"{kind:28} " + " ".join(f"{key} {value:.1f}" for key, value in found[kind].items()) + "\n"
            )
    return found


def cpu_s(api: RunningApi) -> float:
    """CPU seconds of the api so far."""
    assert api.process is not None
    return sum(psutil.Process(api.process.pid).cpu_times()[:2])


def run(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Fill, start and measure."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        kafka = stack.enter_context(broker_with_topics(home))
        settings: ApiSettings = api_settings(kafka, api_store=chosen.store or f"sqlite:///{home}/store.sqlite")
        fill(settings.store, chosen.anomalies, chosen.detectors)
        write_detectors(kafka, chosen.detectors)
        api = stack.enter_context(api_process(settings, home / "api.log", READY_S))
        return measure(api, requests(chosen.detectors, chosen.anomalies), chosen.clients, chosen.seconds)


def main(arguments: Sequence[str]) -> int:
    """Run and print; 1 if a kind of read takes longer than it may, or was refused."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.api")
    parser.add_argument("--detectors", type=int, default=DETECTORS)
    parser.add_argument("--anomalies", type=int, default=ANOMALIES)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--store", default="")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = run(chosen)
    if chosen.json:
        print(json.dumps(found))
    late = [kind for kind, one in found.items() if one["p95_ms"] >= TARGET_P95_MS or one["refused"]]
    sys.stderr.write(f"{len(found) - len(late)} of {len(found)} within {TARGET_P95_MS:g} ms at p95; not: {late}\n")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
