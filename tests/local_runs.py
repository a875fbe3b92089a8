"""``make run`` as a user starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from pathlib import Path

from connectors.settings import authority
from tests.brokers import free_port
from tests.processes import environment, marked_with, wait_until

START_S = 90.0
"""With the kernels to be compiled; with a warm cache it is a few seconds."""
MARK = "TOCSIN_TEST_RUN"
PORTS = ("API", "INGEST", "FLOW", "LOGS", "DEMO", "BROKER", "BROKER_PROBE")


class Run:
    """One ``tocsin run`` and what it printed."""

    def __init__(self, home: Path, *options: str, **more: str) -> None:
        self.mark = uuid.uuid4().hex
        self.host = more.get("TOCSIN_HOST", "127.0.0.1")
        self.ports = {name: free_port() for name in PORTS}
        variables = {f"TOCSIN_{name}_PORT": str(port) for name, port in self.ports.items()}
        variables |= {MARK: self.mark, "TOCSIN_RESTART_PAUSE_S": "0.1", **more}
        self._printed = home.parent / f"{self.mark}.out"
        with self._printed.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "run", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(home, **variables),
            )

    @property
    def printed(self) -> str:
        return self._printed.read_text()

    def url(self, name: str, path: str) -> str:
        return f"http://{authority(self.host, self.ports[name])}{path}"

    def until_printed(self, text: str, times: int = 1, timeout_s: float = START_S) -> None:
        def found() -> bool:
            assert self.process.poll() is None or text in self.printed, f"ended early:\n{self.printed}"
            return self.printed.count(text) >= times

        wait_until(found, timeout_s, f"{text!r} in\n{self.printed}")

    def descendants(self) -> set[int]:
        """Everything that this run has started and that still lives."""
        return {process.pid for process in marked_with(MARK, self.mark)} - {self.process.pid}

    def pid_of(self, module: str) -> int:
        [found] = [p.pid for p in marked_with(MARK, self.mark) if module in p.cmdline()]
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def end(self) -> None:
        """After a failed test: leave nothing."""
        self.process.terminate()
        self.process.wait(60)
