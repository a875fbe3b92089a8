"""``python -m api.app`` as a process: its end, its death, and ``tocsin tail`` beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from api.app import create_app
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import make_anomaly
from tests.apis import DEADLINE_S, ROOT, api_process, api_settings, running_api, wait_for
from tests.brokers import Embedded, free_port, frozen
from tests.integration.test_api_feed import produce

pytestmark = pytest.mark.integration

TOPICS = ("detectors", "anomalies", "feedback", "status")

TAIL = "import sys; from api.tail import run_tail; sys.exit(run_tail(sys.argv[1], len(sys.argv) > 2, sys.stdout))"


def test_it_ends_in_order_when_asked_to(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with api_process(api_settings(kafka_settings), log) as api:
        assert api.process is not None
        for _ in range(3):
            with connect(api.socket_url) as socket:
                socket.send('{"type": "ping"}')
                assert json.loads(socket.recv())["type"] == "pong"
        mapped = {Path(one.path).name for one in psutil.Process(api.process.pid).memory_maps()}
        assert "libllvmlite.so" not in mapped, "numba is imported by what judges, not by who starts"
        api.process.send_signal(signal.SIGINT)
        assert api.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in log.read_text()
    assert "Application startup complete" in log.read_text()  # and other lines of the server's logger
    assert "/api/ws" not in log.read_text()  # a client that comes and goes is no event for an operator
    assert "connection open" not in log.read_text()


def test_it_is_told_once_that_all_topics_have_been_read(kafka_settings: KafkaSettings) -> None:
    app = create_app(api_settings(kafka_settings))
    context, loaded = app.state.context, list[bool]()

    async def main() -> None:
        told = asyncio.Event()

        def on_loaded() -> None:
            loaded.append(all(map(context.loaded, context.topics)))
            told.set()

        context.on_loaded = on_loaded
        async with app.router.lifespan_context(app), asyncio.timeout(DEADLINE_S):
            await told.wait()

    asyncio.run(main())
    assert loaded == [True]


def test_a_reader_that_ended_is_told_by_the_probes(broker: str) -> None:
    settings = api_settings(KafkaSettings(kafka=broker, topic_prefix="absent"))
    with running_api(settings, until_ready=False) as api:
        wait_for(lambda: api.http.get("/ready").text.count("does not exist") == len(TOPICS))
        health = api.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert "absent.detectors does not exist" in health.json()["components"]["detectors"]["reason"]


def test_who_watches_the_system_is_told_when_kafka_answers(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path)
    settings = KafkaSettings(kafka=broker.bootstrap)
    broker.start()
    create_topics(settings)
    with ExitStack() as stack:
        stack.callback(broker.stop)
        silence = stack.enter_context(ExitStack())
        silence.enter_context(frozen(broker))
        api = stack.enter_context(running_api(api_settings(settings), until_ready=False))
        socket = stack.enter_context(connect(api.socket_url))
        socket.send('{"type": "subscribe", "topics": ["system"]}')
        assert json.loads(socket.recv(DEADLINE_S))["topics"] == ["system"]
        silence.close()
        expected, told = {*TOPICS, "kafka"}, set[str]()
        while not told >= expected:
            event = json.loads(socket.recv(DEADLINE_S))
            assert (event["type"], event["topic"]) == ("system", "system")
            if event["data"]["status"] == "ok" and event["data"]["before"] == "down":
                told.add(event["data"]["component"])


def test_it_ends_with_1_when_a_topic_is_missing(broker: str, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    settings = api_settings(KafkaSettings(kafka=broker, topic_prefix="absent"))
    with log.open("wb") as out:
        environment = {f"TOCSIN_{key.upper()}": str(value) for key, value in settings.model_dump().items()}
        ended = subprocess.run(
            [sys.executable, "-m", "api.app"], cwd=ROOT, env=environment, stderr=out, timeout=60, check=False
        )
    assert ended.returncode == 1
    assert "absent.detectors" in log.read_text()


def test_tail_prints_anomalies_and_survives_a_restart_of_the_api(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    settings = api_settings(kafka_settings)
    out, notes = tmp_path / "out", tmp_path / "notes"
    with out.open("wb") as stdout, notes.open("wb") as stderr:
        tail = subprocess.Popen(
            [sys.executable, "-c", TAIL, f"http://127.0.0.1:{settings.api_port}", "json"],
            cwd=ROOT,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        for number in range(2):
            with api_process(settings, tmp_path / "api.log"):
                wait_for(lambda n=number: notes.read_text().count("connected") == n + 1)
                produce(kafka_settings, [make_anomaly(2 * number)])
                wait_for(lambda n=number: out.read_text().count("\n") == 2 * n + 1)
            produce(kafka_settings, [make_anomaly(2 * number + 1)])  # while no api runs
        tail.send_signal(signal.SIGINT)
        assert tail.wait(DEADLINE_S) == 0
    finally:
        tail.kill()
        tail.wait()
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        json.loads(make_anomaly(number).encode()) for number in range(3)
    ]
    assert "again in" in notes.read_text()
