"""The process of the embedded broker, as make run starts it: what it brings back, what it keeps, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from api.child import ANNOUNCE, parse_event
from api.default_detectors import DEFAULTS, write_defaults
from api.journal import FILE_NAME, Journal, publish
from connectors.detector import DetectorRevision
from connectors.settings import KafkaSettings
from connectors.topic_log import LogReader, TopicLog
from connectors.topics import create_topics
from tests.apis import api_settings, running_api
from tests.brokers import free_port
from tests.processes import environment, get, gone, wait_until

pytestmark = pytest.mark.integration


@contextmanager
def broker_process(home: Path, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], KafkaSettings]]:
    """The process, once it said that it is ready."""
    port = int(more.get("TOCSIN_BROKER_PORT", free_port()))
    probe_port = int(more.get("TOCSIN_BROKER_PROBE_PORT", free_port()))
    log = home / "broker-process.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.broker"],
            stderr=output,
            env=environment(
                home, **{"TOCSIN_BROKER_PORT": str(port), "TOCSIN_BROKER_PROBE_PORT": str(probe_port), **more}
            ),
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{probe_port}/ready"), 30, "the broker is ready")
        yield process, KafkaSettings(kafka=f"127.0.0.1:{port}", delivery_timeout_s=15)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def disk_refusing(pid: int, size_bytes: int) -> Iterator[None]:
    """The files of a process may not grow beyond a size, as on a full disk; nothing else of it is touched."""
    process = psutil.Process(pid)
    soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, (soft, hard))


def answers(url: str) -> bool:
    try:
        return get(url).is_success
    except httpx.TransportError:
        return False


def revisions_in(kafka: KafkaSettings) -> list[DetectorRevision]:
    log = TopicLog(kafka.topics.detectors)
    with LogReader(kafka, log) as known:
        known.wait_caught_up(15)
        return [DetectorRevision.decode(record.value or b"") for record in known.read(log, 0, known.position(log), 15)]


def test_the_detectors_outlive_the_broker_and_the_deleted_stay_deleted(tmp_path: Path) -> None:
    deletion = DetectorRevision(detector_id="default-cpu", base_revision=1, config=None, author="me", time_ms=7)
    journal = Journal(tmp_path / FILE_NAME)
    with broker_process(tmp_path) as (process, kafka):
        first = revisions_in(kafka)
        assert [revision.detector_id for revision in first] == list(DEFAULTS)
        publish(kafka, [deletion])
        wait_until(lambda: len(journal.load()) == 6, 15, "the deletion is in the journal")
    assert process.returncode == 0
    with broker_process(tmp_path) as (_, kafka):
        assert revisions_in(kafka) == [*first, deletion]
        assert len(journal.load()) == 6


def test_a_journal_of_which_nothing_can_be_read_is_said_and_kept(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"broken')
    with broker_process(tmp_path) as (_, kafka):
        assert [revision.detector_id for revision in revisions_in(kafka)] == list(DEFAULTS)
    assert (tmp_path / f"{FILE_NAME}.damaged-1").read_bytes() == b'{"broken'
    said = [
        event["message"]
        for line in logged(tmp_path).splitlines()
        if (event := parse_event(line.encode())).get(ANNOUNCE)
    ]
    assert "line 1 cannot be read" in said[0]
    assert "back to the default detectors" in said[1]


def test_a_full_disk_refuses_changes_of_detectors_and_ends_nothing(tmp_path: Path) -> None:
    config = {"name": "Up", "kind": "mad", "selector": "up", "params": {"window": 60}}
    deletion = DetectorRevision(detector_id="default-cpu", base_revision=1, config=None, author="me", time_ms=7)
    journal = Journal(tmp_path / FILE_NAME)
    probe_port = free_port()
    health_url = f"http://127.0.0.1:{probe_port}/health"
    with broker_process(tmp_path, TOCSIN_BROKER_PROBE_PORT=str(probe_port)) as (process, kafka):
        with running_api(api_settings(kafka, api_broker_health=health_url)) as api:
            with disk_refusing(process.pid, journal.path.stat().st_size):
                refused = api.http.post("/api/detectors", json=config)
                publish(kafka, [deletion])  # of a writer that does not ask
                said = f"cannot write to {journal.path}: File too large: detectors cannot be kept"
                wait_until(lambda: said in get(health_url).text, 15, "the revision could not be kept")
                assert get(health_url).json()["status"] == "degraded"
                assert get(health_url.replace("health", "ready")).is_success
                assert api.http.get("/health").json()["components"]["journal"]["status"] == "degraded"
            wait_until(lambda: len(journal.load()) == 6, 15, "kept as soon as there is room")
            created = api.http.post("/api/detectors", json=config)
        assert (refused.status_code, refused.json()["retryable"]) == (503, True)
        assert str(tmp_path) in refused.json()["detail"]
        assert created.status_code == 201
        wait_until(lambda: len(journal.load()) == 7, 15, "later changes are kept as ever")
        assert len(revisions_in(kafka)) == 7
        assert process.poll() is None
    announced = [event for line in logged(tmp_path).splitlines() if ANNOUNCE in (event := parse_event(line.encode()))]
    assert [event["level"] for event in announced] == ["ERROR", "WARNING"]


class Survivor(threading.Thread):
    """A stranger that outlived the broker before: asks for a topic by name, as Java consumers do, until stopped."""

    def __init__(self, port: int, topic: str) -> None:
        super().__init__(name="survivor")
        metadata = struct.pack(">hhih", 3, 4, 1, -1) + struct.pack(">ih", 1, len(topic)) + topic.encode() + b"\1"
        self._request = struct.pack(">i", len(metadata)) + metadata
        self._address = ("127.0.0.1", port)
        self._stopping = threading.Event()
        self.answers = 0

    def run(self) -> None:
        while not self._stopping.wait(0.005):
            with suppress(OSError), socket.create_connection(self._address, 5.0) as client:
                client.sendall(self._request)
                self.answers += bool(client.recv(4))

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def test_topics_that_clients_of_a_dead_broker_ask_for_do_not_hinder_its_successor(tmp_path: Path) -> None:
    """The embedded broker makes a topic of four partitions for who asks for one by name and does not object."""
    port = free_port()
    survivors = [Survivor(port, name) for name in ("tocsin.detectors", "tocsin.metrics")]
    for survivor in survivors:
        survivor.start()
    try:
        with broker_process(tmp_path, TOCSIN_BROKER_PORT=str(port)) as (_, kafka):
            assert all(survivor.answers for survivor in survivors)
            assert len(revisions_in(kafka)) == len(DEFAULTS)
            assert all(line.startswith("found ") for line in create_topics(kafka))
    finally:
        for survivor in survivors:
            survivor.stop()
    assert "made by clients that asked for them, so made anew: tocsin.detectors" in logged(tmp_path)


def logged(home: Path) -> str:
    return (home / "broker-process.log").read_text()


def test_it_ends_when_the_broker_dies(tmp_path: Path) -> None:
    with broker_process(tmp_path) as (process, _):
        [tansu] = psutil.Process(process.pid).children()
        os.kill(tansu.pid, signal.SIGKILL)
        assert process.wait(15) == 1
    assert gone(tansu.pid)
    assert "the broker ended with code -9" in logged(tmp_path)


def test_the_bound_is_announced_and_stands_in_the_status_file(tmp_path: Path) -> None:
    log = tmp_path / "broker-process.log"
    with broker_process(tmp_path, TOCSIN_BROKER_BOUND_BYTES=str(1 << 20)):
        wait_until(lambda: b'"announce": true' in log.read_bytes(), 15, "the bound is announced")
        status = json.loads((tmp_path / "broker" / "broker-status.json").read_text())
    assert status["full"] is True
    assert "TOCSIN_KAFKA" in status["message"]


def test_defaults_are_written_once_to_a_kafka_that_keeps(kafka_settings: KafkaSettings) -> None:
    now_ms = time.time_ns() // 1_000_000
    assert write_defaults(kafka_settings, now_ms) == 5
    assert write_defaults(kafka_settings, now_ms) == 0
    assert [revision.detector_id for revision in revisions_in(kafka_settings)] == list(DEFAULTS)
