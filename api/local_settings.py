"""Settings of ``make run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from connectors.settings import Host, NamedPath, Servers, Settings

Port = Annotated[int, Field(ge=1, le=65_535)]


class LocalSettings(Settings):
    """Where ``make run`` keeps its data, where its processes listen, and how patient it is."""

    home: Annotated[NamedPath, Field(description="folder of logs, recovery store and detectors")] = Path(".tocsin")
    host: Host = "127.0.0.1"
    kafka: Annotated[Servers | None, Field(description="a real Kafka instead of the embedded broker")] = None
    api_port: Annotated[Port, Field(description="port of REST, WebSocket and probes")] = 8000
    ingest_port: Annotated[Port, Field(description="port of remote write")] = 8001
    flow_port: Annotated[Port, Field(description="port of the metrics flow's probes")] = 8002
    logs_port: Annotated[Port, Field(description="port of the logs flow's probes")] = 8005
    demo_port: Annotated[Port, Field(description="port of the demo source's probes")] = 8003
    broker_port: Annotated[Port, Field(description="port of the embedded broker")] = 9092
    broker_probe_port: Annotated[Port, Field(description="port of the embedded broker's probes")] = 8004
    ready_timeout_s: Annotated[float, Field(gt=0, description="a process not ready by then is started again")] = 120.0
    stop_grace_s: Annotated[float, Field(gt=0, description="time to end before a process is killed")] = 10.0
    restarts: Annotated[int, Field(ge=0, description="deaths in a row after which make run gives up")] = 5
    restart_pause_s: Annotated[float, Field(gt=0, description="first pause before a restart; it doubles")] = 1.0
