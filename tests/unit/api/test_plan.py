from __future__ import annotations

from pathlib import Path

from api.broker_settings import broker_home
from api.demo_settings import DemoSettings
from api.embedded import EmbeddedBroker
from api.local_settings import LocalSettings
from api.plan import Plan
from tests.settings_page import settings_classes


def test_no_settings_of_a_process_are_forgotten() -> None:
    checked = Plan(LocalSettings(), demo=True).settings_classes()
    assert {LocalSettings, *checked, *(base for found in checked for base in found.__mro__)} >= set(settings_classes())


def test_every_port_is_checked_and_can_be_moved() -> None:
    listeners = Plan(LocalSettings(), demo=True).listeners()
    assert {listener.port for listener in listeners} == {8000, 8001, 8002, 8003, 8004, 8005, 9092}
    for listener in listeners:
        field = listener.variable.removeprefix("TOCSIN_").lower()
        assert LocalSettings.model_fields[field].default == listener.port


def test_a_real_kafka_needs_no_broker_port() -> None:
    plan = Plan(LocalSettings(kafka="kafka:9092"), demo=False)
    assert {listener.name for listener in plan.listeners()} == {"api", "ingest", "flow", "logs"}
    assert plan.environment["TOCSIN_KAFKA"] == "kafka:9092"


def test_all_processes_are_told_the_same_broker_and_folder(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path, broker_port=19092), demo=True)
    services = [plan.broker(), *plan.services(), plan.source()]
    assert [service.name for service in services] == ["broker", "ingest", "flow", "logs", "api", "demo"]
    for service in services:
        assert service.environment["TOCSIN_KAFKA"] == "127.0.0.1:19092"
        assert service.environment["TOCSIN_HOME"] == str(tmp_path)
        assert service.environment["RUST_BACKTRACE"] == "0"  # else the frames are all that is seen of a death


def test_every_url_of_an_ipv6_address_can_be_asked(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path, host="::1"), demo=True)
    services = [plan.broker(), *plan.services(), plan.source()]
    ports = [8004, 8001, 8002, 8005, 8000, 8003]
    assert [service.ready_url for service in services] == [f"http://[::1]:{port}/ready" for port in ports]
    assert plan.tail().command[-1] == "http://[::1]:8000"
    assert plan.environment["TOCSIN_API_BROKER_HEALTH"] == "http://[::1]:8004/health"
    assert plan.environment["TOCSIN_KAFKA"] == "127.0.0.1:9092"  # the embedded broker cannot do IPv6
    assert plan.environment["TOCSIN_API_INGEST"] == "http://[::1]:8001/api/v1/write"
    assert DemoSettings(host="::1").url == "http://[::1]:8001/api/v1/write"


def test_ingest_reads_the_status_file_that_the_broker_writes(tmp_path: Path) -> None:
    plan = Plan(LocalSettings(home=tmp_path), demo=False)
    broker = EmbeddedBroker(port=1, home=broker_home(tmp_path))
    assert plan.environment["TOCSIN_BROKER_STATUS_FILE"] == str(broker.status_path)
    real = Plan(LocalSettings(home=tmp_path, kafka="kafka:9092"), demo=False)
    assert "TOCSIN_BROKER_STATUS_FILE" not in real.environment
