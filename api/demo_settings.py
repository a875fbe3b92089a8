"""Settings of the demo source."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.settings import Host, Settings, authority


class DemoSettings(Settings):
    """Where the demo source pushes, and how often."""

    host: Host = "127.0.0.1"
    ingest_port: Annotated[int, Field(ge=1, le=65_535, description="port of remote write")] = 8001
    demo_port: Annotated[int, Field(ge=1, le=65_535, description="port of the demo source's probes")] = 8003
    demo_interval_s: Annotated[
        float, Field(ge=0.1, le=60, description="time between two pushes of the demo source; also its scrape interval")
    ] = 1.0

    @property
    def url(self) -> str:
        """Where ingest takes remote write."""
        return f"http://{authority(self.host, self.ingest_port)}/api/v1/write"
