"""The process of the embedded broker, as make run starts it: what it brings back, what it keeps, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from api.default_detectors import DEFAULTS, write_defaults
from api.journal import FILE_NAME, Journal, publish
from connectors.follower import TopicLog
from connectors.messages import DetectorRevision
from connectors.settings import KafkaSettings
from tests.brokers import free_port
from tests.processes import environment, gone, wait_until

pytestmark = pytest.mark.integration


@contextmanager
def broker_process(home: Path, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], KafkaSettings]]:
    """The process, once it said that it is ready."""
    port, probe_port = free_port(), free_port()
    log = home / "broker-process.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.broker"],
            stderr=output,
            env=environment(home, TOCSIN_BROKER_PORT=str(port), TOCSIN_BROKER_PROBE_PORT=str(probe_port), **more),
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{probe_port}/ready"), 30, "the broker is ready")
        yield process, KafkaSettings(kafka=f"127.0.0.1:{port}", delivery_timeout_s=15)
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def revisions_in(kafka: KafkaSettings) -> list[DetectorRevision]:
    with TopicLog(kafka, kafka.topics.detectors) as known:
        known.wait_caught_up(15)
        return [DetectorRevision.decode(record.value or b"") for record in known.read(0, known.position, 15)]


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


def test_it_ends_when_the_broker_dies(tmp_path: Path) -> None:
    with broker_process(tmp_path) as (process, _):
        [tansu] = psutil.Process(process.pid).children()
        os.kill(tansu.pid, signal.SIGKILL)
        assert process.wait(15) == 1
    assert gone(tansu.pid)
    assert "the broker ended with code -9" in (tmp_path / "broker-process.log").read_text()


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
