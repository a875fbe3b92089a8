"""kill -9 of the logs flow at seeded instants: what it writes in the end is what one that was never killed writes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import httpx
import pytest

from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import DEFAULT_TENANT, OutRecord
from connectors.settings import KafkaSettings
from connectors.status import LOGS, LogsStatus, place_of
from tests.brokers import ROOT, free_port, read_all
from tests.logs import LIMITS, Mine, Told, control, lines, samples
from tests.processes import get, wait_until
from tests.series import START_MS
from tests.streams import TOPICS, Record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

STEPS, KILLS = 400, 8
SECONDS = LIMITS.step_ms // 1000
SERVICES = ("shop", "mail", "ledger")
READY_S = 60.0


def stream(partitions: int) -> Iterator[list[Record]]:
    """Step by step what the partitions hold: services on several of them, new patterns now and then, late lines."""
    rng = random.Random(5)
    for step in range(STEPS):
        at_ms = START_MS + LIMITS.step_ms * step
        records = []
        for partition in range(partitions):
            app = SERVICES[(partition + step) % len(SERVICES)]
            said = [
                (at_ms + 10 * n, f"INFO request {n} served in {rng.randrange(99)} ms") for n in range(rng.randrange(9))
            ]
            if step % 23 == partition:
                said.append((at_ms, f"ERROR {app} lost its peer {'abcdefghij'[step // 23 % 10]}: giving up"))
            if step % 31 == 7:
                said.append((at_ms - 60_000, f"WARN buffer of {step} lines was late"))
            records.append(lines({"app": app, "pod": f"p{partition}"}, *said, partition=partition))
            records += [control(at_ms + 1000 * second, partition) for second in range(1, SECONDS + 1)]
        yield records


def whole_records(partitions: int) -> Iterator[OutRecord]:
    """What one writes that is never killed."""
    mine = Mine(partitions)
    for records in stream(partitions):
        yield from (one for one in mine.take(records) if one.topic == TOPICS.metrics)


def whole(partitions: int) -> Told:
    """What it says."""
    return samples(whole_records(partitions))


class Feed:
    """Writes the stream, some steps at a time, as fast as Kafka takes it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topic = settings.topics.logs
        self._steps = stream(settings.partitions)
        self._producer = make_producer(settings, "test")

    def write(self, steps: int) -> None:
        records = [record for step in islice(self._steps, steps) for record in step]
        out = [OutRecord(self._topic, one.key, one.value, one.headers, one.partition) for one in records]
        confirm([send(self._producer, record) for record in out], 30)

    def close(self) -> None:
        self._producer.close()


class Lives:
    """A flow that is started again each time that it was killed."""

    def __init__(self, settings: KafkaSettings, home: Path) -> None:
        self.port = free_port()
        given = {f"TOCSIN_{key.upper()}": str(value) for key, value in settings.model_dump().items()}
        more = {"TOCSIN_HOME": str(home), "TOCSIN_LOGS_PORT": str(self.port), "TOCSIN_FLOW_SNAPSHOT_INTERVAL_S": "1"}
        self._environment = {**os.environ, **given, **more}
        self._log = home / "logs.log"

    @contextmanager
    def one(self) -> Iterator[subprocess.Popen[bytes]]:
        """One life, ended by SIGKILL."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "flows.run", "logs"]
            process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        try:
            wait_until(self._ready, READY_S, f"it is ready, see {self._log}")
            yield process
            assert process.poll() is None, self._log.read_text()[-2000:]
        finally:
            process.kill()
            process.wait(10)

    def _ready(self) -> bool:
        try:
            return get(f"http://127.0.0.1:{self.port}/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def test_killed_again_and_again_it_tells_each_number_once(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    """Each life meets some steps that were never read, and dies once it has written of a few of them."""
    lives, rng, feed = Lives(kafka_settings, tmp_path), random.Random(11), Feed(kafka_settings)
    expected = whole(kafka_settings.partitions)
    last_ms = max(time_ms for series in expected.values() for time_ms, _ in series)
    for _ in range(KILLS):
        with lives.one():
            enough = len(told(kafka_settings)) + rng.randrange(1, 8)
            feed.write(STEPS // KILLS)
            wait_until(partial(wrote, kafka_settings, enough), 60, "it writes")
    with lives.one():
        wait_until(lambda: latest(kafka_settings) >= last_ms, 60, "the last step")
    feed.close()
    found = samples(told(kafka_settings))
    assert {labels: sorted(series) for labels, series in found.items()} == expected
    assert len(told(kafka_settings)) > sum(1 for _ in whole_records(kafka_settings.partitions)), "no kill told"
    signs = [LogsStatus.decode(one.value or b"") for one in read_all(kafka_settings, kafka_settings.topics.status)
             if (place := place_of(one.key)) is not None and place[0] == LOGS]  # fmt: skip
    assert {sign.partition for sign in signs} == set(range(kafka_settings.partitions))


def wrote(settings: KafkaSettings, enough: int) -> bool:
    """Whether so many records were written."""
    return len(told(settings)) >= enough


def told(settings: KafkaSettings) -> list[OutRecord]:
    """What was written to the topic of metrics so far."""
    return [OutRecord("tocsin.metrics", one.key, one.value, one.headers, one.partition)
            for one in read_all(settings, settings.topics.metrics) if one.key == DEFAULT_TENANT.encode()]  # fmt: skip


def latest(settings: KafkaSettings) -> int:
    """Time of the latest sample."""
    return max((time_ms for series in samples(told(settings)).values() for time_ms, _ in series), default=0)
