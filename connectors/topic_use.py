"""Whether anything ever came to a topic."""

from __future__ import annotations

from connectors.kafka_clients import LIST_TIMEOUT_MS, make_consumer, unavailable
from connectors.received import topic_partitions
from connectors.settings import KafkaSettings


def is_used(settings: KafkaSettings, topic: str) -> bool:
    """Whether any partition has had a record, which may be deleted by now.

    Raises ``Unavailable`` when Kafka does not answer, ``TocsinError`` when there is no such topic.
    """
    consumer = make_consumer(settings, "tocsin-use")
    try:
        with unavailable(settings):
            ends = consumer.end_offsets(topic_partitions(consumer, topic), timeout_ms=LIST_TIMEOUT_MS)
    finally:
        consumer.close()
    return any(end > 0 for end in ends.values())
