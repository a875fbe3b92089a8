"""Settings of the embedded broker's process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from connectors.settings import Host, NamedPath, Settings, is_ipv6

DEFAULT_BOUND_BYTES = 1024 * 1024 * 1024
"""Memory and disk of the broker together; the demo source fills it in about 11 hours (25 kB a second)."""


STATUS_NAME = "broker-status.json"
"""File in ``broker_home`` that says whether the broker is full, for TOCSIN_BROKER_STATUS_FILE of ingest."""


def broker_home(home: Path) -> Path:
    """Folder of the broker's own files within the data folder."""
    return home / "broker"


def broker_host(host: str) -> str:
    """Where the embedded broker listens when all else listens on ``host``.

    It tells its clients an IPv6 address in brackets, which they take for a name that nobody knows. So then it is found
    on this machine only.
    """
    return "127.0.0.1" if is_ipv6(host) else host


class BrokerSettings(Settings):
    """The embedded broker of ``make run``."""

    home: Annotated[NamedPath, Field(description="folder of logs, recovery store and detectors")] = Path(".tocsin")
    host: Host = "127.0.0.1"
    broker_port: Annotated[int, Field(ge=1, le=65_535, description="port of the embedded broker")] = 9092
    broker_probe_port: Annotated[int, Field(ge=1, le=65_535, description="port of the embedded broker's probes")] = 8004
    broker_bound_bytes: Annotated[
        int, Field(ge=1 << 20, description="memory and disk of the embedded broker; beyond it ingest answers 429")
    ] = DEFAULT_BOUND_BYTES
