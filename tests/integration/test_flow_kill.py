"""kill -9 of the flow at 20 seeded instants: the last event of every episode is that of a run that was never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from connectors.anomaly import Anomaly, EventType
from connectors.codec.encode import encode_write_request
from connectors.detector import DetectorConfig, DetectorRevision, Group
from connectors.follower import Follower
from connectors.kafka_clients import confirm, make_producer
from connectors.messages import CONTROL_HEADER, ControlRecord
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ROOT
from tests.conftest import unique_settings
from tests.integration.crashing_flow import POINTS
from tests.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PARTITIONS = 2
SERIES = 40
STEPS = 700
START_MS = 1_767_225_600_000
KILLED_STEPS = 500
"""All kills come within these; the rest is slack."""
REVISE_EVERY, STOP_EVERY = 8, 3
"""So many steps lie between revisions of one detector, which is stopped by each third of them, so that every life of
the flow soon meets both a revision and a close."""
STEP_PAUSE_S = 0.02
PATIENCE_S = 0.5
KILLS = 20
DELAYED, REPEATED = 0.01, 0.05
"""Shares of the samples that are held back for 2 to 5 steps, and that come twice."""
MIN_EPISODES = 100


def revisions() -> list[tuple[int, DetectorRevision]]:
    """Step from which each revision is announced: created, changed, renamed, stopped, started, deleted."""
    spike = DetectorConfig(name="spike", kind="mad", selector="shop", params={"window": 20}, quiet_s=5)
    rate = DetectorConfig(name="rate", kind="ewma", selector='shop{n=~"1.*"}', shape="rate", quiet_s=3, threshold=6)
    total = DetectorConfig(
        name="total", kind="mad", selector="shop", shape="rate", params={"window": 20}, quiet_s=6, threshold=6,
        group=Group(by=(), step_s=2, range_s=4, grace_s=1),
    )  # fmt: skip
    worst = DetectorConfig(
        name="worst", kind="mad", selector='shop{n=~"[23]."}', shape="raw", params={"window": 20},
        quiet_s=20, threshold=2, group=Group(without=("n",), aggregate="max", step_s=1, grace_s=1),
    )  # fmt: skip
    entity = DetectorConfig(
        name="entity", kind="mad", selector='shop{n=~"[23]."}', shape="raw", params={"window": 20},
        quiet_s=6, threshold=0.5, group=Group(aggregate="members", step_s=1, grace_s=1),
    )  # fmt: skip
    other = DetectorConfig(name="late", kind="zscore", selector="shop", params={"window": 30}, quiet_s=4)
    plan = [
        (0, "spike", 0, spike),
        (60, "rate", 0, rate),
        (10, "total", 0, total),
        (10, "worst", 0, worst),
        (10, "entity", 0, entity),
        (300, "total", 1, total.model_copy(update={"name": "all"})),
        (420, "worst", 1, worst.model_copy(update={"threshold": 2.5})),
        (180, "spike", 1, spike.model_copy(update={"threshold": 12.0})),
        (260, "spike", 2, spike.model_copy(update={"threshold": 12.0, "name": "renamed"})),
        (340, "rate", 1, rate.model_copy(update={"enabled": False})),
        (400, "rate", 2, rate),
        (460, "rate", 1, rate),  # stale: every reader skips it
        (520, "late", 0, other),
        (600, "spike", 3, None),
    ]
    busy = DetectorConfig(name="busy", kind="mad", selector='shop{n="1"}', threshold=7)
    plan += [
        (step, "busy", base, busy.model_copy(update={"name": f"busy {base}", "enabled": base % STOP_EVERY != 0}))
        for base, step in enumerate(range(0, STEPS, REVISE_EVERY))
    ]
    plan.sort(key=lambda one: one[0])
    return [
        (step, DetectorRevision(detector_id=key, base_revision=base, config=config, author="test", time_ms=0))
        for step, key, base, config in plan
    ]


class Stream:
    """The input: counters that grow with noise, some jump or stand still for a while; seeded.

    Some series are held back for a few steps, which groups have judged then, and some samples come again later.
    """

    def __init__(self) -> None:
        random_ = np.random.default_rng(7)
        growth = random_.normal(100.0, 3.0, (STEPS, SERIES))
        for _ in range(160):
            step, series = int(random_.integers(40, STEPS - 30)), int(random_.integers(SERIES))
            length = int(random_.integers(1, 25))
            growth[step : step + length, series] += 20.0 * 1.5 ** np.arange(length)  # surprise grows: updates
        self.values = growth
        self.values[:, : SERIES // 2] = np.cumsum(growth[:, : SERIES // 2], axis=0)
        self.sent: list[list[list[int]]] = [[[] for _ in range(SERIES)] for _ in range(STEPS)]
        """Steps whose samples travel at a step, for each series."""
        for series in range(SERIES):
            self._delay(random_, series)

    def _delay(self, random_: np.random.Generator, series: int) -> None:
        begun, step = 0, 0
        while step < STEPS:
            step = min(STEPS - 1, step + (int(random_.integers(2, 6)) if random_.random() < DELAYED else 0))
            self.sent[step][series] += range(begun, step + 1)
            if random_.random() < REPEATED:
                self.sent[step][series].append(max(0, step - int(random_.integers(0, 4))))
            begun = step = step + 1

    def record(self, step: int, partition: int) -> bytes:
        numbers = range(partition, SERIES, PARTITIONS)
        return encode_write_request(
            [
                ({"__name__": "shop", "n": str(n)}, [(START_MS + at * 1000, float(self.values[at, n])) for at in sent])
                for n in numbers
                if (sent := self.sent[step][n])
            ]
        )


class Pace:
    """Spreads the stream over the lives of the flow; a life that does not meet its point gets a little more."""

    def __init__(self, lives: Path, kills: int) -> None:
        self._lives, self._kills = lives, kills
        self._pause = threading.Event()
        self._more = 0

    def wait(self, step: int) -> None:
        """Until this step may be sent."""
        since, dead = time.monotonic(), self._dead()
        while dead < self._kills and step > KILLED_STEPS * (dead + 1) / self._kills + self._more:
            if self._dead() != dead:
                since, dead, self._more = time.monotonic(), self._dead(), 0
            elif time.monotonic() - since > PATIENCE_S:
                since, self._more = time.monotonic(), self._more + 5
            self._pause.wait(STEP_PAUSE_S)
        if self._kills:
            self._pause.wait(STEP_PAUSE_S)

    def _dead(self) -> int:
        return len(self._lives.read_text().splitlines()) if self._lives.exists() else 0


def feed(settings: KafkaSettings, stream: Stream, pace: Pace) -> None:
    """Write the whole stream as ingest would."""
    plan = revisions()
    producer = make_producer(settings, "feed")
    try:
        for _, revision in plan:
            confirm([producer.send(settings.topics.detectors, value=revision.encode())], 10)
        futures = []
        for step in range(STEPS):
            pace.wait(step)
            offset = sum(at <= step for at, _ in plan)
            control = ControlRecord(time_ms=START_MS + step * 1000, detectors_offset=offset, feedback_offset=0).encode()
            for partition in range(PARTITIONS):
                topic, mark = settings.topics.metrics, [(CONTROL_HEADER, b"1")]
                futures.append(producer.send(topic, partition=partition, value=control, headers=mark))
                value = stream.record(step, partition)
                futures.append(producer.send(topic, partition=partition, key=b"anonymous", value=value))
        # the end: a poison record that will be seen in the dead letters
        ends = [producer.send(settings.topics.metrics, partition=p, value=b"end of it") for p in range(PARTITIONS)]
        producer.flush()
        confirm([*futures, *ends], 20)
    finally:
        producer.close()


@contextmanager
def flow(settings: KafkaSettings, home: Path, points: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The flow with its crash points, in a process group that ends with the block."""
    environment = {
        **os.environ,
        "TOCSIN_KAFKA": settings.kafka,
        "TOCSIN_TOPIC_PREFIX": settings.topic_prefix,
        "TOCSIN_PARTITIONS": str(settings.partitions),
        "TOCSIN_HOME": str(home),
        "TOCSIN_FLOW_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.crashing_flow", str(home / "lives"), json.dumps(points)],
        env=environment, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Results:
    """Events and dead letters as they come."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.events: list[Anomaly] = []
        self.dead: list[Received] = []
        self._followers = [
            Follower(settings, settings.topics.anomalies, self._keep),
            Follower(settings, settings.topics.dead_letter, self.dead.extend),
        ]

    def _keep(self, received: list[Received]) -> None:
        self.events.extend(Anomaly.decode(record.value or b"") for record in received)

    def last(self) -> dict[str, Anomaly]:
        return {event.id: event for event in list(self.events)}

    @property
    def ended(self) -> bool:
        return len({record.headers[1] for record in self.dead}) == PARTITIONS

    def close(self) -> None:
        for follower in self._followers:
            follower.stop()


def run(settings: KafkaSettings, home: Path, points: list[str]) -> list[Anomaly]:
    """Feed a flow that dies at every point; all its events."""
    results = Results(settings)
    try:
        with flow(settings, home, points) as process:
            feed(settings, Stream(), Pace(home / "lives", len(points)))
            wait_until(lambda: results.ended or process.poll() is not None, 120, "the end of the stream")
            assert process.poll() is None, "the flow ended by itself"
            settle(results)
        return results.events
    finally:
        results.close()


def settle(results: Results) -> None:
    """Until no more events come: dead letters and events travel on different partitions."""
    quiet_since, seen = time.monotonic(), len(results.events)

    def settled() -> bool:
        nonlocal quiet_since, seen
        if len(results.events) != seen:
            quiet_since, seen = time.monotonic(), len(results.events)
        return time.monotonic() - quiet_since > 1.0

    wait_until(settled, 30, "the last events")


def settings_for(broker: str) -> KafkaSettings:
    settings = unique_settings(broker, PARTITIONS)
    create_topics(settings)
    return settings


@pytest.fixture(scope="module")
def uninterrupted(broker: str, tmp_path_factory: pytest.TempPathFactory) -> list[Anomaly]:
    return run(settings_for(broker), tmp_path_factory.mktemp("whole"), [])


def test_the_stream_holds_late_and_doubled_samples() -> None:
    sent = [(step, at) for step, all_ in enumerate(Stream().sent) for mine in all_ for at in mine]
    assert len({at for _, at in sent}) == STEPS
    assert len(sent) > 1.02 * STEPS * SERIES, "some come twice"
    assert sum(step - at > 2 for step, at in sent) > 500, "after their steps, which wait a second"


def test_the_stream_holds_enough_to_lose(uninterrupted: list[Anomaly]) -> None:
    last = {event.id: event for event in uninterrupted}
    assert len(last) >= MIN_EPISODES
    closed_by = {event.closed_by for event in last.values()}
    assert {"quiet", "detector"} <= closed_by
    assert any(event.event is EventType.UPDATED for event in uninterrupted)
    grouped = {(event.detector.id, event.closed_by) for event in last.values() if event.signal.expression}
    assert {detector for detector, _ in grouped} == {"total", "worst", "entity"}
    assert ("worst", "detector") in grouped


def test_killed_twenty_times_the_last_event_of_every_id_is_the_same(
    broker: str, uninterrupted: list[Anomaly], tmp_path: Path
) -> None:
    points = [*POINTS, *random.Random(20).choices(list(POINTS), k=KILLS - len(POINTS))]
    random.Random(21).shuffle(points)

    events = run(settings_for(broker), tmp_path, points)

    assert (tmp_path / "lives").read_text().splitlines() == [f"{point} {signal.SIGKILL.value}" for point in points]
    assert {event.id: event for event in events} == {event.id: event for event in uninterrupted}
    assert len(events) > len(uninterrupted), "nothing was replayed: the kills came too late"
