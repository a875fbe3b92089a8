"""The api's writer against a broker that comes late, hangs or goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.writer import Writer
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import Embedded, free_port, read_all
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Embedded]:
    """A broker that is not started yet."""
    broker = Embedded(free_port(), tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def writer(own: Embedded) -> Iterator[Writer]:
    writer = Writer(unique_settings(own.bootstrap), "tests")
    yield writer
    writer.stop()
    assert not writer._thread.is_alive()


def record(settings: KafkaSettings, value: bytes) -> OutRecord:
    return OutRecord(settings.topics.detectors, b"k", value, [])


def written(settings: KafkaSettings) -> list[bytes | None]:
    return [found.value for found in read_all(settings, settings.topics.detectors)]


def test_what_was_given_up_before_kafka_came_is_not_written(own: Embedded, writer: Writer) -> None:
    settings = writer._settings

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writer.write(record(settings, b"given up")), 0.1)
        late = asyncio.create_task(writer.write(record(settings, b"late")))
        await asyncio.to_thread(own.start)
        await asyncio.to_thread(create_topics, settings)
        await asyncio.wait_for(late, DEADLINE_S)

    asyncio.run(main())
    assert written(settings) == [b"late"]
