"""The courier on a producer whose answers a test directs; tests/integration has the real ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.future import Future

from connectors import courier as courier_module
from connectors import renewing_producer as module
from connectors.courier import Courier
from connectors.errors import Misplaced, TocsinError, TooLarge, Unavailable
from connectors.job import Batch, Piece
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

SETTINGS = KafkaSettings(partitions=2)
OUTAGE = "no broker"
RECORD = OutRecord(SETTINGS.topics.metrics, b"k", b"v", [], 0)
PIECE = Piece(SETTINGS.topics.metrics, b"k", 1, memoryview(b"p"))


class FakeProducer:
    """Confirms every record, or fails it with ``error``, or says nothing of it until it is closed if it is ``mute``.

    No other can be made while it is ``gone``.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.mute = self.gone = False
        self.partitions_of_logs = {0, 1}
        self.closed = threading.Event()
        self._held: list[Future] = []

    def made(self, *_: object, **__: object) -> FakeProducer:
        if self.gone:
            threading.Event().wait(0.001)
            raise Unavailable(OUTAGE)
        return self

    def partitions_for(self, topic: str) -> set[int]:
        assert topic in (SETTINGS.topics.metrics, SETTINGS.topics.logs)
        return {0, 1} if topic == SETTINGS.topics.metrics else self.partitions_of_logs

    def send(self, topic: str, **record: Any) -> Future:
        assert topic == SETTINGS.topics.metrics
        assert record["value"]
        if self.mute:
            self._held.append(Future())
            return self._held[-1]
        return Future().failure(self.error) if self.error else Future().success(None)

    def close(self, timeout: float | None = None) -> None:
        assert timeout is None or timeout >= 0
        for future in self._held:
            future.failure(KafkaTimeoutError("closed"))
        self._held.clear()
        self.closed.set()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    made = FakeProducer()
    monkeypatch.setattr(module, "make_producer", made.made)
    return made


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def run(loop: asyncio.AbstractEventLoop, work: Callable[[Courier], Awaitable[None]]) -> Courier:
    """A courier that has started, done its work and stopped."""
    courier = Courier(SETTINGS.model_copy(update={"delivery_timeout_s": 0.0}), lambda: None)

    async def all_of_it() -> None:
        courier.start(loop)
        async with asyncio.timeout(20):
            while courier.unready_reason and courier.error is None:  # noqa: ASYNC110 - another thread sets it
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


def test_a_stop_during_an_outage_answers_what_waits(
    producer: FakeProducer, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_AFTER_S", 0.0)
    monkeypatch.setattr(courier_module, "GATHER_S", 60.0)  # what is piled stays there, however slow this machine is
    both = threading.Event()

    def sent() -> Batch[str]:
        both.wait(10)
        producer.mute = producer.gone = True
        return Batch([], [RECORD], "sent")

    async def work(courier: Courier) -> None:
        prepared = (sent, lambda: Batch([PIECE], [], "piled"))
        waiting = [asyncio.create_task(failure(courier, prepare)) for prepare in prepared]
        await asyncio.sleep(0)
        producer.closed.clear()  # which the attempt to connect has set
        both.set()
        await asyncio.to_thread(producer.closed.wait, 10)
        await asyncio.to_thread(courier.stop)
        errors = [await answer for answer in waiting]
        assert all(isinstance(error, Unavailable) for error in errors)
        assert str(errors[1]) == "ingest is stopping"
        assert str(await failure(courier)) == "ingest is stopping"

    assert run(loop, work).error is None


def test_a_bug_in_one_request_ends_it_and_answers_all(producer: FakeProducer, loop: asyncio.AbstractEventLoop) -> None:
    all_there, settled = threading.Event(), []

    def piled() -> Batch[str]:
        all_there.wait(10)
        return Batch([PIECE], [], "piled")

    def broken() -> Batch[str]:
        message = "a bug"
        raise ValueError(message)

    async def deliver(courier: Courier, prepare: Callable[[], Batch[str]]) -> str:
        with pytest.raises(Unavailable) as raised:
            await courier.deliver(prepare, settled.append, 2.0)
        return str(raised.value)

    async def work(courier: Courier) -> None:
        waiting = [asyncio.create_task(deliver(courier, prepare)) for prepare in (piled, broken, batch)]
        await asyncio.sleep(0)
        all_there.set()
        assert await asyncio.gather(*waiting) == ["ingest has failed: ValueError('a bug')"] * 3
        assert len(settled) == 3

    assert repr(run(loop, work).error) == "ValueError('a bug')"
    assert producer.closed.is_set()


def test_the_topic_of_logs_must_have_as_many_partitions(
    producer: FakeProducer, loop: asyncio.AbstractEventLoop
) -> None:
    async def nothing(_: Courier) -> None:
        pass

    producer.partitions_of_logs = {0}
    courier = run(loop, nothing)
    assert isinstance(courier.error, Misplaced)
    assert str(courier.error) == "topic tocsin.logs: has 1 partitions, TOCSIN_PARTITIONS says 2"
