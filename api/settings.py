"""Settings of the api process, beside those that every process shares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr

from connectors.settings import MAX_PORT, Host, KafkaSettings, NamedPath
from connectors.sources.address import AddressPolicy

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?", re.IGNORECASE)
Seconds = Annotated[float, Field(gt=0)]


def http_url(text: str) -> str:
    """Refuse what nobody could ask, once and at the start."""
    if not text:
        return text
    try:
        url = httpx.URL(text)
        url.host.encode("idna")  # as the socket will
    except (httpx.InvalidURL, UnicodeError) as error:
        message = f"is not the URL of a server: {error}"
        raise ValueError(message) from error
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 1) <= MAX_PORT:
        message = f"is not http[s]://host[:port]/path with a port from 1 to {MAX_PORT}"
        raise ValueError(message)
    return text


def _origins(text: str) -> str:
    """Refuse what no browser sends: it would never match, and nobody would know why."""
    for origin in map(str.strip, text.split(",")):
        if origin in ("", "*"):
            continue
        host = ORIGIN.fullmatch(origin)
        if host is None or not 0 < int(host["port"] or 1) <= MAX_PORT:
            message = f"{origin!r} is neither https://host[:port] (or http) nor *; several are separated by commas"
            raise ValueError(message)
    return text


def _networks(text: str) -> str:
    """Refuse what is no network."""
    try:
        AddressPolicy.parse(text)
    except ValueError as error:
        message = f"is not a list of networks like 10.0.0.0/8,fd00::/8: {error}"
        raise ValueError(message) from error
    return text


HttpUrl = Annotated[str, AfterValidator(http_url)]
"""Address that can be asked over HTTP; may be empty."""


def _database(url: SecretStr) -> SecretStr:
    """Refuse what is no database that this can use; read late, because who only checks need not load SQLAlchemy."""
    if url.get_secret_value():
        from api.store_engine import store_url

        store_url(url.get_secret_value())
    return url


class ApiSettings(KafkaSettings):
    """Where the api listens and the bounds of everything that it keeps."""

    host: Host = "127.0.0.1"
    home: Annotated[NamedPath, Field(description="folder of the store, unless TOCSIN_API_STORE names another")] = Path(
        ".tocsin"
    )
    api_store: Annotated[
        SecretStr,
        AfterValidator(_database),
        Field(
            description="database of the store, sqlite:///file or postgresql://user:password@host/database; "
            "empty: SQLite in TOCSIN_HOME",
        ),
    ] = SecretStr("")
    api_port: Annotated[int, Field(ge=0, le=65_535, description="port of REST, WebSocket and probes")] = 8000
    environment: Annotated[
        str, Field(max_length=100, description="what people call this deployment, for GET /api/deployment")
    ] = "development"
    commit: Annotated[str, Field(max_length=100, description="what the image was built of, for the same")] = ""
    api_recent_anomalies: Annotated[
        int, Field(ge=1, le=1_000_000, description="anomalies kept for GET /api/anomalies, the latest ones")
    ] = 10_000
    api_recent_bytes: Annotated[
        int, Field(ge=1024 * 1024, description="bytes of them as JSON; beyond either the oldest are forgotten")
    ] = 64 * 1024 * 1024
    api_backlog_events: Annotated[
        int, Field(ge=1, le=1_000_000, description="latest events kept for WebSocket clients that resume after a break")
    ] = 20_000
    api_backlog_bytes: Annotated[
        int, Field(ge=1024 * 1024, description="bytes of them as JSON; beyond either the oldest are dropped")
    ] = 64 * 1024 * 1024
    api_history_days: Annotated[
        float, Field(gt=0, le=36_500, description="days that an anomaly stays in the store, from its latest sample on")
    ] = 90.0
    api_history_rows: Annotated[
        int, Field(ge=1, description="anomalies in the store; beyond it the oldest are forgotten")
    ] = 2_000_000
    api_status_bytes: Annotated[
        int,
        Field(
            ge=1024 * 1024,
            description="bytes kept of the status of detectors; beyond, signals told longest ago are only counted",
        ),
    ] = 128 * 1024 * 1024
    api_max_clients: Annotated[int, Field(ge=1, description="WebSocket clients at a time; more are closed")] = 256
    api_client_queue: Annotated[
        int, Field(ge=1, description="messages waiting for one client; a slower one is closed with code 4008")
    ] = 1_000
    api_slow_close_s: Annotated[
        Seconds, Field(description="how long a slow client may take to read its close frame before it is cut off")
    ] = 5.0
    api_max_socket_message_bytes: Annotated[int, Field(ge=64, description="largest message of a client")] = 16_384
    api_max_body_bytes: Annotated[int, Field(ge=64, description="largest REST request body")] = 65_536
    api_max_samples_bytes: Annotated[
        int, Field(ge=64, description="largest body with samples that a detector is tried on")
    ] = 4 * 1024 * 1024
    api_source_networks: Annotated[
        str,
        AfterValidator(_networks),
        Field(
            description="where data sources may be: 10.0.0.0/8[,…]; empty: anywhere. Never where clouds hand out "
            "credentials (169.254.0.0/16 and the like)"
        ),
    ] = ""
    api_ingest: Annotated[
        HttpUrl,
        Field(description="remote write of ingest, to which collectors send; empty: this process runs no collectors"),
    ] = ""
    api_broker_health: Annotated[
        HttpUrl,
        Field(
            description="/health of the embedded broker's process, which keeps the detectors; empty: Kafka keeps them",
        ),
    ] = ""
    api_body_timeout_s: Annotated[Seconds, Field(description="a REST body that is not whole by then gets 408")] = 30.0
    api_origins: Annotated[
        str,
        AfterValidator(_origins),
        Field(description="other origins whose pages may open a WebSocket: https://host[:port][,…], or * for any"),
    ] = ""
    api_ping_interval_s: Annotated[Seconds, Field(description="time between pings to a WebSocket client")] = 20.0
    api_ping_timeout_s: Annotated[Seconds, Field(description="a client without pong for so long is closed")] = 20.0
    api_max_writes: Annotated[int, Field(ge=1, le=256, description="detector writes at a time; more get 429")] = 16
    api_read_back_timeout_s: Annotated[
        Seconds, Field(description="how long a write waits for its own record to come back from Kafka")
    ] = 10.0

    @property
    def store(self) -> str:
        """URL of the store, with its password."""
        return self.api_store.get_secret_value() or f"sqlite:///{self.home / 'api' / 'store.sqlite'}"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of ``api_origins``."""
        return frozenset(origin.strip().rstrip("/").lower() for origin in self.api_origins.split(",") if origin.strip())
