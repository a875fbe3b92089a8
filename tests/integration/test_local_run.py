"""make run as a user meets it: everything real, on free ports, in a folder of its own."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.default_detectors import DEFAULTS
from api.push import Outbox
from tests.brokers import free_port, loopbacks
from tests.local_runs import MARK, Run
from tests.processes import get, gone, marked_with, stopped, wait_until
from tests.test_docs import blocks, split_lines

pytestmark = pytest.mark.integration


def detectors(run: Run) -> dict[str, dict[str, Any]]:
    answer = get(run.url("API", "/api/detectors"))
    return {detector["id"]: detector for detector in answer.json()["detectors"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "home"


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[Run]:
    """A run with everything; the tests of this module use it in their order, the last one stops it."""
    run = Run(home, TOCSIN_LOGS_STEP_S="2", TOCSIN_LOGS_GRACE_S="1")
    try:
        run.until_printed("all is ready")
        yield run
    finally:
        run.end()


def test_one_line_for_each_process_with_its_address(run: Run) -> None:
    for name, port in (
        ("broker", "BROKER"),
        ("ingest", "INGEST"),
        ("flow", "FLOW"),
        ("logs", "LOGS"),
        ("api", "API"),
        ("demo", "DEMO"),
    ):
        lines = [line for line in run.printed.splitlines() if line.startswith(f"{name} ")]
        assert len(lines) == 1
        assert "ready  " in lines[0]
        assert f"127.0.0.1:{run.ports[port]}" in lines[0]
    for name in ("INGEST", "FLOW", "LOGS", "API", "DEMO", "BROKER_PROBE"):
        assert get(run.url(name, "/ready")).status_code == 200
        assert "tocsin_" in get(run.url(name, "/metrics")).text


def test_the_terminal_misses_nothing_from_ready_on(run: Run) -> None:
    assert 0 <= run.printed.find("tocsin tail: connected to ws://") < run.printed.index("tail    ready")


def test_five_detectors_are_there_at_first(run: Run) -> None:
    assert set(detectors(run)) == set(DEFAULTS)


def test_the_commands_of_the_readme_work(run: Run) -> None:
    """Every curl of the README, against this run's api."""
    curls = [
        words
        for block in blocks()
        if block.page.name == "README.md" and block.language == "sh"
        for words in split_lines(block.text)
        if words[0] == "curl"
    ]
    assert len(curls) >= 3
    for words in curls:
        here = [word.replace("http://127.0.0.1:8000", run.url("API", "")) for word in words]
        done = subprocess.run([*here, "-sS"], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Load" in {detector["config"]["name"] for detector in detectors(run).values()}


def test_lines_that_are_pushed_become_series_that_a_detector_watches(run: Run) -> None:
    config = {"name": "Lines", "kind": "mad", "selector": 'log_pattern_lines_total{service_name="till"}'}
    detector = httpx.post(run.url("API", "/api/detectors"), json=config, timeout=30).raise_for_status().json()["id"]
    try:
        watched = get(run.url("API", f"/api/detectors/{detector}/status"))

        def told() -> bool:
            nonlocal watched
            values = [[str(time.time_ns() + n), f"INFO receipt {n} printed in {n} ms"] for n in range(5)]
            streams = [{"stream": {"app": "till", "pod": f"till-{pod}"}, "values": values} for pod in range(3)]
            httpx.post(run.url("INGEST", "/loki/api/v1/push"), json={"streams": streams}).raise_for_status()
            watched = get(run.url("API", f"/api/detectors/{detector}/status?signals=10"))
            return bool(watched.json()["signals"])

        wait_until(told, 60, "a signal")
        [signal_] = watched.json()["signals"]
        assert signal_["labels"]["pattern"] == "INFO receipt <*> printed in <*> ms"
        [pattern] = get(run.url("LOGS", "/patterns")).json()["shown"]
        assert (pattern["level"], pattern["labels"]) == ("info", {"service_name": "till"})
        assert get(run.url("API", "/health")).json()["components"]["flow/logs"]["status"] == "ok"
    finally:
        httpx.delete(run.url("API", f"/api/detectors/{detector}"), headers={"If-Match": "*"}).raise_for_status()


def test_an_anomaly_is_seen_in_the_terminal(run: Run) -> None:
    """A minute of a calm series and a spike, pushed as the demo source pushes; the default detector sees it."""
    labels = {"__name__": "shop_latency_seconds", "job": "shop", "service": "test"}
    now_ms = time.time_ns() // 1_000_000
    with httpx.Client(trust_env=False) as client:
        outbox = Outbox(client, run.url("INGEST", "/api/v1/write"))
        for second in range(70):
            outbox.put([(labels, 0.1 + 0.001 * (second % 7))], now_ms - (70 - second) * 1000)
        outbox.put([(labels, 5.0)], now_ms)
        outbox.flush(time.monotonic())
        assert outbox.accepted == 71, outbox.last_problem
    run.until_printed('service="test"', timeout_s=30)
    line = next(line for line in run.printed.splitlines() if 'service="test"' in line)
    assert "opened" in line
    assert "Shop latency" in line


def test_a_second_run_in_the_same_folder_is_refused(run: Run, home: Path) -> None:
    second = Run(home)
    assert second.process.wait(30) == 1
    assert f"process {run.process.pid} already runs Tocsin in {home}" in second.printed
    assert second.descendants() == set()


def test_a_taken_port_is_named_before_anything_starts(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "other", TOCSIN_API_PORT=str(run.ports["API"]))
    assert other.process.wait(30) == 1
    assert re.search(rf"port {run.ports['API']} of api is taken .*TOCSIN_API_PORT", other.printed)
    assert not (tmp_path / "other" / "logs").exists()


def test_a_frozen_broker_is_told_by_every_process_until_it_goes_on(run: Run) -> None:
    names = ("INGEST", "FLOW", "API", "DEMO", "BROKER_PROBE")
    died = run.printed.count("died")
    [tansu] = [p.pid for p in marked_with(MARK, run.mark) if p.name() == "tansu"]
    with stopped(tansu):
        wait_until(lambda: all(get(run.url(name, "/ready")).status_code == 503 for name in names), 20, "silence")
        for name in names:
            health = get(run.url(name, "/health"))
            assert (health.status_code, health.json()["status"]) == (503, "down")
            if name != "DEMO":  # which knows only ingest
                assert "TOCSIN_KAFKA" in get(run.url(name, "/ready")).json()["reason"]
        assert get(run.url("INGEST", "/health")).json()["components"]["control"]["status"] == "down"
    wait_until(lambda: all(get(run.url(name, "/ready")).is_success for name in names), 30, "all is well again")
    assert run.printed.count("died") == died, run.printed


def test_a_killed_process_is_named_and_started_again(run: Run) -> None:
    os.kill(run.pid_of("connectors.ingest"), signal.SIGKILL)
    run.until_printed("ingest died with signal SIGKILL; the end of ")
    run.until_printed("ingest  ready again")
    assert get(run.url("INGEST", "/ready")).status_code == 200


def test_when_the_broker_dies_the_rest_starts_afresh_and_the_detectors_stay(run: Run) -> None:
    before = detectors(run)
    os.kill(run.pid_of("api.broker"), signal.SIGKILL)
    run.until_printed("broker  ready again")
    run.until_printed("ingest  ready again", times=2)
    for name in ("flow", "api"):
        run.until_printed(f"{name:<7} ready again")
    assert detectors(run) == before


def test_control_c_leaves_no_process_behind_and_the_next_start_has_the_detectors(run: Run, home: Path) -> None:
    deleted = httpx.delete(run.url("API", "/api/detectors/default-cpu"), headers={"If-Match": '"1"'})
    assert deleted.is_success, deleted.text
    kept = detectors(run)
    assert run.interrupt() == 0
    assert run.printed.endswith("stopped\n")
    assert run.descendants() == set()

    again = Run(home, "--no-demo")
    try:
        again.until_printed("all is ready")
        assert detectors(again) == kept
    finally:
        again.end()
    assert again.descendants() == set()


def test_a_kafka_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    run = Run(tmp_path / "home", TOCSIN_KAFKA=address, TOCSIN_DELIVERY_TIMEOUT_S="3600")
    try:
        run.until_printed(f"waiting for Kafka at {address} (TOCSIN_KAFKA)", timeout_s=20)
        assert run.process.poll() is None
        assert run.interrupt() == 0
    finally:
        run.end()
    assert run.descendants() == set()


def test_a_killed_run_leaves_no_process_behind_even_when_its_guard_was_killed(tmp_path: Path) -> None:
    host = loopbacks()[-1]  # of IPv6 where the machine has it
    run = Run(tmp_path / "home", "--no-demo", TOCSIN_BROKER_BOUND_BYTES=str(26 << 20), TOCSIN_HOST=host)
    try:
        run.until_printed("all is ready")
        refusal = fill_the_broker(run)
        assert refusal.startswith("429")
        assert "TOCSIN_KAFKA" in refusal
        run.until_printed("the embedded broker holds", timeout_s=15)
        os.kill(run.pid_of("api.guard"), signal.SIGKILL)
        run.until_printed("the guard is started again", timeout_s=15)
        left = run.descendants()
        assert len(left) >= 5
        run.process.kill()
        run.process.wait(10)
        wait_until(lambda: all(gone(pid) for pid in left), 30, "the guard ends what a killed run left")
    finally:
        run.end()


def fill_the_broker(run: Run) -> str:
    """Push until ingest refuses; returns how it does."""
    numbers = random.Random(7)
    with httpx.Client(trust_env=False) as client:
        outbox = Outbox(client, run.url("INGEST", "/api/v1/write"))

        def refused() -> bool:
            samples = [({"__name__": "filler", "id": f"{numbers.getrandbits(256):x}"}, 1.0) for _ in range(5_000)]
            outbox.put(samples, time.time_ns() // 1_000_000)
            outbox.flush(time.monotonic())
            return outbox.last_problem != ""

        wait_until(refused, 60, "ingest refuses because the broker is full")
    return outbox.last_problem
