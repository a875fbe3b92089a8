"""A real node exporter on a loopback port; it needs no root."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers import free_port
from tests.processes import wait_until

READY_S = 30.0
PROGRAMS = ("prometheus-node-exporter", "node_exporter")
"""As Debian's package and as upstream calls it."""


def node_exporter_program() -> str | None:
    """Path of the node exporter, None if there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def missing_node_exporter() -> str | None:
    """Why a real node exporter cannot be started here; None if it can."""
    if node_exporter_program():
        return None
    return "no node exporter is installed (Debian: apt install prometheus-node-exporter)"


class NodeExporter:
    """Shows this host's metrics with the collectors that are on by default, until stopped; its log is in ``home``."""

    def __init__(self, home: Path) -> None:
        program = node_exporter_program()
        assert program is not None, missing_node_exporter()
        self.port = free_port()
        self._log = home / "node_exporter.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._ready, READY_S, f"the node exporter to be ready, see {self._log}")

    def page(self) -> str:
        """What a scrape gets."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            return "node_cpu_seconds_total" in self.page()
        except (urllib.error.URLError, OSError):
            return False
