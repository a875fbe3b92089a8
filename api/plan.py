"""The processes of one run on this machine: their commands, addresses, ports and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.broker_settings import STATUS_NAME, BrokerSettings, broker_home, broker_host
from api.child import Shown, python
from api.demo_settings import DemoSettings
from api.local_settings import LocalSettings
from api.ports import Listener
from api.settings import ApiSettings
from api.socket_messages import TAIL_SUBSCRIBED
from api.supervisor import Service
from connectors.ingest_settings import IngestSettings
from connectors.logs import LogSettings
from connectors.settings import Settings, authority
from flows.settings import FlowSettings, MiningSettings

BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Plan:
    """The processes of one run, in the order of their starts."""

    settings: LocalSettings
    demo: bool

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.settings.kafka or f"{broker_host(self.settings.host)}:{self.settings.broker_port}"

    @property
    def home(self) -> Path:
        """The data folder, absolute, so that no process depends on where it was started."""
        return self.settings.home.absolute()

    @property
    def environment(self) -> dict[str, str]:
        """What all processes are told beside what this one was told."""
        told = {
            "TOCSIN_KAFKA": self.bootstrap,
            "TOCSIN_HOME": str(self.home),
            "TOCSIN_API_INGEST": f"{self.url(self.settings.ingest_port)}/api/v1/write",
            "PYTHONUNBUFFERED": "1",
            "RUST_BACKTRACE": "0",  # frames of Bytewax and Python, which would push the reason out of the log's end
        }
        embedded = {
            "TOCSIN_BROKER_STATUS_FILE": str(broker_home(self.home) / STATUS_NAME),
            "TOCSIN_API_BROKER_HEALTH": f"{self.url(self.settings.broker_probe_port)}/health",
        }
        return {**told, **(embedded if self.settings.kafka is None else {})}

    def url(self, port: int) -> str:
        """Address of what listens on this port."""
        return f"http://{authority(self.settings.host, port)}"

    def listeners(self) -> list[Listener]:
        """All ports, to be checked before anything starts."""
        s = self.settings
        own = [
            Listener("api", s.api_port, "TOCSIN_API_PORT"),
            Listener("ingest", s.ingest_port, "TOCSIN_INGEST_PORT"),
            Listener("flow", s.flow_port, "TOCSIN_FLOW_PORT"),
            Listener("logs", s.logs_port, "TOCSIN_LOGS_PORT"),
        ]
        demo = [Listener("demo", s.demo_port, "TOCSIN_DEMO_PORT")] if self.demo else []
        broker = [
            Listener(BROKER, s.broker_port, "TOCSIN_BROKER_PORT"),
            Listener("broker's probes", s.broker_probe_port, "TOCSIN_BROKER_PROBE_PORT"),
        ]
        return [*(broker if s.kafka is None else ()), *own, *demo]

    def settings_classes(self) -> list[type[Settings]]:
        """The settings that the processes of this run will read."""
        demo = [DemoSettings] if self.demo else []
        broker = [BrokerSettings] if self.settings.kafka is None else []
        return [LogSettings, *broker, IngestSettings, FlowSettings, MiningSettings, ApiSettings, *demo]

    def broker(self) -> Service:
        """The embedded broker, which also creates the topics and brings the detectors back."""
        s = self.settings
        ready_url = f"{self.url(s.broker_probe_port)}/ready"
        address = f"{self.bootstrap} (embedded: keeps records in memory, forgets them at the stop)"
        command = python("api.broker")
        return Service(BROKER, command, address, ready_url, self.environment, renews=("ingest", "flow", "logs", "api"))

    def services(self) -> list[Service]:
        """What works on the topics; these start side by side."""
        s = self.settings
        return [
            self._serving("ingest", "connectors.ingest", s.ingest_port, "/api/v1/write, logs at /loki/api/v1/push"),
            self._serving("flow", "flows.run", s.flow_port, "/health, /metrics"),
            self._serving("logs", "flows.run", s.logs_port, "/health, /metrics, /patterns", "logs"),
            self._serving("api", "api.app", s.api_port, "/api/docs/ui, anomalies at /api/ws and /api/anomalies"),
        ]

    def source(self) -> Service:
        """The demo source; it pushes, so it starts when ingest is ready."""
        return self._serving("demo", "api.demo", self.settings.demo_port, "/metrics; this machine and a small shop")

    def tail(self) -> Service:
        """Prints the anomalies in the terminal; ready once it has subscribed, so that none is missed from then on."""
        url = self.url(self.settings.api_port)
        command = (*python("api.cli"), "tail", url)
        what = "prints anomalies here"
        return Service("tail", command, what, "", self.environment, Shown.ALL, ready_line=TAIL_SUBSCRIBED)

    def _serving(self, name: str, module: str, port: int, what: str, *words: str) -> Service:
        url = self.url(port)
        return Service(name, (*python(module), *words), url + what, f"{url}/ready", self.environment)
