from __future__ import annotations

import os
import time
from collections import Counter

import psutil

from api.machine import MAX_GROUPS, ProcessTable, read_machine


def names_of(samples: list[tuple[object, float]]) -> Counter[str]:
    return Counter(labels["__name__"] for labels, _ in samples)  # type: ignore[index]  # labels of any source


def test_the_names_are_those_of_node_exporter() -> None:
    names = names_of(list(read_machine()))
    assert names["node_cpu_seconds_total"] >= 3 * (psutil.cpu_count() or 1)
    for name in (
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_load1",
        "node_boot_time_seconds",
    ):
        assert names[name] == 1
    assert names["node_network_receive_bytes_total"] >= 1


def test_every_series_is_told_once() -> None:
    series = Counter(tuple(sorted(labels.items())) for labels, _ in read_machine())
    assert max(series.values()) == 1


def test_cpu_counters_grow() -> None:
    def total_s() -> float:
        return sum(value for labels, value in read_machine() if labels["__name__"] == "node_cpu_seconds_total")

    before_s = total_s()
    burn_s(0.05)
    assert total_s() > before_s


def burn_s(seconds: float) -> None:
    """Use so much CPU time, however busy the machine is."""
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass


def test_processes_are_told_by_name_and_bounded() -> None:
    table = ProcessTable()
    table.read()
    burn_s(0.1)
    samples = table.read()
    own = psutil.Process(os.getpid())
    mine = {labels["__name__"]: value for labels, value in samples if labels["groupname"] == own.name()}
    assert mine["namedprocess_namegroup_cpu_seconds_total"] >= 0.1
    assert mine["namedprocess_namegroup_memory_bytes"] > 1_000_000
    assert mine["namedprocess_namegroup_num_procs"] >= 1
    assert len({labels["groupname"] for labels, _ in samples}) <= MAX_GROUPS
