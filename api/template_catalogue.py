"""Detectors ready to be used, by what they watch. Pure; names of metrics are those of the usual exporters.

Bounds are stated where everybody would state the same (a disk nine tenths full); what depends on the system is learned.
``tests/pipeline/test_templates.py`` holds that each fires on a fault and is silent for an hour without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from connectors.detector import Aggregate, DetectorConfig, Group, Shape
from connectors.messages import Message

HOUR_OF_SAMPLES = 240
"""At one every 15 s."""


class Template(Message):
    """A detector ready to be used."""

    name: str
    title: str
    family: Annotated[str, Field(description="golden, kubernetes, node, jvm, postgresql, kafka, nginx or logs")]
    exporter: Annotated[str, Field(description="what shows the metrics that it watches")]
    description: Annotated[str, Field(description="when it fires, in plain words")]
    config: Annotated[DetectorConfig, Field(description="to be sent to POST /api/detectors, as it is or changed")]


def _learned(threshold: float = 15.0, floor_ratio: float = 0.02) -> dict[str, Any]:
    """Far from the median of the last hour; a steady signal is believed to move by a fiftieth."""
    return {
        "kind": "mad",
        "params": {"window": HOUR_OF_SAMPLES, "warmup": 120, "floor_ratio": floor_ratio},
        "threshold": threshold,
        "min_duration_s": 30.0,
    }


def _stated(*, min_duration_s: float = 60.0, **bounds: float) -> dict[str, Any]:
    return {"kind": "threshold", "params": bounds, "min_duration_s": min_duration_s}


def _share(of: str, *by: str) -> Group:
    return Group(by=by, denominator=of)


def _sum(*by: str, aggregate: Aggregate = Aggregate.SUM, range_s: int | None = None) -> Group:
    return Group(by=by, aggregate=aggregate, range_s=range_s)


def _template(
    name: str, exporter: str, title: str, description: str, selector: str, how: Mapping[str, Any], **more: Any
) -> Template:
    config = DetectorConfig(name=title, selector=selector, labels={"template": name}, **how, **more)
    family = name.partition("-")[0]
    return Template(name=name, title=title, family=family, exporter=exporter, description=description, config=config)


_HTTP = "an instrumented service (client libraries of Prometheus, OpenTelemetry)"
_KSM, _CADVISOR = "kube-state-metrics", "cAdvisor (the kubelet)"
_NODE, _MICROMETER, _POSTGRES = "node_exporter", "Micrometer (Spring Boot)", "postgres_exporter"
_KAFKA, _NGINX = "kafka_exporter", "nginx-prometheus-exporter"
_LOKI = "a collector that counts errors in a Loki (docs/api.md)"
_LOGS = "the logs flow (docs/logs.md)"

_ALL = (
    _template("golden-latency", _HTTP, "Latency of services", "the 99th percentile of a service leaves its usual range",
              "http_request_duration_seconds_bucket", _learned(), shape=Shape.RATE,
              group=Group(by=("job",), histogram_quantile=0.99)),
    _template("golden-traffic", _HTTP, "Traffic of services", "a service gets far more or fewer requests than usual",
              "http_requests_total", _learned(), shape=Shape.RATE, group=_sum("job")),
    _template("golden-errors", _HTTP, "Errors of services", "the share of answers 5xx leaves its usual range",
              'http_requests_total{code=~"5.."}', _learned(20.0, 0.1), shape=Shape.RATE,
              group=_share("http_requests_total", "job")),
    _template("golden-saturation", _HTTP, "Open files of services", "a process has used 80 % of the files it may open",
              "process_open_fds", _stated(upper=0.8), shape=Shape.RAW,
              group=_share("process_max_fds", "job", "instance")),
    _template("kubernetes-restarts", _KSM, "Restarts of containers", "a container restarts three times in 15 minutes",
              "kube_pod_container_status_restarts_total", _stated(min_duration_s=0.0, upper=2.5), shape=Shape.INCREASE,
              group=_sum("namespace", "pod", "container", range_s=900)),
    _template("kubernetes-throttling", _CADVISOR, "CPU of containers throttled",
              "a container is throttled in half of its periods for 5 minutes",
              "container_cpu_cfs_throttled_periods_total", _stated(min_duration_s=300.0, upper=0.5), shape=Shape.RATE,
              group=_share("container_cpu_cfs_periods_total", "namespace", "pod", "container")),
    _template("kubernetes-memory", f"{_CADVISOR} and {_KSM}", "Memory of containers at its limit",
              "a container uses 90 % of the memory that it may",
              'container_memory_working_set_bytes{container!=""}', _stated(upper=0.9), shape=Shape.RAW,
              group=_share('kube_pod_container_resource_limits{resource="memory"}', "namespace", "pod", "container")),
    _template("kubernetes-unready", _KSM, "Pods not ready", "a pod is not ready for 5 minutes",
              'kube_pod_status_ready{condition="true"}', _stated(min_duration_s=300.0, lower=0.5), shape=Shape.RAW),
    _template("node-cpu", _NODE, "CPU of hosts", "a host is far busier or idler than usual",
              'node_cpu_seconds_total{mode="idle"}', _learned(20.0), shape=Shape.RATE,
              group=_sum("instance", aggregate=Aggregate.AVG)),
    _template("node-memory", _NODE, "Memory of hosts", "less than a tenth of a host's memory is available",
              "node_memory_MemAvailable_bytes", _stated(lower=0.1), shape=Shape.RAW,
              group=_share("node_memory_MemTotal_bytes", "instance")),
    _template("node-filesystem", _NODE, "File systems", "less than a tenth of a file system is free",
              'node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs"}', _stated(lower=0.1),
              shape=Shape.RAW, group=_share("node_filesystem_size_bytes", "instance", "mountpoint")),
    _template("node-disk", _NODE, "Disks of hosts busy", "a disk is busy for 90 % of 5 minutes",
              "node_disk_io_time_seconds_total", _stated(min_duration_s=300.0, upper=0.9), shape=Shape.RATE,
              group=_sum("instance", "device")),
    _template("jvm-heap", _MICROMETER, "Heap of JVMs", "90 % of the heap is used for 5 minutes",
              'jvm_memory_used_bytes{area="heap"}', _stated(min_duration_s=300.0, upper=0.9), shape=Shape.RAW,
              group=_share('jvm_memory_max_bytes{area="heap"}', "instance")),
    _template("jvm-gc", _MICROMETER, "Garbage collection of JVMs", "a JVM stands still for a tenth of its time",
              "jvm_gc_pause_seconds_sum", _stated(upper=0.1), shape=Shape.RATE, group=_sum("instance")),
    _template("jvm-threads", _MICROMETER, "Threads of JVMs", "a JVM has far more or fewer threads than usual",
              "jvm_threads_live_threads", _learned(), shape=Shape.RAW),
    _template("postgresql-connections", _POSTGRES, "Connections of PostgreSQL", "80 % of the connections are in use",
              "pg_stat_database_numbackends", _stated(upper=0.8), shape=Shape.RAW,
              group=_share("pg_settings_max_connections", "instance")),
    _template("postgresql-deadlocks", _POSTGRES, "Deadlocks of PostgreSQL", "three deadlocks in 5 minutes",
              "pg_stat_database_deadlocks", _stated(min_duration_s=0.0, upper=2.5), shape=Shape.INCREASE,
              group=_sum("instance", "datname", range_s=300)),
    _template("postgresql-rollbacks", _POSTGRES, "Rollbacks of PostgreSQL",
              "the rollbacks to each commit of a database leave their usual range",
              "pg_stat_database_xact_rollback", _learned(20.0, 0.1), shape=Shape.RATE,
              group=_share("pg_stat_database_xact_commit", "instance", "datname")),
    _template("postgresql-replication", _POSTGRES, "Replication of PostgreSQL", "a replica is 30 s behind for a minute",
              "pg_replication_lag_seconds", _stated(upper=30.0), shape=Shape.RAW),
    _template("kafka-lag", _KAFKA, "Lag of consumers", "a consumer group falls behind far more than usual",
              "kafka_consumergroup_lag", _learned(20.0, 0.2), shape=Shape.RAW, group=_sum("consumergroup", "topic")),
    _template("kafka-replicas", _KAFKA, "Partitions under-replicated", "a partition lacks a replica for 5 minutes",
              "kafka_topic_partition_under_replicated_partition", _stated(min_duration_s=300.0, upper=0.5),
              shape=Shape.RAW, group=_sum("topic")),
    _template("kafka-traffic", _KAFKA, "Traffic of topics", "far more or far less than usual is written to a topic",
              "kafka_topic_partition_current_offset", _learned(), shape=Shape.RATE, group=_sum("topic")),
    _template("nginx-traffic", _NGINX, "Requests of nginx", "nginx gets far more or far fewer requests than usual",
              "nginx_http_requests_total", _learned(), shape=Shape.RATE),
    _template("nginx-connections", _NGINX, "Connections of nginx", "nginx has far more or fewer connections than usual",
              "nginx_connections_active", _learned(), shape=Shape.RAW),
    _template("nginx-dropped", _NGINX, "Connections dropped by nginx", "nginx drops one connection in a hundred",
              "nginx_connections_handled", _stated(lower=0.99), shape=Shape.RATE,
              group=_share("nginx_connections_accepted", "instance")),
    _template("logs-errors", _MICROMETER, "Errors in logs of JVMs",
              "the share of lines of level error leaves its usual range", 'logback_events_total{level="error"}',
              _learned(20.0, 0.1), shape=Shape.RATE, group=_share("logback_events_total", "instance")),
    _template("logs-loki", _LOKI, "Errors in logs", "far more lines than usual tell of an error",
              "log_errors_per_second", _learned(20.0, 0.1), shape=Shape.RAW, min_change=0.05),
    _template("logs-errors-mined", _LOGS, "Errors in logs of services",
              "the share of lines of level error or worse leaves its usual range",
              'log_lines_total{level=~"error|critical|fatal"}', _learned(20.0, 0.1), shape=Shape.RATE,
              group=_share("log_lines_total", "service_name")),
    _template("logs-new-pattern", _LOGS, "New patterns in logs",
              "a service that has new patterns less than once in nine hours logs one that it never did",
              "log_pattern_novelty", _stated(min_duration_s=0.0, upper=3.5), shape=Shape.RAW),
)  # fmt: skip
TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _ALL})
