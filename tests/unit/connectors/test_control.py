from __future__ import annotations

import pytest

from connectors.control import SecondHand
from connectors.errors import ForeignOffsets, TocsinError
from connectors.messages import CONTROL_HEADER, ControlRecord
from connectors.settings import KafkaSettings

SETTINGS = KafkaSettings(partitions=3)


class Logs:
    """Both logs, whose reading a test directs."""

    def __init__(self, detectors: int = 0, feedback: int = 0) -> None:
        self.at = {"tocsin.detectors": detectors, "tocsin.feedback": feedback}
        self.read = True
        self.error: TocsinError | None = None

    def position(self, partition: int, topic: str) -> int:
        assert partition == 0
        return self.at[topic]

    def caught_up(self) -> bool:
        return self.read

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def test_one_record_for_each_partition() -> None:
    records = SecondHand(SETTINGS, Logs(5, 2)).tick(1_000)
    assert [record.partition for record in records] == [0, 1, 2]
    assert {record.topic for record in records} == {"tocsin.metrics"}
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
