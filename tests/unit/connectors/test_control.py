from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

import pytest

from connectors import control as module
from connectors.control import Control, SecondHand
from connectors.courier import Courier
from connectors.errors import ForeignOffsets, Unavailable
from connectors.ingest_meters import IngestMeters
from connectors.job import Batch, Settled
from connectors.messages import CONTROL_HEADER, ControlRecord
from connectors.settings import KafkaSettings

SETTINGS = KafkaSettings(partitions=3)
T = TypeVar("T")


class Logs:
    """Both logs, whose reading a test directs."""

    def __init__(self, detectors: int = 0, feedback: int = 0) -> None:
        self.at = {"tocsin.detectors": detectors, "tocsin.feedback": feedback}
        self.read = True
        self.error: Exception | None = None

    def position(self, partition: int, topic: str) -> int:
        assert partition == 0
        return self.at[topic]

    def caught_up(self) -> bool:
        return self.read

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        pass


class FakeCourier:
    """Answers with these errors in turn, then with success; the last log error that it is given ends the test."""

    def __init__(self, logs: Logs, errors: list[Exception], end: Exception) -> None:
        self._logs, self._errors, self._end = logs, errors, end

    async def deliver(self, prepare: Callable[[], Batch[T]], settled: Settled, timeout_s: float) -> T:
        assert timeout_s > 0
        settled(None)
        if self._errors:
            raise self._errors.pop()
        self._logs.error = self._end
        return prepare().outcome


def never(_settings: KafkaSettings, topic: str) -> bool:
    assert topic == SETTINGS.topics.logs
    return False


def ran(
    monkeypatch: pytest.MonkeyPatch, logs: Logs, errors: list[Exception], end: Exception,
    is_used: Callable[[KafkaSettings, str], bool] = never,
) -> Control:  # fmt: skip
    """The second hand after it has run to its end."""
    monkeypatch.setattr(module, "Follower", lambda *_: logs)
    monkeypatch.setattr(module, "PERIOD_S", 0.001)
    monkeypatch.setattr(module, "FIRST_LOOK_S", 0.001)
    courier = cast("Courier", FakeCourier(logs, errors, end))
    control = Control(SETTINGS, courier, IngestMeters(), is_used=is_used)
    asyncio.run(asyncio.wait_for(control.run(), 10))
    return control


@pytest.mark.parametrize("end", [Unavailable("gone"), ForeignOffsets("another broker"), ValueError("a bug")])
@pytest.mark.parametrize("before", [False, True])
def test_whatever_ends_the_reading_ends_it_and_is_told(
    monkeypatch: pytest.MonkeyPatch, end: Exception, before: bool
) -> None:
    logs = Logs()
    logs.error = end if before else None
    control = ran(monkeypatch, logs, [], end)
    assert control.error is end
    assert control.unready_reason == f"control records have stopped: {end}"
    assert control._meters.registry.get_sample_value("tocsin_ingest_control_failures_total") == 0


def test_records_that_kafka_does_not_confirm_are_counted_and_sending_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    control = ran(monkeypatch, Logs(), [Unavailable("silent"), Unavailable("silent")], ForeignOffsets("end"))
    count = control._meters.registry.get_sample_value
    assert count("tocsin_ingest_control_failures_total") == 2
    assert count("tocsin_ingest_control_records_total") == 3


@pytest.mark.parametrize(("found", "records"), [(True, 6), (False, 3), (Unavailable("silent"), 6)])
def test_logs_that_came_before_are_told_the_time(
    monkeypatch: pytest.MonkeyPatch, found: bool | Unavailable, records: int
) -> None:
    def is_used(_settings: KafkaSettings, _topic: str) -> bool:
        if isinstance(found, Unavailable):
            raise found
        return found

    control = ran(monkeypatch, Logs(), [], ForeignOffsets("end"), is_used)
    assert control._meters.registry.get_sample_value("tocsin_ingest_control_records_total") == records


def test_what_kafka_will_never_take_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ValueError("never")
    assert ran(monkeypatch, Logs(), [refused], ForeignOffsets("unused")).error is refused


def test_one_record_for_each_partition_and_those_of_logs_where_there_are_any() -> None:
    hand = SecondHand(SETTINGS, Logs(5, 2))
    assert [(one.topic, one.partition) for one in hand.tick(500)] == [("tocsin.metrics", n) for n in (0, 1, 2)]
    hand.logs_come = True
    records = hand.tick(1_000)
    places = [(record.topic, record.partition) for record in records]
    assert places == [(topic, partition) for topic in ("tocsin.metrics", "tocsin.logs") for partition in (0, 1, 2)]
    assert all(record.headers == [(CONTROL_HEADER, b"1")] and record.key is None for record in records)
    expected = ControlRecord(time_ms=1_000, detectors_offset=5, feedback_offset=2, partitions=3)
    assert {ControlRecord.decode(record.value or b"") for record in records} == {expected}


def test_nothing_before_both_logs_were_read() -> None:
    logs = Logs(5, 2)
    hand = SecondHand(SETTINGS, logs)
    logs.read = False
    assert hand.tick(1_000) == []
    assert not hand.started
    logs.read = True
    assert len(hand.tick(2_000)) == 3
    logs.read = False  # somebody appends: what was read before may still be announced
    assert len(hand.tick(3_000)) == 3


def test_log_time_never_runs_backwards() -> None:
    hand = SecondHand(SETTINGS, Logs())
    times = [ControlRecord.decode(hand.tick(now_ms)[0].value or b"").time_ms for now_ms in (2_000, 1_000, 3_000)]
    assert times == [2_000, 2_000, 3_000]


def test_a_log_that_cannot_be_read_ends_it() -> None:
    logs = Logs()
    hand = SecondHand(SETTINGS, logs)
    hand.tick(1_000)
    logs.error = ForeignOffsets("gone")
    with pytest.raises(ForeignOffsets):
        hand.tick(2_000)
