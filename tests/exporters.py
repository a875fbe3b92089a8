"""Exporters as they are scraped, simulated and seeded: their metrics over some steps, with a fault at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tests.series import Floats

STEP_S = 15


class Scraped(NamedTuple):
    """One series, a value a step."""

    labels: Mapping[str, str]
    values: Floats


class Exporters:
    """All metrics for ``steps`` scrapes, of which those from ``fault`` on show every fault there is."""

    def __init__(self, steps: int, fault: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._steps = steps
        self._broken = np.arange(steps) >= fault

    def series(self) -> Iterator[Scraped]:
        for labels, values in (*self._service(), *self._kubernetes(), *self._node(), *self._jvm(), *self._postgresql(),
                               *self._kafka(), *self._nginx(), *self._logs()):  # fmt: skip
            yield Scraped(labels, values)

    def _level(self, usual: float, broken: float, spread: float = 0.03) -> Floats:
        """A level with noise, ``spread`` as a share, that wanders with the hour."""
        hour = 1.0 + 0.03 * np.sin(2.0 * np.pi * np.arange(self._steps) * STEP_S / 3600.0)
        return np.where(self._broken, broken, usual * hour) * self._rng.normal(1.0, spread, self._steps)

    def _counted(self, usual_per_s: float, broken_per_s: float) -> Floats:
        """A counter of events that come by chance."""
        return np.cumsum(self._rng.poisson(STEP_S * self._level(usual_per_s, broken_per_s, 0.01))).astype(np.float64)

    def _grown(self, usual_per_s: float, broken_per_s: float) -> Floats:
        """A counter of seconds, or of what else comes in shares."""
        return np.cumsum(STEP_S * self._level(usual_per_s, broken_per_s))

    def _service(self) -> Iterator[tuple[dict[str, str], Floats]]:
        usual, slow = np.array([70, 20, 7, 2.5, 0.4, 0.1]), np.array([10, 20, 20, 30, 15, 5.0])
        for job in ("shop", "mail"):
            broken = slow if job == "shop" else usual
            at_once = [self._counted(0.5 * a, 0.5 * b) for a, b in zip(usual, broken, strict=True)]
            for le, values in zip(("0.1", "0.25", "0.5", "1", "2.5", "+Inf"), np.cumsum(at_once, axis=0), strict=True):
                yield {"__name__": "http_request_duration_seconds_bucket", "job": job, "le": le}, values
            for code, rates in {"200": (50.0, 5.0), "503": (0.5, 20.0)}.items():
                labels = {"__name__": "http_requests_total", "job": job, "code": code}
                yield labels, self._counted(*(rates if job == "shop" else rates[:1] * 2))
            where = {"job": job, "instance": f"{job}:8080"}
            yield {"__name__": "process_open_fds", **where}, np.round(self._level(200, 900))
            yield {"__name__": "process_max_fds", **where}, np.full(self._steps, 1024.0)

    def _kubernetes(self) -> Iterator[tuple[dict[str, str], Floats]]:
        for pod, broken in (("web-0", self._broken), ("web-1", self._broken & False)):
            where = {"namespace": "shop", "pod": pod, "container": "web"}
            restarts = np.cumsum(broken & (np.arange(self._steps) % 8 == 0)).astype(np.float64)
            yield {"__name__": "kube_pod_container_status_restarts_total", **where}, restarts
            throttled = np.where(broken, self._grown(0.0, 8.0), 0.0) + np.cumsum(np.full(self._steps, 5.0))
            yield {"__name__": "container_cpu_cfs_throttled_periods_total", **where}, throttled
            yield {"__name__": "container_cpu_cfs_periods_total", **where}, self._grown(10.0, 10.0)
            used = np.where(broken, 0.96e9, self._level(5e8, 5e8))
            yield {"__name__": "container_memory_working_set_bytes", **where}, used
            limit = {"__name__": "kube_pod_container_resource_limits", "resource": "memory", **where}
            yield limit, np.full(self._steps, 1e9)
            cpu = {"__name__": "kube_pod_container_resource_limits", "resource": "cpu", **where}
            yield cpu, np.full(self._steps, 2.0)
            for condition, ready in (("true", ~broken), ("false", broken)):
                labels = {"__name__": "kube_pod_status_ready", "namespace": "shop", "pod": pod, "condition": condition}
                yield labels, ready.astype(np.float64)

    def _node(self) -> Iterator[tuple[dict[str, str], Floats]]:
        host = {"instance": "host-1:9100"}
        for cpu in "0123":
            yield {"__name__": "node_cpu_seconds_total", "mode": "idle", "cpu": cpu, **host}, self._grown(0.8, 0.05)
            yield {"__name__": "node_cpu_seconds_total", "mode": "user", "cpu": cpu, **host}, self._grown(0.2, 0.95)
        yield {"__name__": "node_memory_MemAvailable_bytes", **host}, self._level(8e9, 1e9)
        yield {"__name__": "node_memory_MemTotal_bytes", **host}, np.full(self._steps, 16e9)
        for mount, kind, free in (("/", "ext4", 5e9), ("/run", "tmpfs", 1e6)):
            disk = {"mountpoint": mount, "fstype": kind, **host}
            yield (
                {"__name__": "node_filesystem_avail_bytes", **disk},
                self._level(5e10 if kind == "ext4" else free, free),
            )
            yield {"__name__": "node_filesystem_size_bytes", **disk}, np.full(self._steps, 1e11)
        yield {"__name__": "node_disk_io_time_seconds_total", "device": "sda", **host}, self._grown(0.3, 0.98)

    def _jvm(self) -> Iterator[tuple[dict[str, str], Floats]]:
        jvm = {"application": "orders", "instance": "orders:8080"}
        saw = 5e8 + 3e8 * (np.arange(self._steps) % 20) / 20.0  # fills, and is collected
        for name, used, most in (("G1 Eden Space", saw, -1.0), ("G1 Old Gen", self._level(1e9, 3.4e9), 4e9)):
            heap = {"area": "heap", "id": name, **jvm}
            yield {"__name__": "jvm_memory_used_bytes", **heap}, used
            yield {"__name__": "jvm_memory_max_bytes", **heap}, np.full(self._steps, most)
        for cause in ("G1 Evacuation Pause", "Metadata GC Threshold"):
            yield {"__name__": "jvm_gc_pause_seconds_sum", "cause": cause, **jvm}, self._grown(0.005, 0.2)
        yield {"__name__": "jvm_threads_live_threads", **jvm}, np.round(self._level(80, 400))

    def _postgresql(self) -> Iterator[tuple[dict[str, str], Floats]]:
        server = {"instance": "pg:9187"}
        for datname, share in (("orders", 1.0), ("users", 0.4)):
            database = {"datname": datname, **server}
            yield (
                {"__name__": "pg_stat_database_numbackends", **database},
                np.round(self._level(20 * share, 65 * share)),
            )
            deadlocks = np.cumsum(self._broken & (np.arange(self._steps) % 4 == 0)).astype(np.float64)
            yield {"__name__": "pg_stat_database_deadlocks", **database}, deadlocks
            yield {"__name__": "pg_stat_database_xact_rollback", **database}, self._counted(2 * share, 60 * share)
            yield {"__name__": "pg_stat_database_xact_commit", **database}, self._counted(100 * share, 100 * share)
        yield {"__name__": "pg_settings_max_connections", **server}, np.full(self._steps, 100.0)
        yield {"__name__": "pg_replication_lag_seconds", **server}, np.abs(self._level(0.5, 90.0, 0.4))

    def _kafka(self) -> Iterator[tuple[dict[str, str], Floats]]:
        behind = np.cumsum(np.where(self._broken, 500.0, 0.0))
        for partition in "012":
            where = {"topic": "orders", "partition": partition}
            group = {"consumergroup": "billing", **where}
            yield {"__name__": "kafka_consumergroup_lag", **group}, self._rng.poisson(50, self._steps) + behind
            replicas = self._broken.astype(np.float64) if partition == "0" else np.zeros(self._steps)
            yield {"__name__": "kafka_topic_partition_under_replicated_partition", **where}, replicas
            yield {"__name__": "kafka_topic_partition_current_offset", **where}, self._counted(200, 1500)

    def _nginx(self) -> Iterator[tuple[dict[str, str], Floats]]:
        server = {"instance": "nginx:9113"}
        yield {"__name__": "nginx_http_requests_total", **server}, self._counted(100, 800)
        yield {"__name__": "nginx_connections_active", **server}, np.round(self._level(60, 600))
        accepted = self._counted(20, 20)
        yield {"__name__": "nginx_connections_accepted", **server}, accepted
        lost = np.cumsum(np.where(self._broken, 75.0, 0.0))
        yield {"__name__": "nginx_connections_handled", **server}, accepted - lost

    def _logs(self) -> Iterator[tuple[dict[str, str], Floats]]:
        jvm = {"instance": "orders:8080"}
        for level, usual, broken in (("error", 0.5, 20.0), ("warn", 2.0, 2.0), ("info", 50.0, 50.0)):
            yield {"__name__": "logback_events_total", "level": level, **jvm}, self._counted(usual, broken)
        for job, usual in (("shop", 2.0), ("mail", 0.0)):  # what a collector asks a Loki for: lines of a minute
            a_minute = self._rng.poisson(60.0 * np.where(self._broken, usual + 10.0, usual))
            yield {"__name__": "log_errors_per_second", "job": job}, a_minute / 60.0
        lines = (np.arange(self._steps) % 180 == 170).astype(np.float64)  # one in 45 minutes is in four such minutes
        yield {"__name__": "log_errors_per_second", "job": "cron"}, np.convolve(lines, np.ones(4))[: self._steps] / 60.0
