"""The verdict on a host under watch, and that each injected load is one of its kind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from connectors.anomaly import AnomalySignal
from connectors.detector import Shape
from tests.anomalies import make_anomaly
from tests.benchmarks.injection import LOADS, tells_of, transfer, write
from tests.benchmarks.noise_report import FOUND_WITHIN_S, MOST_UNCAUSED, Heard, Injected, Outcome


def heard(at_s: float, name: str, **labels: str) -> Heard:
    signal = AnomalySignal(labels={"__name__": name, "instance": "here", "job": "exporter", **labels}, shape=Shape.RAW)
    return Heard(at_s, make_anomaly(signal=signal))


def found(load: str) -> Injected:
    name = {"cpu": "node_load1", "disk": "node_disk_io_now", "network": "node_sockstat_TCP_mem"}[load]
    return Injected(load, 100.0, [heard(101.0, name)])


@pytest.mark.parametrize(
    ("name", "labels", "loads"),
    [
        ("node_cpu_seconds_total", {"mode": "user"}, {"cpu"}),
        ("node_cpu_seconds_total", {"mode": "iowait"}, {"disk"}),
        ("node_load15", {}, {"cpu"}),
        ("node_disk_written_bytes_total", {"device": "vda"}, {"disk"}),
        ("node_netstat_IpExt_InOctets", {}, {"network"}),
        ("node_memory_Cached_bytes", {}, set()),
        ("node_scrape_collector_duration_seconds", {"collector": "cpu"}, set()),
    ],
)
def test_which_load_a_series_tells_of(name: str, labels: dict[str, str], loads: set[str]) -> None:
    anomaly = heard(0.0, name, **labels).anomaly
    assert {load for load in LOADS if tells_of(load, anomaly)} == loads


def test_a_load_is_found_by_the_first_episode_of_its_kind_that_comes_in_time() -> None:
    other, first, second = heard(101.0, "go_threads"), heard(130.0, "node_load1"), heard(131.0, "node_load5")
    assert Injected("cpu", 100.0, [other, first, second]).finder is first
    assert Injected("cpu", 100.0, [other]).finder is None
    late = heard(100.0 + FOUND_WITHIN_S + 0.1, "node_load1")
    assert Injected("cpu", 100.0, [other, late]).finder is None
    assert Injected("cpu", 100.0, [late]).line() == "cpu load: missed; 1 episodes in all"


def test_it_holds_when_few_episodes_came_by_themselves_and_all_loads_were_found() -> None:
    quiet = [heard(1.0, "go_threads")] * MOST_UNCAUSED
    loads = [found(load) for load in LOADS]
    outcome = Outcome(20.0, 15.0, 512, 0.1, quiet, loads)
    assert outcome.holds
    assert not outcome._replace(uncaused=[*quiet, quiet[0]]).holds
    assert not outcome._replace(injected=[*loads[1:], Injected("cpu", 100.0, [])]).holds
    lines = list(outcome.lines())
    assert lines[0].endswith("at most 3 wanted: holds")
    assert lines[1] == "cpu load: found after 1.0 s by node_load1; 1 episodes in all"


def test_figures_are_those_of_the_lines() -> None:
    figures = Outcome(20.0, 15.0, 512, 0.1, [heard(7.0, "up")], [found("disk"), Injected("cpu", 9.0, [])]).figures()
    assert figures["uncaused"][0]["after_s"] == 7.0
    assert figures["injected"][0]["found"]["after_s"] == 1.0
    assert figures["injected"][1]["found"] is None
    assert not figures["holds"]


def test_disk_load_writes_and_leaves_nothing(tmp_path: Path) -> None:
    before = psutil.Process().io_counters().write_chars
    write(0.2, tmp_path)
    assert psutil.Process().io_counters().write_chars - before >= 1 << 20
    assert list(tmp_path.iterdir()) == []


def test_network_load_moves_bytes_through_the_loopback_device(tmp_path: Path) -> None:
    before = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
    transfer(0.2, tmp_path)
    assert psutil.net_io_counters(pernic=True)["lo"].bytes_sent - before >= 1 << 20
