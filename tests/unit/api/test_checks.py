from __future__ import annotations

import os
import socket

import pytest

from api.checks import refuse_bad_settings, refuse_equal_ports, refuse_foreign_host, refuse_taken_port
from api.local_settings import LocalSettings
from api.plan import Listener, Plan
from connectors.errors import TocsinError


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
