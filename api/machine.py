"""Metrics of this machine by psutil, under the names that node_exporter gives them.

Processes are named as process-exporter names them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psutil

from api.sample import Labels, Sample

MAX_GROUPS = 20
"""Processes are told by name, so many names at most: those that have used most CPU."""
MAX_DEVICES = 16
"""Disks, file systems and network interfaces each; a machine with many containers has hundreds."""
CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
DISK_FIELDS = {
    "node_disk_read_bytes_total": "read_bytes",
    "node_disk_written_bytes_total": "write_bytes",
    "node_disk_reads_completed_total": "read_count",
    "node_disk_writes_completed_total": "write_count",
}
NETWORK_FIELDS = {
    "node_network_receive_bytes_total": "bytes_recv",
    "node_network_transmit_bytes_total": "bytes_sent",
    "node_network_receive_packets_total": "packets_recv",
    "node_network_transmit_packets_total": "packets_sent",
    "node_network_receive_errs_total": "errin",
    "node_network_transmit_errs_total": "errout",
    "node_network_receive_drop_total": "dropin",
    "node_network_transmit_drop_total": "dropout",
}
MEMORY_FIELDS = {"MemTotal": "total", "MemAvailable": "available", "MemFree": "free", "Buffers": "buffers"}
PSEUDO_DISKS = ("loop", "ram", "zram")


def read_machine() -> list[Sample]:
    """CPU, memory, load, disks and network; cheap enough for every second."""
    return [*_cpu(), *_memory(), *_load(), *_disks(), *_file_systems(), *_network()]


def _named(name: str, **labels: str) -> Labels:
    return {"__name__": name, "job": "node", **labels}


def _cpu() -> Iterator[Sample]:
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        for mode in CPU_MODES:
            if hasattr(times, mode):
                yield _named("node_cpu_seconds_total", cpu=str(number), mode=mode), getattr(times, mode)


def _memory() -> Iterator[Sample]:
    memory = psutil.virtual_memory()
    for name, attribute in MEMORY_FIELDS.items():
        if hasattr(memory, attribute):
            yield _named(f"node_memory_{name}_bytes"), float(getattr(memory, attribute))
    swap = psutil.swap_memory()
    yield _named("node_memory_SwapTotal_bytes"), float(swap.total)
    yield _named("node_memory_SwapFree_bytes"), float(swap.free)


def _load() -> Iterator[Sample]:
    for name, value in zip(("node_load1", "node_load5", "node_load15"), psutil.getloadavg(), strict=True):
        yield _named(name), value
    yield _named("node_boot_time_seconds"), psutil.boot_time()


def _disks() -> Iterator[Sample]:
    counters = psutil.disk_io_counters(perdisk=True) or {}
    devices = sorted(name for name in counters if not name.startswith(PSEUDO_DISKS))
    for device in devices[:MAX_DEVICES]:
        for name, attribute in DISK_FIELDS.items():
            yield _named(name, device=device), float(getattr(counters[device], attribute))


def _file_systems() -> Iterator[Sample]:
    for part in psutil.disk_partitions()[:MAX_DEVICES]:
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:  # unmounted since, or not ours to look into
            continue
        labels = {"device": part.device, "fstype": part.fstype, "mountpoint": part.mountpoint}
        yield _named("node_filesystem_size_bytes", **labels), float(usage.total)
        yield _named("node_filesystem_avail_bytes", **labels), float(usage.free)


def _network() -> Iterator[Sample]:
    counters = psutil.net_io_counters(pernic=True)
    for device in sorted(counters)[:MAX_DEVICES]:
        for name, attribute in NETWORK_FIELDS.items():
            yield _named(name, device=device), float(getattr(counters[device], attribute))


@dataclass(slots=True)
class Group:
    """The processes of one name: CPU used since the last look, memory, number."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    count: int = 0

    def add(self, cpu_s: float, memory_bytes: int) -> None:
        """Count one more process."""
        self.cpu_s += cpu_s
        self.memory_bytes += memory_bytes
        self.count += 1


@dataclass(slots=True)
class ProcessTable:
    """CPU time, memory and count of processes by name.

    CPU time is summed as it grows, so that the counter of a name does not fall when one of its processes ends.
    At most ``MAX_GROUPS`` names; a name whose processes are all gone makes room.
    """

    _cpu_s: dict[str, float] = field(default_factory=dict)
    _last_s: dict[tuple[int, float], float] = field(default_factory=dict)

    def read(self) -> list[Sample]:
        """Look at all processes; takes some milliseconds per hundred."""
        groups = self._look()
        self._keep_busiest(groups)
        return list(self._samples(groups))

    def _look(self) -> dict[str, Group]:
        groups: dict[str, Group] = defaultdict(Group)
        last_s, self._last_s = self._last_s, {}
        for process in psutil.process_iter(["pid", "create_time", "name", "cpu_times", "memory_info"]):
            info = process.info
            if not info["name"] or info["cpu_times"] is None or info["memory_info"] is None:
                continue  # gone while we looked, or not ours to look into
            total_s = info["cpu_times"].user + info["cpu_times"].system
            key = (info["pid"], info["create_time"])
            self._last_s[key] = total_s
            groups[info["name"]].add(max(0.0, total_s - last_s.get(key, 0.0)), info["memory_info"].rss)
        return groups

    def _keep_busiest(self, groups: Mapping[str, Group]) -> None:
        kept = {name: total_s for name, total_s in self._cpu_s.items() if name in groups}
        for name in sorted(groups, key=lambda name: (-groups[name].cpu_s, name)):
            if name in kept or len(kept) < MAX_GROUPS:
                kept[name] = kept.get(name, 0.0) + groups[name].cpu_s
        self._cpu_s = kept

    def _samples(self, groups: Mapping[str, Group]) -> Iterator[Sample]:
        for name, total_s in sorted(self._cpu_s.items()):
            labels = {"job": "process", "groupname": name}
            resident = {"__name__": "namedprocess_namegroup_memory_bytes", "memtype": "resident", **labels}
            yield {"__name__": "namedprocess_namegroup_cpu_seconds_total", **labels}, total_s
            yield resident, float(groups[name].memory_bytes)
            yield {"__name__": "namedprocess_namegroup_num_procs", **labels}, float(groups[name].count)
