"""The second hand: what it announces, when it starts, and what it never does."""

from __future__ import annotations

import pytest

from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings
from tests.brokers import read_all
from tests.ingests import RunningIngest, is_control, running, sample
from tests.processes import wait_until
from tests.pushes import PROTOBUF, push, request

pytestmark = pytest.mark.integration


def append(settings: KafkaSettings, topic: str, count: int) -> None:
    producer = make_producer(settings, "test-append")
    confirm([send(producer, OutRecord(topic, b"k", b"v", [])) for _ in range(count)], 10.0)
    producer.close()


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


def test_logs_are_told_the_time_from_the_first_push_on_also_by_an_ingest_that_begins_later(
    kafka_settings: KafkaSettings,
) -> None:
    def times() -> int:
        return sum(map(is_control, read_all(kafka_settings, kafka_settings.topics.logs)))

    with running(kafka_settings) as ingest:
        wait_until(lambda: len(ingest.controls()) >= 2 * kafka_settings.partitions, 20.0, "two seconds")
        assert times() == 0
        assert push(ingest, request((' {app="shop"} ', [b"line"])), PROTOBUF).status == 204
        wait_until(lambda: times() >= kafka_settings.partitions, 20.0, "the time")
    told = times()
    with running(kafka_settings):
        wait_until(lambda: times() > told, 20.0, "the time")
