"""The follower on a consumer whose answers a test directs; tests/integration/test_broker.py has the real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from connectors import follower as module
from connectors.errors import ForeignOffsets, Unavailable
from connectors.fetch_wait import IDLE_POLL_MS
from connectors.follower import Follower
from connectors.kafka_clients import FETCH_WAIT_MS
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topic_log import LogReader, TopicLog
from tests.processes import wait_until

TOPICS = ("a", "b")


class Record(NamedTuple):
    """As a ConsumerRecord of kafka-python, which is read by index and by ``offset``."""

    topic: str
    partition: int
    leader_epoch: int | None
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class FakeConsumer:
    """Topics of one partition each, without a record. ``seeking`` and ``polling`` are called at each seek and poll."""

    def __init__(self) -> None:
        self.seeking: Callable[[], object] = bool
        self.polling: Callable[[], object] = bool
        self.closed = 0
        self._assigned: list[TopicPartition] = []
        self._fetcher = SimpleNamespace(
            config={"fetch_max_wait_ms": FETCH_WAIT_MS}, _handle_fetch_response=lambda *_: None
        )

    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic in TOPICS
        return {0}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._assigned = partitions

    def assignment(self) -> list[TopicPartition]:
        return self._assigned

    def beginning_offsets(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, timeout_ms * 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert (partition in self._assigned, offset) == (True, 0)
        self.seeking()

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        threading.Event().wait(min(timeout_ms, 1) / 1000)
        self.polling()
        return {}

    def highwater(self, partition: TopicPartition) -> int | None:
        return 0 if partition in self._assigned else None

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()
    monkeypatch.setattr(module, "make_consumer", lambda *_: made)
    monkeypatch.setattr(module, "CONNECT_S", 0.001)
    return made


def following() -> Follower:
    return Follower(KafkaSettings(), TOPICS, lambda _: None)


def test_no_topic_is_read_before_its_partitions_are_known(consumer: FakeConsumer) -> None:
    may_go, seen = threading.Event(), []

    def look() -> None:
        may_go.wait(10)
        seen.append([follower.caught_up(topic) for topic in (*TOPICS, None)])

    consumer.seeking = look
    with following() as follower:
        may_go.set()
        follower.wait_caught_up(10)
        assert [follower.caught_up(topic) for topic in (*TOPICS, "c")] == [True, True, False]
    assert seen == [[False] * 3] * 2


def test_a_broker_that_does_not_tell_its_offsets_is_asked_again(consumer: FakeConsumer) -> None:
    left = [1, 2, 3]

    def fail() -> None:
        if left:
            raise KafkaTimeoutError(left.pop())

    consumer.beginning_offsets = lambda partitions, timeout_ms: (fail(), dict.fromkeys(partitions, timeout_ms * 0))[1]  # type: ignore[method-assign]
    with following() as follower:
        follower.wait_caught_up(10)
        assert consumer.closed == 3
    assert consumer.closed == 4


def test_an_offset_that_the_broker_does_not_hold_has_a_name(consumer: FakeConsumer) -> None:
    def gone() -> None:
        raise OffsetOutOfRangeError({TopicPartition("b", 0): 7})

    consumer.polling = gone
    with following() as follower, pytest.raises(ForeignOffsets, match=r"b partition 0: .* does not hold offset 7"):
        follower.wait(lambda: False, 10)


def test_a_reading_that_ended_says_why(consumer: FakeConsumer) -> None:
    def die() -> None:
        message = "a bug"
        raise ValueError(message)

    consumer.polling = die
    with following() as follower:
        wait_until(lambda: not follower.alive(), 10, "the thread's end")
        assert follower.missing_reason() == "a, b: reading has ended: a bug"


def test_who_stops_waits_for_no_poll(consumer: FakeConsumer) -> None:
    polls, closed = threading.Event(), threading.Event()

    def wait() -> None:
        polls.set()
        closed.wait()
        message = "NetworkSelector closed!"  # as kafka-python says where a consumer was closed
        raise RuntimeError(message)

    consumer.polling, consumer.close = wait, closed.set  # type: ignore[method-assign]
    with following() as follower:
        assert polls.wait(10)
    assert not follower.alive()
    follower.check()


def test_one_that_rests_asks_again_when_it_is_nudged(consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_S", 3600.0)
    polls: list[int] = []

    def answer() -> None:
        polls.append(len(polls))
        consumer._fetcher._handle_fetch_response()

    consumer.polling = answer
    with Follower(KafkaSettings(), TOPICS, lambda _: None, rests=True) as follower:
        wait_until(lambda: follower._answers._pausing, 10, "the rest")
        before = len(polls)
        assert follower.missing_reason() == ""
        follower.nudge()
        wait_until(lambda: len(polls) > before, 10, "a poll")
    assert not follower.alive(), "who stops waits for no rest"


def test_a_broker_that_is_silent_is_asked_without_rest(consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_S", 3600.0)
    polls: list[int] = []
    consumer.polling = lambda: polls.append(0)
    with Follower(KafkaSettings(), TOPICS, lambda _: None, rests=True) as follower:
        wait_until(lambda: len(polls) > 20, 10, "polls that nobody answers")
        assert "has not answered yet" in follower.missing_reason()


def test_records_that_do_not_hurry_make_nobody_ask_more_often(consumer: FakeConsumer) -> None:
    record = ("b", 0, None, 7, 0, 0, b"key", b"value", [])
    due, timeouts, came = [[], [record], []], list[int](), list[Received]()

    def poll(timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        threading.Event().wait(0.001)
        timeouts.append(timeout_ms)
        records = due.pop(0) if due else []
        return {TopicPartition("b", 0): [Record(*found) for found in records]} if records else {}

    consumer.poll = poll  # type: ignore[method-assign]
    with Follower(KafkaSettings(), TOPICS, came.extend, hurries=lambda record: record.topic != "b"):
        wait_until(lambda: len(timeouts) > 3, 10, "polls")
    assert [record.offset for record in came] == [7]
    assert timeouts[2] == IDLE_POLL_MS


def test_a_rest_is_over_once_only_for_a_broker_that_hangs(
    consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked before a rest may be answered in it: that is no answer to who asks after it."""
    monkeypatch.setattr(module, "REST_S", 0.2)
    polls: list[int] = []

    def answer_once() -> None:
        polls.append(0)
        if len(polls) == 1:
            consumer._fetcher._handle_fetch_response()

    consumer.polling = answer_once
    with Follower(KafkaSettings(), TOPICS, lambda _: None, rests=True) as follower:
        wait_until(lambda: follower._answers._pausing, 10, "the rest")
        consumer._fetcher._handle_fetch_response()  # of what was asked before
        wait_until(lambda: not follower._answers._pausing, 10, "its end")
        came_s = follower._answers._came_s
        wait_until(lambda: len(polls) > 20, 10, "polls that nobody answers")
        assert follower._answers._came_s == came_s, "a second rest"


def test_a_callback_that_takes_long_is_no_silence_of_kafka(
    consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.answers.SILENT_S", -1.0)  # whatever is not pausing is silent
    entered, may_go = threading.Event(), threading.Event()
    due = [[("b", 0, None, 7, 0, 0, b"key", b"value", [])]]

    def poll(timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        threading.Event().wait(0.001)
        consumer._fetcher._handle_fetch_response()
        return {TopicPartition("b", 0): [Record(*found) for found in due.pop()]} if due else {}

    def hold(_: list[Received]) -> None:
        entered.set()
        may_go.wait(10)

    consumer.poll = poll  # type: ignore[method-assign]
    with Follower(KafkaSettings(), TOPICS, hold) as follower:
        assert entered.wait(10)
        assert follower.missing_reason() == ""
        may_go.set()


def test_who_waits_for_a_log_wakes_its_reader_again_and_again(
    consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the leader of its partition is away a nudge leads to nothing, and the reader rests anew."""
    monkeypatch.setattr("connectors.topic_log.NUDGE_S", 0.001)
    nudges: list[int] = []

    def answer() -> None:  # by the handler that the follower puts there later
        consumer._fetcher._handle_fetch_response()

    consumer.polling = answer
    log, other = TopicLog("a"), TopicLog("b")
    with LogReader(KafkaSettings(), log, other, rests=True) as reader:
        monkeypatch.setattr(reader.follower, "nudge", lambda: nudges.append(0))
        with pytest.raises(Unavailable, match="a: read to offset 0, not to 5"):
            reader.read(log, 0, 5, 0.1)
    assert len(nudges) > 2
