"""Topics: created once with the right settings, found again ever after, and told apart from another broker's.

``python -m connectors.topics`` is the one command that ``make run`` and the deployments use.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import NoError, TopicAlreadyExistsError, for_code

from connectors.catalogue import TopicSpec
from connectors.errors import Misplaced, TocsinError, Unavailable
from connectors.kafka_clients import make_admin, unavailable
from connectors.settings import KafkaSettings, read_settings

READY_TIMEOUT_MS = 30_000
ANEW_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


def create_topics(settings: KafkaSettings) -> list[str]:
    """Create what is missing and check what is there; returns one line per topic.

    Idempotent. Raises ``Misplaced`` when an existing topic has another number of partitions (series would move),
    ``Unavailable`` when no broker answers. Settings of existing topics are left to the operator.
    """
    with _admin(settings) as admin:
        return _check(admin, settings, _create(admin, settings))


def create_topics_anew(settings: KafkaSettings) -> list[str]:
    """As ``create_topics``, on a broker that has just started with nothing: topics that stand there are not ours.

    The embedded broker makes a topic, with settings of its own, as soon as a client asks for it by name, and clients
    that outlived the broker before ask at once. Such topics are deleted until all are made here. Raises ``Unavailable``
    when that does not succeed in time.
    """
    names = {spec.name for spec in settings.topics.specs()}
    deadline_s = time.monotonic() + ANEW_TIMEOUT_S
    with _admin(settings) as admin:
        made = _create(admin, settings)
        while strays := sorted(names - made):
            if time.monotonic() > deadline_s:
                message = f"topics {', '.join(strays)}: clients make them faster than they can be replaced"
                raise Unavailable(message)
            _log.info("made by clients that asked for them, so made anew: %s", ", ".join(strays))
            admin.delete_topics(strays, raise_errors=False)
            made |= _create(admin, settings)
        return _check(admin, settings, made)


@contextmanager
def _admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    admin = make_admin(settings, "tocsin-topics")
    try:
        with unavailable(settings):
            yield admin
    finally:
        admin.close()


def topic_identities(settings: KafkaSettings, topics: Sequence[str]) -> dict[str, str]:
    """``<cluster id>/<topic name>/<topic id>`` of each.

    Offsets mean something only while this stays the same: a broker that forgot its topics at a restart, or a topic that
    was deleted and created again, has another one. Kafka draws the id when the topic is created (since 2.8).
    Raises ``TocsinError`` for a topic that does not exist, ``Unavailable`` when Kafka does not answer.
    """
    admin = make_admin(settings, "tocsin-identity")
    try:
        with unavailable(settings):
            cluster = admin.describe_cluster()["cluster_id"]
            described = {found["name"]: found for found in admin.describe_topics(list(topics))}
    finally:
        admin.close()
    for topic in topics:
        error = for_code(described[topic]["error_code"])
        if error is not NoError:
            message = f"topic {topic}: {error.__name__}: create the topics with python -m connectors.topics"
            raise TocsinError(message)
    return {topic: f"{cluster}/{topic}/{described[topic]['topic_id']}" for topic in topics}


def topic_identity(settings: KafkaSettings, topic: str) -> str:
    """The same of one."""
    return topic_identities(settings, (topic,))[topic]


def _create(admin: KafkaAdminClient, settings: KafkaSettings) -> set[str]:
    """Create what is missing; the names of what was."""
    made = set()
    for topic in admin.create_topics(_wanted(settings), raise_errors=False)["topics"]:
        error = for_code(topic["error_code"])
        if error is NoError:
            made.add(topic["name"])
        elif error is not TopicAlreadyExistsError:
            message = f"topic {topic['name']}: {error.__name__}: {topic['error_message']}"
            raise Unavailable(message)
    return made


def _wanted(settings: KafkaSettings) -> dict[str, dict[str, Any]]:
    """The topics as kafka-python takes them."""
    return {
        spec.name: {
            "num_partitions": spec.partitions or settings.partitions,
            "replication_factor": settings.replication_factor,
            "configs": spec.configs,
        }
        for spec in settings.topics.specs(settings.replication_factor)
    }


def _check(admin: KafkaAdminClient, settings: KafkaSettings, made: set[str]) -> list[str]:
    """A line for each topic; raises ``Misplaced``."""
    specs = settings.topics.specs()
    names = [spec.name for spec in specs]
    admin.wait_for_topics(names, timeout_ms=READY_TIMEOUT_MS)
    counts = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(names)}
    return [_line(spec, settings, counts[spec.name], spec.name in made) for spec in specs]


def _line(spec: TopicSpec, settings: KafkaSettings, partitions: int, made: bool) -> str:
    wanted = spec.partitions or settings.partitions
    if partitions == wanted:
        return f"{'created' if made else 'found'} {spec.name} ({partitions} partitions)"
    message = (
        f"topic {spec.name}: has {partitions} partitions, TOCSIN_PARTITIONS asks for {wanted}; "
        "the number cannot change while series are hashed to them"
    )
    if spec.partitions is not None:
        message = (
            f"topic {spec.name}: has {partitions} partitions and must have {wanted}, because its order counts: "
            "somebody else has made it; delete it, and create the topics with python -m connectors.topics"
        )
    raise Misplaced(message)


def main() -> int:
    """Create the topics that the environment describes and print one line for each."""
    try:
        settings = read_settings(KafkaSettings)
        sys.stderr.write(f"asking Kafka at {settings.kafka} (TOCSIN_KAFKA)\n")
        lines = create_topics(settings)
    except TocsinError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
