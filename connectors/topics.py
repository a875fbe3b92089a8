"""Topics: created once with the right settings, found again ever after, and told apart from another broker's.

``python -m connectors.topics`` is the one command that ``make run`` and the deployments use.
"""

from __future__ import annotations

import sys
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import NoError, TopicAlreadyExistsError, for_code

from connectors.errors import Misplaced, TocsinError, Unavailable
from connectors.kafka_clients import make_admin, unavailable
from connectors.messages import TopicSpec
from connectors.settings import KafkaSettings

READY_TIMEOUT_MS = 30_000


def create_topics(settings: KafkaSettings) -> list[str]:
    """Create what is missing and check what is there; returns one line per topic.

    Idempotent. Raises ``Misplaced`` when an existing topic has another number of partitions (series would move),
    ``Unavailable`` when no broker answers. Settings of existing topics are left to the operator.
    """
    specs = settings.topics.specs()
    admin = make_admin(settings, "tocsin-topics")
    try:
        with unavailable(settings):
            made = _create(admin, settings, specs)
            admin.wait_for_topics([spec.name for spec in specs], timeout_ms=READY_TIMEOUT_MS)
            counts = _partition_counts(admin, specs)
    finally:
        admin.close()
    return [_line(spec, settings, counts[spec.name], spec.name in made) for spec in specs]


def broker_identity(settings: KafkaSettings) -> str:
    """What offsets of ``tocsin.metrics`` are worth: they mean something only while this stays the same.

    See ``topic_identity``. A broker that forgot its topics at a restart, or a topic that was deleted and created
    again, has another one. Raises ``TocsinError`` when the topic does not exist.
    """
    return topic_identity(settings, settings.topics.metrics)


def topic_identity(settings: KafkaSettings, topic: str) -> str:
    """``<cluster id>/<topic name>/<topic id>``: the id is drawn when the topic is created (Kafka 2.8 and later)."""
    admin = make_admin(settings, "tocsin-identity")
    try:
        with unavailable(settings):
            cluster = admin.describe_cluster()["cluster_id"]
            described = admin.describe_topics([topic])[0]
    finally:
        admin.close()
    error = for_code(described["error_code"])
    if error is not NoError:
        message = f"topic {topic}: {error.__name__}: create the topics with python -m connectors.topics"
        raise TocsinError(message)
    return f"{cluster}/{topic}/{described['topic_id']}"


def _create(admin: KafkaAdminClient, settings: KafkaSettings, specs: list[TopicSpec]) -> set[str]:
    wanted: dict[str, dict[str, Any]] = {
        spec.name: {
            "num_partitions": spec.partitions or settings.partitions,
            "replication_factor": settings.replication_factor,
            "configs": spec.configs,
        }
        for spec in specs
    }
    made = set()
    for topic in admin.create_topics(wanted, raise_errors=False)["topics"]:
        error = for_code(topic["error_code"])
        if error is NoError:
            made.add(topic["name"])
        elif error is not TopicAlreadyExistsError:
            message = f"topic {topic['name']}: {error.__name__}: {topic['error_message']}"
            raise Unavailable(message)
    return made


def _partition_counts(admin: KafkaAdminClient, specs: list[TopicSpec]) -> dict[str, int]:
    described = admin.describe_topics([spec.name for spec in specs])
    return {topic["name"]: len(topic["partitions"]) for topic in described}


def _line(spec: TopicSpec, settings: KafkaSettings, partitions: int, made: bool) -> str:
    wanted = spec.partitions or settings.partitions
    if partitions != wanted:
        message = (
            f"topic {spec.name}: has {partitions} partitions, TOCSIN_PARTITIONS asks for {wanted}; "
            "the number cannot change while series are hashed to them"
        )
        raise Misplaced(message)
    return f"{'created' if made else 'found'} {spec.name} ({partitions} partitions)"


def main() -> int:
    """Create the topics that the environment describes and print one line for each."""
    try:
        lines = create_topics(KafkaSettings())
    except TocsinError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
