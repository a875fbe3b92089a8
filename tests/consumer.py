"""A consumer as another system would write it: confluent-kafka and jsonschema, and nothing of Tocsin.

As a program: ``python tests/consumer.py BOOTSTRAP TOPIC SCHEMA_FILE`` prints one JSON object for the records that it
read to the end of the topic, and ends with 1 if any of them breaks the schema.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from jsonschema import Draft202012Validator

READ_S = 30.0


@dataclass
class Verdict:
    """What was read: number of records, what was wrong with which, and the last event of each episode."""

    records: int = 0
    problems: list[str] = field(default_factory=list)
    last: dict[str, dict[str, Any]] = field(default_factory=dict)


def validate_topic(bootstrap: str, topic: str, schema: dict[str, Any], expected: int = 0) -> Verdict:
    """Read every partition from its beginning to its end."""
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    verdict = Verdict()
    partition_of: dict[bytes, int] = {}
    named = {"bootstrap.servers": bootstrap, "group.id": "independent", "enable.auto.commit": False}
    consumer = Consumer({**named, "enable.partition.eof": True})
    try:
        unread = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in unread])
        while unread:
            message = consumer.poll(READ_S)
            if message is None:
                text = f"{topic}: nothing came for {READ_S} s, and partitions {unread} were not read to their end"
                raise RuntimeError(text)
            if message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
                continue
            if message.error() is not None:
                raise RuntimeError(message.error().str())
            verdict.records += 1
            _judge(message, validator, verdict, partition_of)
    finally:
        consumer.close()
    if verdict.records < expected:
        verdict.problems.append(f"{verdict.records} records, expected {expected}")
    return verdict


def _judge(message: Any, validator: Draft202012Validator, verdict: Verdict, partition_of: dict[bytes, int]) -> None:
    """Check one record against what docs/anomalies.md promises: schema, key, one partition per episode."""
    where = f"{message.partition()}@{message.offset()}"
    event = json.loads(message.value(), parse_constant=_refuse_constant)
    verdict.problems += [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(event)]
    if message.key() != event["id"].encode():
        verdict.problems.append(f"{where}: key {message.key()!r} is not the id {event['id']}")
    if partition_of.setdefault(message.key(), message.partition()) != message.partition():
        verdict.problems.append(f"{where}: episode {event['id']} is in two partitions")
    known = verdict.last.get(event["id"])
    if known is None or event["sequence"] >= known["sequence"]:
        verdict.last[event["id"]] = event


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def main() -> int:
    bootstrap, topic, schema_file = sys.argv[1:]
    verdict = validate_topic(bootstrap, topic, json.loads(Path(schema_file).read_text(encoding="utf-8")))
    sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
