"""``python -m tests.benchmarks.pipeline [PART …] [--json]``: samples per CPU second, memory and stops.

Parts, each on its own: ``ingest`` (remote-write bodies to Kafka records), ``flow`` (Kafka records to anomalies, the
very processes of ``make run``), ``auto`` (the same, judged by ``auto``), ``naive`` (one Bytewax key per series),
``detectors`` (100 detectors of 1 % each) and ``cluster`` (the flow in two processes). CPU seconds are those of the
process under test, user and system.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from connectors.detector import DetectorConfig
from connectors.settings import KafkaSettings
from tests.benchmarks.flow_process import Cost, Feeder, FlowProcess, await_judged, broker_with_topics
from tests.benchmarks.host import watch_host
from tests.benchmarks.load import SHARDS, START_MS, STEP_MS, Load
from tests.brokers import ROOT, free_port

SERIES = 20_000
WARM_STEPS = 64
STEPS = 150
ROUNDS = 5
"""So many times ``STEPS`` are judged, so that some epochs with their snapshots are among them."""
PARTITIONS = 8
AUTO_THRESHOLD = 5.0
"""By default it is one by chance, which no single sample reaches on signals that were seen for minutes only."""
NAIVE_SERIES, NAIVE_STEPS = 1_000, 100
Result = dict[str, float]


def one_detector() -> dict[str, DetectorConfig]:
    """MAD over 60 samples on everything."""
    return {"all": DetectorConfig(name="all", kind="mad", selector='{job="kubernetes-pods"}', params={"window": 60})}


def auto_detector() -> dict[str, DetectorConfig]:
    """The default kind on everything, with a threshold that lets it tell as many of the spikes as ``mad`` does."""
    config = DetectorConfig(name="all", kind="auto", selector='{job="kubernetes-pods"}', threshold=AUTO_THRESHOLD)
    return {"all": config}


def many_detectors() -> dict[str, DetectorConfig]:
    """A hundred detectors, each on its hundredth of the series."""
    return {
        f"shard-{n}": DetectorConfig(
            name=f"shard {n}", kind="mad", selector=f'{{job="kubernetes-pods",shard="{n}"}}', params={"window": 60}
        )
        for n in range(SHARDS)
    }


def run_flow(configs: Mapping[str, DetectorConfig], processes: int = 1) -> Result:
    """Feed a flow; the first ``WARM_STEPS`` steps, in which every series is new, are reported apart."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        settings = stack.enter_context(broker_with_topics(Path(home), PARTITIONS))
        feeder = Feeder(settings)
        stack.callback(feeder.close)
        feeder.detectors(configs)
        flows = [stack.enter_context(flow) for flow in _processes(settings, Path(home), processes)]
        for flow in flows:
            flow.await_ready()
        load = Load(SERIES, PARTITIONS)
        cold = _feed(flows, feeder, load, range(WARM_STEPS), judged=SERIES * WARM_STEPS)
        warm = Cost(0.0, 0.0)
        for start in range(WARM_STEPS, WARM_STEPS + ROUNDS * STEPS, STEPS):
            cost = _feed(flows, feeder, load, range(start, start + STEPS), judged=SERIES * (start + STEPS))
            warm = Cost(warm.cpu_s + cost.cpu_s, warm.wall_s + cost.wall_s)
        return _result(flows, cold, warm)


def _processes(settings: KafkaSettings, home: Path, n: int) -> list[FlowProcess]:
    if n == 1:
        return [FlowProcess(settings, home)]
    addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in range(n))
    return [FlowProcess(settings, home, ("-i", str(i), "-a", addresses)) for i in range(n)]


def _feed(flows: Sequence[FlowProcess], feeder: Feeder, load: Load, steps: range, judged: int) -> Cost:
    """Put the steps into Kafka while the flow stands still, then let it run through them."""
    for flow in flows:
        os.kill(flow.process.pid, signal.SIGSTOP)
    for step in steps:
        feeder.control(START_MS + step * STEP_MS)
        for partition, value in load.records(step):
            feeder.samples(partition, value)
    feeder.confirm()
    for flow in flows:
        os.kill(flow.process.pid, signal.SIGCONT)
    return await_judged(flows, judged)


def _result(flows: Sequence[FlowProcess], cold: Cost, warm: Cost) -> Result:
    metrics = [flow.metrics() for flow in flows]
    judged = sum(m["tocsin_flow_judged_total"] for m in metrics)
    given = SERIES * (WARM_STEPS + ROUNDS * STEPS)
    if judged < given:
        raise RuntimeError(f"only {judged:.0f} of {given} samples were judged")

    def total(name: str) -> float:
        return sum(m[name] for m in metrics)

    return {
        "samples_per_cpu_second": SERIES * ROUNDS * STEPS / warm.cpu_s,
        "cold_samples_per_cpu_second": SERIES * WARM_STEPS / cold.cpu_s,
        "samples_per_wall_second": SERIES * ROUNDS * STEPS / warm.wall_s,
        "samples_judged": judged,
        "anomalies": sum(m.get('tocsin_flow_events_total{event="opened"}', 0.0) for m in metrics),  # none: no such line
        "state_bytes_per_lane": total("tocsin_flow_state_bytes") / total("tocsin_flow_lanes"),
        "snapshot_bytes_per_series": total("tocsin_flow_snapshot_bytes") / total("tocsin_flow_series"),
        "snapshots": total("tocsin_flow_snapshot_stops_total"),
        "longest_stop_s": max(m["tocsin_flow_snapshot_stop_longest_seconds"] for m in metrics),
        "stopped_share": total("tocsin_flow_snapshot_stop_seconds_total") / (cold.wall_s + warm.wall_s) / len(flows),
    }


def run_naive() -> Result:
    """The naive flow in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.naive_flow", str(NAIVE_SERIES), str(NAIVE_STEPS)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {"samples_per_cpu_second": NAIVE_SERIES * NAIVE_STEPS / float(done.stdout)}


def run_ingest() -> Result:
    """Remote-write bodies in, Kafka records out."""
    from tests.benchmarks.ingest import run

    return run()


PARTS: dict[str, Callable[[], Result]] = {
    "ingest": run_ingest,
    "flow": lambda: run_flow(one_detector()),
    "auto": lambda: run_flow(auto_detector()),
    "naive": run_naive,
    "detectors": lambda: run_flow(many_detectors()),
    "cluster": lambda: run_flow(one_detector(), processes=2),
}


def ratios(results: Mapping[str, Result]) -> dict[str, float]:
    """What the targets speak of, as far as its parts were run."""
    per_s = {name: result["samples_per_cpu_second"] for name, result in results.items()}
    found: dict[str, float] = {}
    if {"flow", "naive"} <= per_s.keys():
        found["ratio_flow_naive"] = per_s["flow"] / per_s["naive"]
    if {"flow", "auto"} <= per_s.keys():
        found["ratio_auto_flow"] = per_s["auto"] / per_s["flow"]
    if {"flow", "detectors"} <= per_s.keys():
        found["cost_ratio_detectors_flow"] = per_s["flow"] / per_s["detectors"]
    if {"ingest", "flow"} <= per_s.keys():
        found["both_samples_per_cpu_second"] = 1 / (1 / per_s["ingest"] + 1 / per_s["flow"])
    return found


def main(arguments: Sequence[str]) -> None:
    """Run the parts and print."""
    names = [name for name in arguments if not name.startswith("--")] or list(PARTS)
    results: dict[str, Any] = {}
    for name in names:
        stolen_share = watch_host()
        results[name] = {**PARTS[name](), "stolen_share": stolen_share()}
        if "--json" not in arguments:
            print(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in results[name].items()), flush=True)
    results |= ratios(results)
    if "--json" in arguments:
        print(json.dumps(results))
    else:
        print(", ".join(f"{name} {value:,.3g}" for name, value in results.items() if isinstance(value, float)))


if __name__ == "__main__":
    main(sys.argv[1:])
