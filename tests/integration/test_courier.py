"""The courier against a real broker: it takes requests only once the topic is as it should be."""

from __future__ import annotations

import asyncio

import pytest

from connectors.courier import Courier
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.processes import wait_until

pytestmark = pytest.mark.integration


def test_it_waits_for_the_topic(broker: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = KafkaSettings(kafka=broker, topic_prefix="courier-waits", partitions=2, delivery_timeout_s=2.0)
    courier, loop = Courier(settings, lambda: None), asyncio.new_event_loop()

    def waited() -> bool:
        return sum("waiting for Kafka" in record.message for record in caplog.records) >= 2

    courier.start(loop)
    try:
        wait_until(waited, 30, "two attempts to find the topic")
        assert courier.unready_reason
        create_topics(settings)
        wait_until(lambda: not courier.unready_reason, 30, "readiness")
    finally:
        courier.stop()
        loop.close()
