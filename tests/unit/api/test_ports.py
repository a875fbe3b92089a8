from __future__ import annotations

import os
import socket

import pytest

from api.local_settings import LocalSettings
from api.plan import Plan
from api.ports import Listener, refuse_equal_ports, refuse_taken_port
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


def test_two_processes_on_one_port_are_named_with_their_variables() -> None:
    plan = Plan(LocalSettings(api_port=8001), demo=True)
    with pytest.raises(TocsinError, match=r"^TOCSIN_INGEST_PORT and TOCSIN_API_PORT are both 8001: "):
        refuse_equal_ports([*plan.listeners()[3:5], plan.listeners()[2]])
    refuse_equal_ports(Plan(LocalSettings(), demo=True).listeners())
    refuse_equal_ports(Plan(LocalSettings(kafka="k:1", broker_port=8000), demo=False).listeners())
