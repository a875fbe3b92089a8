"""The catalogue of topics: their names, partitions and settings. Pure; ``connectors.topics`` creates them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STATUS_SEGMENT_BYTES = 64 * 1024 * 1024
SAFE_REPLICAS = 3
"""From so many on, one may be missing while two still hold each record; with fewer that would stop all writing."""


class TopicSpec(NamedTuple):
    """How one topic is created. ``partitions`` None: as many as the settings say."""

    name: str
    partitions: int | None
    configs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of all topics under one prefix (``tocsin`` unless a test or a shared cluster wants another)."""

    prefix: str = "tocsin"

    @property
    def metrics(self) -> str:
        """Samples: ``prometheus.WriteRequest`` and control records."""
        return f"{self.prefix}.metrics"

    @property
    def logs(self) -> str:
        """Log lines: ``logproto.Stream`` and control records."""
        return f"{self.prefix}.logs"

    @property
    def metadata(self) -> str:
        """Type, unit and help per tenant and metric family."""
        return f"{self.prefix}.metadata"

    @property
    def detectors(self) -> str:
        """The log of detector revisions: one partition, kept for ever."""
        return f"{self.prefix}.detectors"

    @property
    def feedback(self) -> str:
        """What people say of anomalies: one partition, kept for ever."""
        return f"{self.prefix}.feedback"

    @property
    def anomalies(self) -> str:
        """Episode events, keyed by anomaly id."""
        return f"{self.prefix}.anomalies"

    @property
    def status(self) -> str:
        """How detectors, partitions and trainings do; the last record of a key counts."""
        return f"{self.prefix}.status"

    @property
    def dead_letter(self) -> str:
        """Records that could not be read, as they came."""
        return f"{self.prefix}.dead-letter"

    def specs(self, replicas: int = 1) -> list[TopicSpec]:
        """Every topic with its settings, in the order of the data's way.

        Kafka's default for ``min.insync.replicas`` is 1: with it ``acks=all`` may mean the leader alone.
        """
        common = {"compression.type": "producer"}
        if replicas >= SAFE_REPLICAS:
            common["min.insync.replicas"] = "2"
        latest = {  # a reader at its start reads all that is not compacted yet
            "cleanup.policy": "compact",
            "segment.bytes": str(STATUS_SEGMENT_BYTES),
            "segment.ms": str(HOUR_MS),
            "min.cleanable.dirty.ratio": "0.2",
        }
        forever = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
        return [
            TopicSpec(self.metrics, None, {"retention.ms": str(6 * HOUR_MS), "cleanup.policy": "delete", **common}),
            TopicSpec(self.logs, None, {"retention.ms": str(6 * HOUR_MS), "cleanup.policy": "delete", **common}),
            TopicSpec(self.metadata, None, {"cleanup.policy": "compact", **common}),
            TopicSpec(self.detectors, 1, {**forever, **common}),
            TopicSpec(self.feedback, 1, {**forever, **common}),
            TopicSpec(self.anomalies, None, {"retention.ms": str(7 * DAY_MS), "cleanup.policy": "delete", **common}),
            TopicSpec(self.status, None, {**latest, **common}),
            TopicSpec(self.dead_letter, 1, {"retention.ms": str(7 * DAY_MS), "cleanup.policy": "delete", **common}),
        ]
