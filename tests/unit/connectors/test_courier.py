"""The courier on a producer whose answers a test directs; tests/integration has the real ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.future import Future

from connectors import courier as module
from connectors.courier import Courier
from connectors.errors import TocsinError, TooLarge, Unavailable
from connectors.job import Batch, Piece
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

SETTINGS = KafkaSettings(partitions=2)
RECORD = OutRecord(SETTINGS.topics.metrics, b"k", b"v", [], 0)
PIECE = Piece(SETTINGS.topics.metrics, b"k", 1, memoryview(b"p"))


class FakeProducer:
    """Confirms every record, or fails it with ``error``."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.closed = threading.Event()

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == SETTINGS.topics.metrics
        return {0, 1}

    def send(self, topic: str, **record: Any) -> Future:
        assert topic == SETTINGS.topics.metrics
        assert record["value"]
        return Future().failure(self.error) if self.error else Future().success(None)

    def close(self, timeout: float | None = None) -> None:
        assert timeout is None or timeout >= 0
        self.closed.set()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    made = FakeProducer()
    monkeypatch.setattr(module, "make_producer", lambda *_, **__: made)
    return made


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def run(loop: asyncio.AbstractEventLoop, work: Callable[[Courier], Awaitable[None]]) -> Courier:
    """A courier that has started, done its work and stopped."""
    courier = Courier(SETTINGS, lambda: None)

    async def all_of_it() -> None:
        courier.start(loop)
        async with asyncio.timeout(20):
            while courier.unready_reason and courier.error is None:
                await asyncio.sleep(0.001)
            await work(courier)
            await asyncio.to_thread(courier.stop)

    loop.run_until_complete(all_of_it())
    return courier


def batch() -> Batch[str]:
    return Batch([PIECE], [RECORD], "written")


def settle(_: object) -> None:
    """Nothing is reserved here."""


async def failure(courier: Courier, prepare: Callable[[], Batch[str]] = batch) -> BaseException:
    """What a delivery raises."""
    try:
        await courier.deliver(prepare, settle, 10.0)
    except TocsinError as error:
        return error
    message = "it was delivered"
    raise AssertionError(message)


def test_what_is_confirmed_is_delivered(producer: FakeProducer, loop: asyncio.AbstractEventLoop) -> None:
    async def work(courier: Courier) -> None:
        assert await courier.deliver(batch, settle, 10.0) == "written"

    assert run(loop, work).error is None
    assert producer.closed.is_set()


def test_a_record_that_kafka_will_never_take_is_too_large_and_kafka_not_gone(
    producer: FakeProducer, loop: asyncio.AbstractEventLoop
) -> None:
    producer.error = MessageSizeTooLargeError("the broker's limit is lower than ours")

    async def work(courier: Courier) -> None:
        error = await failure(courier)
        assert isinstance(error, TooLarge)
        assert error.reason == "record_too_large"
        assert "message.max.bytes" in str(error)
        assert courier.failing_reason == ""

    run(loop, work)


def test_a_record_that_kafka_does_not_confirm_is_worth_another_try(
    producer: FakeProducer, loop: asyncio.AbstractEventLoop
) -> None:
    async def work(courier: Courier) -> None:
        producer.error = KafkaTimeoutError("silent")
        assert isinstance(await failure(courier), Unavailable)
        assert "TOCSIN_KAFKA" in courier.failing_reason
        producer.error = None
        await courier.deliver(batch, settle, 10.0)
        assert courier.failing_reason == ""

    run(loop, work)
