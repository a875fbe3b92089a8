"""The api's writer against a broker that comes late, hangs or goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from api.writer import Writer
from connectors.errors import Unavailable
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import Embedded, free_port, frozen, read_all
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


def test_a_producer_that_failed_for_good_is_replaced(own: Embedded, writer: Writer) -> None:
    settings = writer._settings
    own.start()
    create_topics(settings)

    async def main() -> None:
        await writer.write(record(settings, b"before"))
        fatal = writer._line
        assert fatal is not None
        fatal._producer._transaction_manager.transition_to_fatal_error(KafkaError("the broker forgot its producers"))
        with pytest.raises(Unavailable, match="forgot its producers"):
            await writer.write(record(settings, b"lost"))
        await writer.write(record(settings, b"after"))
        assert writer._line is not fatal

    asyncio.run(main())
    assert written(settings) == [b"before", b"after"]


def test_a_broker_that_hung_is_written_to_again(own: Embedded, writer: Writer) -> None:
    settings = writer._settings = writer._settings.model_copy(update={"delivery_timeout_s": 1.0})
    own.start()
    create_topics(settings)

    async def main() -> None:
        await writer.write(record(settings, b"before"))
        with frozen(own), pytest.raises((TimeoutError, Unavailable)):
            await asyncio.wait_for(writer.write(record(settings, b"maybe")), 2.0)
        await until_written(writer, record(settings, b"after"))

    asyncio.run(main())
    assert written(settings)[-1] == b"after"


def test_a_broker_that_came_back_without_its_records_is_written_to(own: Embedded, writer: Writer) -> None:
    settings = writer._settings
    own.start()
    create_topics(settings)

    async def main() -> None:
        for value in (b"1", b"2"):
            await writer.write(record(settings, value))
        await asyncio.to_thread(own.kill)
        await asyncio.to_thread(own.start)
        await asyncio.to_thread(create_topics, settings)
        await until_written(writer, record(settings, b"after"))

    asyncio.run(main())
    assert written(settings)[-1] == b"after"


async def until_written(writer: Writer, wanted: OutRecord) -> None:
    """As a client that is told to retry."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(Unavailable):
                await writer.write(wanted)
                return
