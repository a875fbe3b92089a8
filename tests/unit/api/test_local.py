from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.broker import broker_home
from api.embedded import EmbeddedBroker
from api.local import Listener, LocalSettings, Plan, claimed, leaves, refuse_taken_port
from connectors.errors import TocsinError

HOLD = """
import sys
from pathlib import Path
from api.broker import broker_home
from api.embedded import EmbeddedBroker
from api.local import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

LEAVE = """
import os, subprocess, sys
from pathlib import Path
from api.broker import broker_home
from api.embedded import EmbeddedBroker
from api.local import claimed
guard = "import sys, time; time.sleep(0.5); open(sys.argv[1] + '/cleaned', 'w').close()"
with claimed(Path(sys.argv[1])) as lock:
    subprocess.Popen([sys.executable, "-c", guard, sys.argv[1]], pass_fds=[lock])
    os._exit(9)
"""


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TocsinError, match=f"process {other.pid} already runs Tocsin in .*TOCSIN_HOME"):
            claimed(tmp_path).__enter__()
        other.communicate("")
    with claimed(tmp_path):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_the_lock_of_a_killed_run_is_waited_for(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == 9
    with claimed(tmp_path):
        assert (tmp_path / "cleaned").exists()


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(TocsinError, match=rf"port {port} of api is taken on 127.0.0.1: .*TOCSIN_API_PORT"):
            refuse_taken_port("127.0.0.1", Listener("api", port, "TOCSIN_API_PORT"))
    refuse_taken_port("127.0.0.1", Listener("api", port, "TOCSIN_API_PORT"))


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(TocsinError, match=r"not to be had .*192\.0\.2\.1"):
        refuse_taken_port("192.0.2.1", Listener("api", 8000, "TOCSIN_API_PORT"))


def test_every_port_is_checked_and_can_be_moved() -> None:
    listeners = Plan(LocalSettings(), demo=True).listeners()
    assert {listener.port for listener in listeners} == {8000, 8001, 8002, 8003, 8004, 9092}
    for listener in listeners:
        field = listener.variable.removeprefix("TOCSIN_").lower()
        assert LocalSettings.model_fields[field].default == listener.port


def test_a_real_kafka_needs_no_broker_port() -> None:
    plan = Plan(LocalSettings(kafka="kafka:9092"), demo=False)
    assert {listener.name for listener in plan.listeners()} == {"api", "ingest", "flow"}
    assert plan.environment["TOCSIN_KAFKA"] == "kafka:9092"


def test_all_processes_are_told_the_same_broker_and_folder(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path, broker_port=19092), demo=True)
    services = [plan.broker(), *plan.services(), plan.source()]
    assert [service.name for service in services] == ["broker", "ingest", "flow", "api", "demo"]
    for service in services:
        assert service.environment["TOCSIN_KAFKA"] == "127.0.0.1:19092"
        assert service.environment["TOCSIN_HOME"] == str(tmp_path)


def test_ingest_reads_the_status_file_that_the_broker_writes(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path), demo=False)
    broker = EmbeddedBroker(port=1, home=broker_home(tmp_path))
    assert plan.environment["TOCSIN_BROKER_STATUS_FILE"] == str(broker.status_path)
    real = Plan(LocalSettings(home=tmp_path, kafka="kafka:9092"), demo=False)
    assert "TOCSIN_BROKER_STATUS_FILE" not in real.environment


def test_the_settings_are_validated_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_API_PORT", "99999")
    with pytest.raises(ValidationError, match="api_port"):
        LocalSettings()


def test_leaves_of_nested_groups() -> None:
    one, two = ValueError("one"), ValueError("two")
    assert list(leaves(ExceptionGroup("outer", [ExceptionGroup("inner", [one]), two]))) == [one, two]
    assert list(leaves(None)) == []
