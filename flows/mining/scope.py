"""Whose line it is: tenant, the labels that numbers are told by, and level. And how labels of a stream become these.

Source of ``SERVICE_LABELS``: ``discover_service_name`` in https://grafana.com/docs/loki/latest/configure/#limits_config
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from connectors.codec.series_hash import hash_bytes, tenant_seed
from connectors.codec.stream import labels_text
from flows.mining.levels import Level, level_of_word
from flows.mining.limits import SERVICE_LABEL, USUAL_LABELS

SERVICE_LABELS = (
    SERVICE_LABEL, "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container",
    "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name",
)  # fmt: skip
"""The first of these that a stream has names its service."""
UNKNOWN_SERVICE = "unknown_service"
LEVEL_LABELS = ("level", "detected_level", "severity", "severity_text")


class Service(NamedTuple):
    """What numbers are told by, level apart."""

    tenant: str
    labels: tuple[tuple[str, str], ...]


class Scope(NamedTuple):
    """What lines are counted by."""

    service: Service
    level: Level | None
    """None: whatever their level"""

    @property
    def level_name(self) -> str:
        """As the label has it; empty for none."""
        return "" if self.level is None else self.level.name.lower()


class Stream:
    """What is known of a stream's lines beforehand."""

    def __init__(self, tenant: str, labels: Mapping[str, str], told_by: Sequence[str] = USUAL_LABELS) -> None:
        named = {**labels, SERVICE_LABEL: service_of(labels)}
        self.service = Service(tenant, tuple((name, named[name]) for name in told_by if named.get(name)))
        self.level = next((level for name in LEVEL_LABELS if (level := level_of_word(labels.get(name, "")))), None)
        """of all its lines, whatever they say"""

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """Of its lines, by their levels."""
        return tuple(Scope(self.service, level) for level in Level)

    @cached_property
    def seed(self) -> int:
        """Of the hashes of its masked lines: the same line of another service is another one."""
        return hash_bytes(labels_text(dict(self.service.labels)).encode(), tenant_seed(self.service.tenant))


def service_of(labels: Mapping[str, str]) -> str:
    """The name of a stream's service."""
    return next((labels[name] for name in SERVICE_LABELS if labels.get(name)), UNKNOWN_SERVICE)
