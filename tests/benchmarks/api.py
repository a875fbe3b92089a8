"""``python -m tests.benchmarks.api [--detectors 10000] [--anomalies 1000000] [--clients 50] [--seconds 5] [--json]``.

What every read of the REST API takes with so many detectors and stored anomalies: 50 clients, each of which asks again
as soon as it is answered, for 5 s per kind of request. They are one process of their own, beside one api process with
its store in SQLite (``--store URL`` takes another). First the store is filled, and the detectors are written to Kafka.
``--keep FOLDER`` leaves the store there for the next time; ``--only TEXT`` asks only what is called so.

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
from pathlib import Path
from typing import Any

import psutil

from api.settings import ApiSettings
from connectors.anomaly import Severity
from tests.apis import RunningApi, api_process, api_settings
from tests.benchmarks.api_fill import SERIES, START_MS, STEP_MS, detector_of, fill
from tests.benchmarks.api_topics import add_by_rest, write_topics
from tests.benchmarks.flow_process import broker_with_topics
from tests.benchmarks.host import watch_host
from tests.benchmarks.matching import labels_of
from tests.brokers import ROOT

DETECTORS, ANOMALIES, CLIENTS, SECONDS = 10_000, 1_000_000, 50, 5.0
READY_S = 120.0
TARGET_P95_MS = 100.0
"""What an api of a dashboard may take; of the issue."""


def requests(detectors: int, anomalies: int) -> dict[str, list[str]]:
    """Kinds of reads, each with some of the paths that people ask for."""
    some = [detector_of(number, detectors) for number in range(50)]
    ids = [f"{number * 104_729 % anomalies:032x}" for number in range(50)]
    labels = [labels_of(number * 1009 % SERIES) for number in range(50)]
    begin_ms, end_ms = START_MS, START_MS + STEP_MS * anomalies
    days = [begin_ms + (end_ms - begin_ms) * number // 50 for number in range(50)]
    far = [f"{day}-{'8' * 32}" for day in days]
    listed = "/api/anomalies?limit=50"
    return {
        "detectors": ["/api/detectors", "/api/detectors?after=d5", "/api/detectors?limit=50&after=d9"],
        "detectors, filtered": [f"/api/detectors?text=metric_{number}_&kind=mad" for number in range(50)],
        "detectors by label": [f"/api/detectors?label=team%3Dteam-{number}&limit=50" for number in range(11)],
        "a detector": [f"/api/detectors/{one}" for one in some],
        "its revisions": [f"/api/detectors/{one}/revisions" for one in some],
        "a revision": [f"/api/detectors/{one}/revisions/1" for one in some],
        "its status": [f"/api/detectors/{one}/status" for one in some],
        "its health": [f"/api/detectors/{one}/health" for one in some],
        "status": ["/api/status", "/api/status?after=d5", "/api/status?limit=50&after=d9"],
        "detector kinds": ["/api/detector-kinds"],
        "a detector kind": ["/api/detector-kinds/auto", "/api/detector-kinds/mad"],
        "templates": ["/api/detector-templates"],
        "a template": ["/api/detector-templates/golden-latency"],
        "anomalies": [listed],
        "anomalies, a hundred": ["/api/anomalies"],
        "anomalies, far pages": [f"{listed}&before={place}" for place in far],
        "anomalies, far pages of most severe": [f"{listed}&sort=-severity&before=1-{place}" for place in far],
        "anomalies, far pages of a severity": [f"{listed}&severity=warning&before={place}" for place in far],
        "anomalies, oldest": [f"{listed}&sort=time", *(f"{listed}&sort=time&before={place}" for place in far)],
        "anomalies of a severity": [f"{listed}&severity={severity}" for severity in Severity],
        "anomalies of a detector": [f"{listed}&detector={one}" for one in some],
        "open anomalies": [f"{listed}&state=open"],
        "closed anomalies": [f"{listed}&state=closed"],
        "acknowledged anomalies": [f"{listed}&acknowledged=true", f"{listed}&acknowledged=false"],
        "anomalies of a verdict": [f"{listed}&verdict=expected", f"{listed}&verdict=false_alarm"],
        "anomalies of a time": [f"{listed}&from_ms={day}&to_ms={day + 86_400_000}" for day in days],
        "anomalies of a label": [f"{listed}&label=instance%3D{one['instance']}" for one in labels],
        "anomalies of two labels": [f"{listed}&label=pod%3D{one['pod']}&label=env%3D{one['env']}" for one in labels],
        "anomalies of a common label": [f"{listed}&label=region%3Deu-central-1&severity=critical"],
        "anomalies of a common label, by time": [f"{listed}&label=env%3Dprod&from_ms={day}" for day in days],
        "anomalies, most surprising": [f"{listed}&sort={minus}surprise" for minus in ("-", "")],
        "anomalies, most severe": [f"{listed}&sort={minus}severity" for minus in ("-", "")],
        "most surprising of a label": [f"{listed}&label=instance%3D{one['instance']}&sort=-surprise" for one in labels],
        "most severe of a time": [f"{listed}&from_ms={day}&to_ms={day + 86_400_000}&sort=-severity" for day in days],
        "an anomaly": [f"/api/anomalies/{one}" for one in ids],
        "trainings": ["/api/trainings"],
        "rules": ["/api/rules"],
        "dead letters": ["/api/dead-letters"],
        "a dead letter": ["/api/dead-letters/0/7", "/api/dead-letters/0/300"],
        "connections": ["/api/connections"],
        "health": ["/health"],
        "ready, alive": ["/ready", "/alive"],
        "deployment, system": ["/api/deployment", "/api/system", "/api/log-level"],
        "metrics": ["/metrics"],
        "documents": ["/api/docs", "/api/docs/asyncapi.json", "/api/schemas/anomaly.v1.json", "/api/docs/ui"],
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
            before_s, clients_s, stolen_share = cpu_s(api.process), cpu_s(process), watch_host()
            process.stdin.write(json.dumps(paths) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            spent_s = {"cpu_us": cpu_s(api.process) - before_s, "clients_cpu_us": cpu_s(process) - clients_s}
            found[kind] = {**answer, **{name: 1e6 * one / answer["requests"] for name, one in spent_s.items()}}
            found[kind]["stolen_percent"] = 100 * stolen_share()
            shown = " ".join(f"{key} {value:.1f}" for key, value in found[kind].items())
            sys.stderr.write(f"{kind:28} {shown}\n")
    return found


def cpu_s(process: subprocess.Popen[Any] | None) -> float:
    """CPU seconds of a process so far."""
    assert process is not None
    return sum(psutil.Process(process.pid).cpu_times()[:2])


def run(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Fill, start and measure."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        kafka = stack.enter_context(broker_with_topics(home))
        settings: ApiSettings = api_settings(kafka, api_store=chosen.store or stored(chosen, chosen.keep or home))
        if chosen.store:
            fill(settings.store, chosen.anomalies, chosen.detectors)
        write_topics(kafka, chosen.detectors)
        api = stack.enter_context(api_process(settings, home / "api.log", READY_S))
        asked = {**requests(chosen.detectors, chosen.anomalies), **add_by_rest(api.http)}
        asked = {kind: paths for kind, paths in asked.items() if chosen.only in kind}
        return measure(api, asked, chosen.clients, chosen.seconds)


def stored(chosen: argparse.Namespace, folder: Path) -> str:
    """The URL of a file of SQLite that holds the anomalies; one that was kept is copied, for the api writes to it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"store-{chosen.anomalies}-{chosen.detectors}.sqlite"
    if not file.exists():
        begun = file.with_suffix(".begun")
        begun.unlink(missing_ok=True)
        fill(f"sqlite:///{begun}", chosen.anomalies, chosen.detectors)
        begun.rename(file)
    return f"sqlite:///{file}"


def main(arguments: Sequence[str]) -> int:
    """Run and print; 1 if a kind of read takes longer than it may, or was refused."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.api")
    parser.add_argument("--detectors", type=int, default=DETECTORS)
    parser.add_argument("--anomalies", type=int, default=ANOMALIES)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--store", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="")
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
