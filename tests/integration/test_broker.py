"""One suite for every broker that Tocsin runs on: the embedded one and Apache Kafka.

What the embedded broker cannot do (settings of topics, keeping records over a restart) is asserted too, so that a
newer wheel that can is noticed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from kafka.record import MemoryRecords

from connectors import follower as follower_module
from connectors.bytewax_io import KafkaPartition, KafkaSinkPart, KafkaSource
from connectors.errors import ForeignOffsets, Misplaced, OffsetGone, TocsinError, TooLarge, Unavailable
from connectors.follower import Follower
from connectors.kafka_clients import confirm, make_admin, make_consumer, make_producer, send
from connectors.messages import OutRecord
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topic_log import LogReader, TopicLog
from connectors.topics import create_topics, create_topics_anew, topic_identity
from tests.brokers import ApacheKafka, Broker, free_port, read_all
from tests.conftest import unique_settings
from tests.processes import wait_until

pytestmark = pytest.mark.integration

BROKERS = ("embedded", "apache")
DEADLINE_S = 30.0


@pytest.fixture(params=BROKERS)
def running(request: pytest.FixtureRequest) -> Broker:
    """Each broker in turn."""
    broker: Broker = request.getfixturevalue(request.param)
    return broker


@pytest.fixture
def settings(running: Broker) -> KafkaSettings:
    """Own topics, four partitions, on each broker in turn."""
    settings = unique_settings(running.bootstrap)
    create_topics(settings)
    return settings


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[KafkaProducer]:
    producer = make_producer(settings, "tests")
    yield producer
    producer.close()


def until(condition: Callable[[], bool], what: str) -> None:
    """Look until ``condition`` holds, at most ``DEADLINE_S``."""
    wait_until(condition, DEADLINE_S, what)


def produce(producer: KafkaProducer, topic: str, values: list[bytes], partition: int = 0) -> None:
    confirm([producer.send(topic, value=value, partition=partition) for value in values], DEADLINE_S)


def numbered(start: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, end)]


def drain(part: KafkaPartition, count: int) -> list[Received]:
    """The next ``count`` records of a source partition."""
    drained: list[Received] = []

    def enough() -> bool:
        drained.extend(part.next_batch())
        return len(drained) >= count

    until(enough, f"{count} records")
    return drained


def test_topics_are_created_once_and_found_again(running: Broker) -> None:
    settings = unique_settings(running.bootstrap)
    first, second = create_topics(settings), create_topics(settings)
    assert {line.split()[0] for line in first} == {"created"}
    assert {line.split()[0] for line in second} == {"found"}
    with pytest.raises(Misplaced, match="has 4 partitions, TOCSIN_PARTITIONS asks for 5"):
        create_topics(settings.model_copy(update={"partitions": 5}))


def test_topics_get_their_settings_where_the_broker_has_any(
    settings: KafkaSettings, request: pytest.FixtureRequest
) -> None:
    admin = make_admin(settings, "tests")
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in settings.topics.specs()]
        described = admin.describe_configs(resources)["topic"]
    finally:
        admin.close()
    for spec in settings.topics.specs():
        seen = {key: config["value"] for key, config in described[spec.name].items() if key in spec.configs}
        assert seen == (spec.configs if "apache" in request.node.name else {})


def test_the_topics_command_prints_each_topic_and_refuses_another_count(settings: KafkaSettings) -> None:
    environment = {"TOCSIN_KAFKA": settings.kafka, "TOCSIN_TOPIC_PREFIX": settings.topic_prefix}

    def run(partitions: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-m", "connectors.topics"]
        return subprocess.run(
            command,
            env={**environment, "TOCSIN_PARTITIONS": partitions},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    found, refused = run("4"), run("3")
    assert (found.returncode, refused.returncode) == (0, 1)
    assert found.stdout.splitlines() == create_topics(settings)
    assert f"topic {settings.topics.metrics}: has 4 partitions" in refused.stderr


def test_a_one_partition_topic_that_somebody_else_made_is_not_blamed_on_the_settings(running: Broker) -> None:
    settings = unique_settings(running.bootstrap)
    admin = make_admin(settings, "tests")
    admin.create_topics({settings.topics.detectors: {"num_partitions": 4, "replication_factor": 1}})
    admin.close()
    with pytest.raises(Misplaced, match=r"has 4 partitions and must have 1, .* delete it") as raised:
        create_topics(settings)
    assert "TOCSIN_PARTITIONS" not in str(raised.value)


def test_the_embedded_broker_s_topics_are_made_anew(embedded: Broker) -> None:
    settings = unique_settings(embedded.bootstrap)
    admin = make_admin(settings, "tests")
    strays = {settings.topics.detectors: 4, settings.topics.metrics: 1}
    admin.create_topics({name: {"num_partitions": n, "replication_factor": 1} for name, n in strays.items()})
    admin.close()
    assert all(line.startswith("created ") for line in create_topics_anew(settings))
    assert all(line.startswith("found ") for line in create_topics(settings))


def test_asking_for_a_topic_does_not_make_it(embedded: Broker) -> None:
    """The embedded broker makes topics for whoever asks and does not object."""
    settings = unique_settings(embedded.bootstrap).model_copy(update={"delivery_timeout_s": 0.3})
    topics, producer = settings.topics, make_producer(settings, "tests")
    with pytest.raises(KafkaError):
        producer.partitions_for(topics.metrics)
    producer.close()
    consumer = make_consumer(settings, "tests")
    consumer.assign([TopicPartition(topics.detectors, 0)])
    consumer.seek(TopicPartition(topics.detectors, 0), 0)
    consumer.poll(300)
    consumer.close()
    admin = make_admin(settings, "tests")
    assert not {topics.metrics, topics.detectors} & set(admin.list_topics())
    admin.close()


def test_a_missing_broker_is_named_with_its_variable() -> None:
    nowhere = KafkaSettings(kafka=f"127.0.0.1:{free_port()}", delivery_timeout_s=1.0)
    for make in (make_producer, make_consumer, make_admin):
        with pytest.raises(Unavailable, match=rf"{nowhere.kafka} \(TOCSIN_KAFKA\)"):
            make(nowhere, "tests")


def test_a_record_keeps_key_value_headers_and_time(settings: KafkaSettings, producer: KafkaProducer) -> None:
    headers = [("tocsin-control", b"1"), ("empty", b"")]
    sent = producer.send(
        settings.topics.metrics, value=b"\x00\xff", key=b"t", headers=headers, partition=3, timestamp_ms=1_234_567
    )
    confirm([sent], DEADLINE_S)
    assert read_all(settings, settings.topics.metrics) == [
        Received(settings.topics.metrics, 3, 0, 1_234_567, b"t", b"\x00\xff", headers)
    ]


def test_records_travel_lz4_compressed_by_an_idempotent_producer(
    settings: KafkaSettings, producer: KafkaProducer
) -> None:
    produce(producer, settings.topics.metrics, [b"a" * 100_000])
    batch = raw_batch(settings, settings.topics.metrics)
    assert batch.compression_type == batch.CODEC_LZ4
    assert batch.producer_id >= 0
    assert len(batch._buffer) < 5_000


def raw_batch(settings: KafkaSettings, topic: str) -> object:
    """The first record batch of partition 0 as it came over the wire."""
    consumer = make_consumer(settings, "tests")
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        fetcher = consumer._fetcher

        def fetched() -> bool:
            fetcher.send_fetches()
            return bool(fetcher._completed_fetches)

        until(fetched, "a fetch")
        return MemoryRecords(fetcher._completed_fetches[0].partition_data.records).next_batch()
    finally:
        consumer.close()


def test_a_record_beyond_the_limit_is_too_large(settings: KafkaSettings, producer: KafkaProducer) -> None:
    with pytest.raises(TooLarge):
        send(producer, OutRecord(settings.topics.metrics, None, b"x" * 1_000_001, []))
    produce(producer, settings.topics.metrics, [b"x" * 512 * 1024])
    assert [len(record.value or b"") for record in read_all(settings, settings.topics.metrics)] == [512 * 1024]


def test_64_partitions_each_keep_their_order(running: Broker) -> None:
    settings = unique_settings(running.bootstrap, partitions=64)
    create_topics(settings)
    producer = make_producer(settings, "tests")
    sent = [
        producer.send(settings.topics.metrics, value=b"%d" % number, partition=partition)
        for number in range(5)
        for partition in range(64)
    ]
    confirm(sent, DEADLINE_S)
    producer.close()
    source = KafkaSource(settings, settings.topics.metrics, list)
    parts = {name: source.build_part("in", name, None) for name in source.list_parts()}
    try:
        assert sorted(parts, key=int) == [str(number) for number in range(64)]
        for part in parts.values():
            assert [record.value for record in drain(part, 5)] == numbered(0, 5)
    finally:
        source.stop()


def test_a_follower_reads_from_the_beginning_and_on(settings: KafkaSettings, producer: KafkaProducer) -> None:
    produce(producer, settings.topics.anomalies, numbered(0, 3), partition=1)
    kept: list[Received] = []
    with Follower(settings, settings.topics.anomalies, kept.extend) as follower:
        follower.wait_caught_up(DEADLINE_S)
        assert [record.value for record in kept] == numbered(0, 3)
        produce(producer, settings.topics.anomalies, numbered(3, 5), partition=1)
        assert follower.wait(lambda: follower.position(1) == 5, DEADLINE_S)
        assert follower.caught_up()
        assert follower.lag() == 0
    assert [record.value for record in kept] == numbered(0, 5)
    assert not follower.alive()
    follower.check()


def test_a_follower_reads_from_an_offset_and_from_the_end(settings: KafkaSettings, producer: KafkaProducer) -> None:
    topic = settings.topics.detectors
    for value in numbered(0, 5):
        produce(producer, topic, [value])
    kept: list[Received] = []
    with Follower(settings, topic, kept.extend, offsets={topic: {0: 3}}) as follower:
        follower.wait_caught_up(DEADLINE_S)
    assert [record.offset for record in kept] == [3, 4]
    kept.clear()
    with Follower(settings, topic, kept.extend, from_beginning=False) as follower:
        follower.wait_caught_up(DEADLINE_S)
        assert follower.position(0) == 5
        produce(producer, topic, [b"new"])
        assert follower.wait(lambda: bool(kept), DEADLINE_S)
    assert [record.value for record in kept] == [b"new"]


def test_a_follower_of_two_topics_has_both_read(settings: KafkaSettings, producer: KafkaProducer) -> None:
    first, second = settings.topics.detectors, settings.topics.feedback
    produce(producer, first, numbered(0, 3))
    kept: list[Received] = []
    with Follower(settings, (first, second), kept.extend) as follower:
        follower.wait_caught_up(DEADLINE_S)
        assert (follower.position(0, first), follower.position(0, second)) == (3, 0)
        produce(producer, second, numbered(3, 5))
        assert follower.wait(lambda: follower.position(0, second) == 2, DEADLINE_S)
        assert follower.position(0, first) == 3
    assert [(record.topic, record.value) for record in kept] == [
        *((first, value) for value in numbered(0, 3)),
        *((second, value) for value in numbered(3, 5)),
    ]


def test_a_followers_death_is_seen(settings: KafkaSettings, producer: KafkaProducer) -> None:
    def refuse(records: list[Received]) -> None:
        raise ValueError(records[0].value)

    with Follower(settings, settings.topics.detectors, refuse) as follower:
        produce(producer, settings.topics.detectors, [b"bad"])
        with pytest.raises(ValueError, match="bad"):
            follower.wait(lambda: False, DEADLINE_S)
        until(lambda: not follower.alive(), "the thread's end")
        with pytest.raises(ValueError, match="bad"):
            follower.check()


def test_a_follower_of_no_topic_says_how_to_create_it(settings: KafkaSettings) -> None:
    with (
        Follower(settings, f"{settings.topic_prefix}.nothing", lambda _: None) as follower,
        pytest.raises(TocsinError, match=r"nothing does not exist: .* connectors\.topics"),
    ):
        follower.wait(lambda: False, DEADLINE_S)


def test_a_topic_log_answers_ranges_and_waits_for_their_end(settings: KafkaSettings, producer: KafkaProducer) -> None:
    detectors, feedback = TopicLog(settings.topics.detectors), TopicLog(settings.topics.feedback)
    with LogReader(settings, detectors, feedback) as reader:
        produce(producer, settings.topics.detectors, numbered(0, 10))
        produce(producer, settings.topics.feedback, numbered(20, 23))
        assert [record.value for record in reader.read(detectors, 2, 7, DEADLINE_S)] == numbered(2, 7)
        assert [record.value for record in reader.read(feedback, 0, 3, DEADLINE_S)] == numbered(20, 23)
        reader.wait_caught_up(DEADLINE_S)
        assert (reader.position(detectors), reader.position(feedback)) == (10, 3)
        assert reader.unread(detectors) == ""
        with pytest.raises(Unavailable, match="detectors: read to offset 10, not to 11"):
            reader.read(detectors, 0, 11, 0.1)


def test_a_topic_log_prepares_records_before_they_can_be_read(settings: KafkaSettings, producer: KafkaProducer) -> None:
    prepared: list[Received] = []
    log = TopicLog(settings.topics.detectors, prepare=prepared.extend)
    with LogReader(settings, log) as reader:
        produce(producer, settings.topics.detectors, numbered(0, 10))
        records = reader.read(log, 0, 10, DEADLINE_S)
        assert prepared[:10] == records
        assert len(records) == 10


def test_a_log_that_rests_is_read_as_soon_as_it_is_asked_for_more(
    settings: KafkaSettings, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "REST_S", 3600.0)
    log = TopicLog(settings.topics.detectors)
    with LogReader(settings, log, rests=True) as reader:
        for end in (5, 10):
            wait_until(lambda: reader.follower._answers._pausing, DEADLINE_S, "the rest")
            produce(producer, settings.topics.detectors, numbered(end - 5, end))
            assert [record.value for record in reader.read(log, 0, end, DEADLINE_S)] == numbered(0, end)


def test_a_source_resumes_at_the_next_offset(settings: KafkaSettings, producer: KafkaProducer) -> None:
    topic = settings.topics.metrics
    produce(producer, topic, numbered(0, 300), partition=2)
    source = KafkaSource(settings, topic, list)
    part = source.build_part("in", "2", None)
    first = drain(part, 1)
    position = part.snapshot()
    part.close()
    assert 1 <= len(first) < 300, "a batch is bounded"

    resumed = KafkaSource(settings, topic, list).build_part("in", "2", position)
    rest = drain(resumed, 300 - len(first))
    assert [record.value for record in first + rest] == numbered(0, 300)
    assert resumed.snapshot()[-1] == 300
    assert resumed.next_batch() == []
    produce(producer, topic, [b"later"], partition=2)
    assert [record.offset for record in drain(resumed, 1)] == [300]
    resumed.close()


def test_a_source_reads_only_the_partitions_built_here(settings: KafkaSettings, producer: KafkaProducer) -> None:
    topic = settings.topics.metrics
    for partition in range(4):
        produce(producer, topic, numbered(0, 3), partition)
    source = KafkaSource(settings, topic, list)
    parts = [source.build_part("in", name, None) for name in ("1", "3")]
    for part in parts:
        assert len(drain(part, 3)) == 3
    assert source.stats().received_records_total == 6
    assert source.stats().lag_records == 0
    source.stop()


def test_a_full_queue_holds_the_reader_back_and_loses_nothing(settings: KafkaSettings, producer: KafkaProducer) -> None:
    topic = settings.topics.metrics
    values = [b"%05d" % number + bytes(20_000) for number in range(300)]
    source = KafkaSource(settings, topic, list, bound_bytes=100_000)
    part, other = source.build_part("in", "0", None), source.build_part("in", "1", None)
    assert part.next_batch() == []
    for start in range(0, 300, 50):
        produce(producer, topic, values[start : start + 50])
    produce(producer, topic, [b"other"], partition=1)
    until(lambda: source.stats().full_waits_total > 0, "the bound to be reached")
    assert source.stats().queued_bytes >= 100_000
    assert [record.value for record in drain(part, 300)] == values
    assert [record.value for record in drain(other, 1)] == [b"other"]
    assert source.stats().queued_bytes == 0
    source.stop()


@pytest.mark.parametrize("beyond", [1, 1_000_000])
def test_an_offset_beyond_the_end_is_gone(settings: KafkaSettings, producer: KafkaProducer, beyond: int) -> None:
    topic = settings.topics.metrics
    produce(producer, topic, numbered(0, 10), partition=1)
    position = (1, topic_identity(settings, settings.topics.metrics), 10 + beyond)
    part = KafkaSource(settings, topic, list).build_part("in", "1", position)
    with pytest.raises(OffsetGone, match=rf"{topic} partition 1: must continue at offset {10 + beyond}, .* up to 10"):
        drain(part, 1)
    part.close()


def test_the_end_itself_is_no_gone_offset(settings: KafkaSettings, producer: KafkaProducer) -> None:
    topic = settings.topics.metrics
    produce(producer, topic, numbered(0, 10))
    part = KafkaSource(settings, topic, list).build_part(
        "in", "0", (1, topic_identity(settings, settings.topics.metrics), 10)
    )
    assert part.next_batch() == []
    produce(producer, topic, [b"ten"])
    assert [record.value for record in drain(part, 1)] == [b"ten"]
    part.close()


def test_deleted_records_are_a_gone_offset(apache: ApacheKafka) -> None:
    settings = unique_settings(apache.bootstrap)
    create_topics(settings)
    topic, partition = settings.topics.metrics, TopicPartition(settings.topics.metrics, 0)
    producer = make_producer(settings, "tests")
    produce(producer, topic, numbered(0, 10))
    position = (1, topic_identity(settings, settings.topics.metrics), 3)
    admin = make_admin(settings, "tests")
    admin.delete_records({partition: 5})
    with pytest.raises(OffsetGone, match="offset 3, but the broker holds records from 5"):
        KafkaSource(settings, topic, list).build_part("in", "0", position)

    part = KafkaSource(settings, topic, list).build_part("in", "0", None)
    assert [record.offset for record in drain(part, 5)] == [5, 6, 7, 8, 9]
    part.close()
    producer.close()
    admin.close()


def test_another_topic_of_the_same_name_is_foreign(settings: KafkaSettings) -> None:
    topic = settings.topics.metrics
    old = KafkaSource(settings, topic, list).build_part("in", "0", None).snapshot()
    admin = make_admin(settings, "tests")
    admin.delete_topics([topic])
    until(lambda: topic not in admin.list_topics(), "the deletion")
    admin.close()
    create_topics(settings)
    with pytest.raises(ForeignOffsets, match="set the store aside"):
        KafkaSource(settings, topic, list).build_part("in", "0", old)


def test_a_snapshot_of_an_unknown_version_is_refused(settings: KafkaSettings) -> None:
    with pytest.raises(ForeignOffsets, match="version 2, not 1"):
        KafkaSource(settings, settings.topics.metrics, list).build_part(
            "in", "0", (2, topic_identity(settings, settings.topics.metrics), 0)
        )


def test_a_sink_has_written_when_its_snapshot_returns(settings: KafkaSettings) -> None:
    sink = KafkaSinkPart(settings, max_outstanding=10)
    sink.write_batch([OutRecord(settings.topics.anomalies, b"k", b"%d" % n, [("h", b"1")]) for n in range(200)])
    sink.snapshot()
    written = read_all(settings, settings.topics.anomalies)
    assert [record.value for record in written] == numbered(0, 200)
    assert {(record.key, tuple(record.headers)) for record in written} == {(b"k", (("h", b"1"),))}
    sink.close()
