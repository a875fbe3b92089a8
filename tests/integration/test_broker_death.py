"""What happens when a broker dies: Apache Kafka comes back with its records, the embedded broker without."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition

from connectors.bytewax_io import KafkaSinkPart, KafkaSource
from connectors.errors import ForeignOffsets, Unavailable
from connectors.follower import Follower
from connectors.kafka_clients import confirm, make_admin, make_producer
from connectors.messages import OutRecord
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topics import create_topics, topic_identity
from tests.brokers import ROOT, ApacheKafka, Embedded, free_port, read_all
from tests.conftest import unique_settings
from tests.integration.copying import HOLD
from tests.integration.test_broker import DEADLINE_S, drain, numbered, produce, until
from tests.processes import wait_until

pytestmark = pytest.mark.integration

PARTITIONS = 4
OUTAGE_S = 60.0
"""What clients are told to outlast: more than Kafka takes to stop and to start on a busy machine."""
RECOVERY_S = 90.0
"""A broker that was killed leads no partition before its former session has ended; that may take long."""


class Flow:
    """The copying flow as a process, with its recovery store; started as often as a test wants."""

    def __init__(self, settings: KafkaSettings, folder: Path) -> None:
        self.log = folder / "flow.log"
        self._store = folder / "recovery"
        self._store.mkdir()
        self._environment = {
            **os.environ,
            "TOCSIN_KAFKA": settings.kafka,
            "TOCSIN_TOPIC_PREFIX": settings.topic_prefix,
            "TOCSIN_DELIVERY_TIMEOUT_S": str(settings.delivery_timeout_s),
        }
        self._call("bytewax.recovery", str(self._store), "1")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = ["tests.integration.copying:build()", "-r", str(self._store), "-s", "1", "-b", "0"]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bytewax.run", *command],
                cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> int:
        """Exit code of a flow that is to end by itself."""
        assert self._process is not None
        return self._process.wait(DEADLINE_S)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def epoch(self) -> int:
        """The epoch from which it would resume, 0 while the recovery store has none."""
        with closing(sqlite3.connect(self._store / "part-0.sqlite3")) as store:
            (frontier,) = store.execute("SELECT max(worker_frontier) FROM fronts").fetchone()
        return int(frontier or 0)

    def _call(self, module: str, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=self._environment, check=True)


@pytest.fixture
def settings(apache: ApacheKafka) -> Iterator[KafkaSettings]:
    """Own topics on Apache Kafka, which runs again after a test that failed."""
    settings = unique_settings(apache.bootstrap, PARTITIONS).model_copy(update={"delivery_timeout_s": OUTAGE_S})
    create_topics(settings)
    yield settings
    if not apache.alive():
        apache.start()


@pytest.fixture(autouse=True)
def _collect_refused_sockets() -> Iterator[None]:
    """kafka-python's unclosed sockets (tests/conftest.py) go while their warning is still filtered."""
    yield
    gc.collect()


@pytest.fixture
def own_embedded(tmp_path: Path) -> Iterator[Embedded]:
    """An embedded broker that the test may kill."""
    broker = Embedded(free_port(), tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@contextmanager
def copying(settings: KafkaSettings, folder: Path) -> Iterator[Flow]:
    flow = Flow(settings, folder)
    flow.start()
    try:
        yield flow
    finally:
        flow.stop()


class Stream(threading.Thread):
    """Produces numbered records, one in 4 ms and partition in turn, until stopped; confirms each."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(name="stream")
        self._producer: KafkaProducer = make_producer(settings, "tests")
        self._topic = settings.topics.metrics
        self._stopping = threading.Event()
        self.sent = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        futures = []
        try:
            while not self._stopping.wait(0.004):
                value = b"%d" % self.sent
                futures.append(self._producer.send(self._topic, value=value, partition=self.sent % PARTITIONS))
                self.sent += 1
            confirm(futures, DEADLINE_S)
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            self.error = error
        self._producer.close(timeout=DEADLINE_S)

    def stop(self) -> int:
        """Stop, raise what went wrong, tell how many records were sent."""
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise self.error
        return self.sent


def values(records: list[Received]) -> list[int]:
    return [int(record.value or b"-1") for record in records]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("end", [ApacheKafka.stop, ApacheKafka.kill])
def test_a_restart_in_mid_stream_loses_and_doubles_nothing(
    apache: ApacheKafka, settings: KafkaSettings, tmp_path: Path, end: object
) -> None:
    followed: list[Received] = []
    stream = Stream(settings)
    with (
        Follower(settings, settings.topics.anomalies, followed.extend) as follower,
        copying(settings, tmp_path) as flow,
    ):
        stream.start()
        until(lambda: len(followed) > 200, "the first records through the flow")
        end(apache)  # type: ignore[operator]
        before = stream.sent
        until(lambda: stream.sent > before + 50, "records sent while the broker is down")
        apache.start()
        wait_until(lambda: len(followed) > before + 200, RECOVERY_S, "records through the flow after the restart")
        sent = stream.stop()
        until(lambda: len(followed) >= sent, "the rest")
        follower.check()
        assert flow.alive(), flow.log.read_text()
    assert sorted(values(followed)) == list(range(sent))
    assert sorted(values(read_all(settings, settings.topics.metrics))) == list(range(sent))
    for partition in range(PARTITIONS):
        in_order = values([record for record in followed if record.partition == partition])
        assert in_order == sorted(in_order)


def test_a_flow_that_cannot_deliver_ends_and_loses_nothing(
    apache: ApacheKafka, settings: KafkaSettings, tmp_path: Path
) -> None:
    impatient = settings.model_copy(update={"delivery_timeout_s": 2.0})
    producer = make_producer(settings, "tests")
    gate = tmp_path / "gate"
    hold = HOLD + bytes(gate)
    with copying(impatient, tmp_path) as flow:
        produce(producer, settings.topics.metrics, numbered(0, 100))
        until(lambda: len(read_all(settings, settings.topics.anomalies)) >= 100, "the first records")
        futures = [producer.send(settings.topics.metrics, value=value) for value in [hold, *numbered(100, 3_000)]]
        confirm(futures, DEADLINE_S)
        until(Path(f"{gate}.held").exists, "the flow, in mid-stream")
        apache.kill()
        gate.touch()
        assert flow.wait() != 0, "a flow that cannot write must end"
        assert "the sink ends this process: KafkaUnavailable: Kafka did not confirm a record" in flow.log.read_text()
        apache.start()
        flow.start()
        until(lambda: len({record.value for record in read_all(settings, settings.topics.anomalies)}) == 3_001, "all")
    producer.close()


def test_a_flow_resumed_on_deleted_records_ends_by_name(
    apache: ApacheKafka, settings: KafkaSettings, tmp_path: Path
) -> None:
    topic, producer = settings.topics.metrics, make_producer(settings, "tests")
    with copying(settings, tmp_path) as flow:
        produce(producer, topic, numbered(0, 10))
        until(lambda: flow.epoch() >= 3, "a snapshot after the records")
        flow.stop()
        produce(producer, topic, numbered(10, 20))
        admin = make_admin(settings, "tests")
        admin.delete_records({TopicPartition(topic, 0): 15})
        admin.close()
        flow.start()
        assert flow.wait() != 0
        assert "connectors.errors.OffsetGone" in flow.log.read_text()
        assert f"{topic} partition 0: must continue at offset" in flow.log.read_text()
    producer.close()


def test_poison_passes_source_and_sink(settings: KafkaSettings, tmp_path: Path) -> None:
    producer = make_producer(settings, "tests")
    topic = settings.topics.metrics
    poison: list[tuple[bytes | None, bytes | None]] = [(b"k", None), (None, b""), (b"", b"\xff" * 10), (None, b"good")]
    confirm([producer.send(topic, key=key, value=value, partition=0) for key, value in poison], DEADLINE_S)
    producer.close()
    with copying(settings, tmp_path) as flow:
        until(lambda: len(read_all(settings, settings.topics.anomalies)) >= len(poison), "all records")
        assert flow.alive(), flow.log.read_text()
    assert [record[4:6] for record in read_all(settings, settings.topics.anomalies)] == poison


def test_a_sink_without_broker_is_unavailable(own_embedded: Embedded) -> None:
    settings = unique_settings(own_embedded.bootstrap).model_copy(update={"delivery_timeout_s": 1.0})
    create_topics(settings)
    sink = KafkaSinkPart(settings)
    sink.write_batch([OutRecord(settings.topics.anomalies, b"k", b"1", [])])
    sink.snapshot()
    own_embedded.kill()
    sink.write_batch([OutRecord(settings.topics.anomalies, b"k", b"2", [])])
    with pytest.raises(Unavailable, match="did not confirm"):
        sink.snapshot()
    own_embedded.start()
    create_topics(settings)
    sink._producer.close(timeout=DEADLINE_S)


def test_the_embedded_broker_forgets_and_everybody_notices(own_embedded: Embedded) -> None:
    settings = unique_settings(own_embedded.bootstrap)
    create_topics(settings)
    topic = settings.topics.metrics
    producer = make_producer(settings, "tests")
    for partition in range(PARTITIONS):
        produce(producer, topic, numbered(0, 10), partition)
    producer.close()
    source = KafkaSource(settings, topic, list)
    part = source.build_part("in", "0", None)
    drain(part, 10)
    identity = topic_identity(settings, settings.topics.metrics)

    with Follower(settings, topic, lambda _: None) as follower:
        follower.wait_caught_up(DEADLINE_S)
        own_embedded.kill()
        own_embedded.start()
        create_topics(settings)
        assert topic_identity(settings, settings.topics.metrics) != identity
        with pytest.raises(ForeignOffsets, match="read up to offset 10, but the broker now ends at 0"):
            follower.wait(lambda: False, DEADLINE_S)
    with pytest.raises(ForeignOffsets, match="set the store aside"):
        KafkaSource(settings, topic, list).build_part("in", "0", part.snapshot())
    source.stop()
