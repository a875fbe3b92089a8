"""What a consumer gives: its records as ours, and the partitions of a topic."""

from __future__ import annotations

from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from connectors.errors import TocsinError
from connectors.messages import Header


class Received(NamedTuple):
    """One record as it came from Kafka; ``time_ms`` is the record's own timestamp."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


def receive(record: Any) -> Received:
    """A kafka-python ConsumerRecord as ours; by index, which is what a namedtuple does fastest.

    A header may be null in Kafka. It is empty here, so that nobody stumbles over it.
    """
    headers = record[8]
    if any(value is None for _, value in headers):
        headers = [(name, value or b"") for name, value in headers]
    return Received(record[0], record[1], record[3], record[4], record[6], record[7], headers)


def topic_partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """Every partition of the topic, ascending. Raises ``TocsinError`` when the topic does not exist."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        message = f"topic {topic} does not exist: create the topics with python -m connectors.topics"
        raise TocsinError(message)
    return [TopicPartition(topic, number) for number in sorted(numbers)]
