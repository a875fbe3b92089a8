"""The second hand: what it announces, when it starts, and what it never does."""

from __future__ import annotations

import pytest

from connectors.control import SecondHand
from connectors.errors import ForeignOffsets, TocsinError
from connectors.follower import Follower
from connectors.ingest_meters import IngestMeters
from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import ControlRecord, OutRecord
from connectors.settings import KafkaSettings
from tests.ingests import RunningIngest, is_control, read_all, running, sample
from tests.processes import wait_until

pytestmark = pytest.mark.integration


def append(settings: KafkaSettings, topic: str, count: int) -> None:
    producer = make_producer(settings, "test-append")
    confirm([send(producer, OutRecord(topic, b"k", b"v", [])) for _ in range(count)], 10.0)
    producer.close()


class Log:
    """A log whose reading a test directs."""

    def __init__(self) -> None:
        self.at = 0
        self.read = False
        self.error: TocsinError | None = None

    def position(self, partition: int) -> int:
        assert partition == 0
        return self.at

    def caught_up(self) -> bool:
        return self.read

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def test_offsets_announced_can_be_read(kafka_settings: KafkaSettings) -> None:
    append(kafka_settings, kafka_settings.topics.detectors, 3)
    append(kafka_settings, kafka_settings.topics.feedback, 2)
    with running(kafka_settings) as ingest:
        wait_until(lambda: len(ingest.controls()) >= kafka_settings.partitions, 20.0, "control records")
        append(kafka_settings, kafka_settings.topics.detectors, 4)
        wait_until(lambda: announced(ingest) == (7, 2), 20.0, "the new revisions to be announced")
        controls = ingest.controls()
        assert controls[0][1].detectors_offset == 3  # never less than what stood there at the start
        for partition in range(kafka_settings.partitions):
            mine = [record for at, record in controls if at == partition]
            assert [record.time_ms for record in mine] == sorted({record.time_ms for record in mine})
            assert [record.detectors_offset for record in mine] == sorted(r.detectors_offset for r in mine)
    assert len(read_all(kafka_settings, kafka_settings.topics.detectors)) == 7


def announced(ingest: RunningIngest) -> tuple[int, int]:
    last = ingest.controls()[-1][1]
    return last.detectors_offset, last.feedback_offset


def test_control_records_stand_between_samples_and_bear_the_header(kafka_settings: KafkaSettings) -> None:
    with running(kafka_settings) as ingest:
        assert ingest.write(sample("beside")).status == 204
        records = read_all(kafka_settings, kafka_settings.topics.metrics)
        assert {record.partition for record in records if is_control(record)} == set(range(4))
        assert all(record.key is None for record in records if is_control(record))
        assert [record.key for record in records if not is_control(record)] == [b"anonymous"]


def test_ticks_with_time_and_positions_given(kafka_settings: KafkaSettings) -> None:
    detectors, feedback, meters = Log(), Log(), IngestMeters()
    producer = make_producer(kafka_settings, "test-control")
    hand = SecondHand(kafka_settings, producer, detectors, feedback, meters)
    assert hand.tick(1_000) == 0  # not read to the end yet
    detectors.read = feedback.read = True
    detectors.at = 5
    assert hand.tick(2_000) == 4
    wait_until(lambda: settled(hand), 10.0, "the records to be confirmed")
    detectors.read = False  # somebody appends: what was read before may still be announced
    detectors.at = 6
    assert hand.tick(1_500) == 4
    wait_until(lambda: settled(hand), 10.0, "the records to be confirmed")
    feedback.error = ForeignOffsets("gone")
    with pytest.raises(ForeignOffsets):
        hand.tick(3_000)
    producer.close()
    with Follower(kafka_settings, kafka_settings.topics.metrics, lambda _: None) as follower:
        follower.wait_caught_up(10.0)
        assert [follower.position(partition) for partition in range(4)] == [2, 2, 2, 2]


def settled(hand: SecondHand) -> bool:
    return all(future.is_done for future in hand._sent)


def test_log_time_never_runs_backwards(kafka_settings: KafkaSettings) -> None:
    log = Log()
    log.read = True
    producer = make_producer(kafka_settings, "test-control")
    hand = SecondHand(kafka_settings, producer, log, log, IngestMeters())
    for now_ms in (2_000, 1_000, 3_000):
        assert hand.tick(now_ms) == 4
        wait_until(lambda: settled(hand), 10.0, "the records to be confirmed")
    producer.close()

    records = read_all(kafka_settings, kafka_settings.topics.metrics)
    times = [ControlRecord.decode(record.value or b"").time_ms for record in records if record.partition == 0]
    assert times == [2_000, 2_000, 3_000]
