from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.broker import broker_home
from api.demo_settings import DemoSettings
from api.embedded import EmbeddedBroker
from api.local import (
    Listener,
    LocalSettings,
    Plan,
    claimed,
    leaves,
    refuse_bad_settings,
    refuse_equal_ports,
    refuse_foreign_host,
    refuse_taken_port,
)
from connectors.errors import TocsinError
from tests.settings_page import settings_classes

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
        with pytest.raises(
            TocsinError, match=rf"port {port} of api is taken on 127.0.0.1 by process {os.getpid()} .*TOCSIN_API_PORT"
        ):
            refuse_taken_port("127.0.0.1", Listener("api", port, "TOCSIN_API_PORT"))
    refuse_taken_port("127.0.0.1", Listener("api", port, "TOCSIN_API_PORT"))


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(TocsinError, match=r"not to be had .*192\.0\.2\.1"):
        refuse_taken_port("192.0.2.1", Listener("api", 8000, "TOCSIN_API_PORT"))


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "no such host", "a" * 300])
def test_a_foreign_host_is_named_with_its_variable(host: str) -> None:
    with pytest.raises(TocsinError, match=f"^TOCSIN_HOST={host}: not an address of this machine"):
        refuse_foreign_host(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - bound and closed
def test_a_host_of_this_machine_is_taken(host: str) -> None:
    refuse_foreign_host(host)


@pytest.mark.parametrize("home", ["file", "file/below", "/proc/nope"])
def test_a_folder_that_cannot_be_is_named_with_its_variable(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TocsinError, match=rf"^TOCSIN_HOME={tmp_path / home}: not a folder that can be written to"):
        claimed(tmp_path / home).__enter__()


def test_two_processes_on_one_port_are_named_with_their_variables() -> None:
    plan = Plan(LocalSettings(api_port=8001), demo=True)
    with pytest.raises(TocsinError, match=r"^TOCSIN_INGEST_PORT and TOCSIN_API_PORT are both 8001: "):
        refuse_equal_ports([*plan.listeners()[3:5], plan.listeners()[2]])
    refuse_equal_ports(Plan(LocalSettings(), demo=True).listeners())
    refuse_equal_ports(Plan(LocalSettings(kafka="k:1", broker_port=8000), demo=False).listeners())


def test_what_any_process_would_refuse_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOG_LEVEL": "LOUD", "PARTITIONS": "0", "FLOW_MAX_SERIES": "x", "DEMO_INTERVAL_S": "0"}.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    with pytest.raises(TocsinError) as raised:
        refuse_bad_settings(Plan(LocalSettings(), demo=True).settings_classes())
    names = [line.partition("=")[0] for line in str(raised.value).splitlines()]
    assert names == ["TOCSIN_LOG_LEVEL", "TOCSIN_PARTITIONS", "TOCSIN_FLOW_MAX_SERIES", "TOCSIN_DEMO_INTERVAL_S"]


def test_no_settings_of_a_process_are_forgotten() -> None:
    checked = Plan(LocalSettings(), demo=True).settings_classes()
    assert {LocalSettings, *checked, *(base for found in checked for base in found.__mro__)} >= set(settings_classes())


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
        assert service.environment["RUST_BACKTRACE"] == "0"  # else the frames are all that is seen of a death


def test_every_url_of_an_ipv6_address_can_be_asked(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path, host="::1"), demo=True)
    services = [plan.broker(), *plan.services(), plan.source()]
    ports = [8004, 8001, 8002, 8000, 8003]
    assert [service.ready_url for service in services] == [f"http://[::1]:{port}/ready" for port in ports]
    assert plan.tail().command[-1] == "http://[::1]:8000"
    assert plan.environment["TOCSIN_API_BROKER_HEALTH"] == "http://[::1]:8004/health"
    assert plan.environment["TOCSIN_KAFKA"] == "127.0.0.1:9092"  # the embedded broker cannot do IPv6
    assert DemoSettings(host="::1").url == "http://[::1]:8001/api/v1/write"


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
