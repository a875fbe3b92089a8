"""Lines whose producer and clock a test directs."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.future import Future

from connectors import line as module
from connectors.errors import KafkaUnavailable, TocsinError, TooLarge, Unavailable
from connectors.line import Line
from connectors.messages import OutRecord

RECORD = OutRecord("t", b"k", b"v", [])
DELIVERY_S, PATIENCE_S = 10.0, 3.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Producer:
    """Keeps what is sent until the test says what became of it, unless it refuses to send."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.refusal: Exception | None = None

    def send(self, *_: Any, **__: Any) -> Future:
        if self.refusal is not None:
            raise self.refusal
        self.futures.append(Future())
        return self.futures[-1]


class Case:
    def __init__(self) -> None:
        self.producer, self.idles, self.told = Producer(), 0, list[TocsinError | None]()
        self.line = Line(self.producer, DELIVERY_S, self.idle)

    def idle(self) -> None:
        assert self.line.idling
        self.idles += 1

    def send(self) -> Future:
        self.line.send(RECORD, self.told.append)
        return self.producer.futures[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.usefixtures("clock")
def test_each_record_is_told_once_and_idleness_after_the_last() -> None:
    case = Case()
    first, second = case.send(), case.send()
    assert not case.line.idling
    first.success(None)
    assert (case.told, case.idles) == ([None], 0)
    second.failure(KafkaTimeoutError("gone"))
    assert [type(one) for one in case.told] == [type(None), KafkaUnavailable]
    assert (case.idles, case.line.idling) == (1, True)


@pytest.mark.usefixtures("clock")
def test_who_hears_of_a_failure_finds_the_line_past_help() -> None:
    case, found = Case(), list[bool]()
    case.line.send(RECORD, lambda _: found.append(case.line.past_help()))
    case.producer.futures[-1].failure(KafkaTimeoutError("gone"))
    assert found == [True]


def test_who_only_fails_is_past_help_once_patience_ends(clock: Clock) -> None:
    case = Case()
    assert not case.line.past_help()
    case.send().failure(KafkaTimeoutError("gone"))
    assert case.line.failing(DELIVERY_S)
    assert case.line.past_help()
    assert not case.line.past_help(PATIENCE_S)
    clock.now_s += PATIENCE_S
    case.send().failure(KafkaTimeoutError("still gone"))
    assert case.line.past_help(PATIENCE_S), "it counts from the first failure"
    case.send().success(None)
    assert not case.line.past_help()
    assert not case.line.failing(DELIVERY_S)


def test_who_is_silent_is_past_help_beyond_its_time_out(clock: Clock) -> None:
    case = Case()
    case.send()
    clock.now_s += DELIVERY_S
    assert not case.line.past_help()
    clock.now_s += 1.0
    assert case.line.failing(DELIVERY_S)
    assert case.line.past_help()
    assert not case.line.past_help(PATIENCE_S)
    case.producer.futures[0].success(None)
    clock.now_s += 2 * DELIVERY_S
    assert not case.line.past_help(), "nothing is under way"
    case.send()
    case.send()
    assert not case.line.past_help(), "silence begins with what is sent"


@pytest.mark.parametrize(
    ("refusal", "told", "failing"),
    [
        (KafkaTimeoutError("full"), Unavailable, True),
        (ValueError("no such partition"), Unavailable, True),
        (MessageSizeTooLargeError("large"), TooLarge, False),
    ],
)
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_sent_is_raised(refusal: Exception, told: type[Exception], failing: bool) -> None:
    case = Case()
    case.producer.refusal = refusal
    with pytest.raises(told):
        case.send()
    assert (case.told, case.line.idling, case.line.past_help()) == ([], True, failing)
