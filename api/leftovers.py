"""Who holds a port: a stranger, a Tocsin that runs, or what a killed one left behind.

A guard ends what a killed run leaves; this is for the day on which the guard was killed too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

MODULES = frozenset(
    (
        "api.broker",
        "connectors.ingest",
        "flows.run",
        "api.app",
        "api.demo",
        "flows.metrics:build()",
        "flows.logs:build()",
    )
)
"""By these words in its command one knows a process that a run starts."""
BROKER_BINARY = "tansu"
GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


def holder(port: int) -> psutil.Process | None:
    """The process that listens on a TCP port; None when there is none, or when the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except GONE:
        return None
    return None


def described(process: psutil.Process) -> tuple[str, str]:
    """Which process this is, and what to do about it."""
    try:
        if not _is_ours(process.cmdline()):
            return f"process {process.pid} ({process.name()})", "end it"
        home = process.environ().get("TOCSIN_HOME", "")
        runs = [parent.pid for parent in process.parents() if _is_run(parent.cmdline())]
    except GONE:
        return f"process {process.pid}", "end it"
    if runs:
        return f"process {process.pid} of the Tocsin that process {runs[0]} runs in {home}", "stop that one"
    pids = " ".join(str(pid) for pid in sorted(_left_in(home)))
    return (
        f"process {process.pid}, which a killed run of Tocsin in {home} left behind",
        f"end what it left: kill {pids}",
    )


def _left_in(home: str) -> Iterator[int]:
    """Processes of runs in this folder."""
    for process in psutil.process_iter():
        try:
            if _is_ours(process.cmdline()) and process.environ().get("TOCSIN_HOME") == home:
                yield process.pid
        except GONE:
            continue


def _is_ours(command: Sequence[str]) -> bool:
    return not MODULES.isdisjoint(command) or (bool(command) and Path(command[0]).name == BROKER_BINARY)


def _is_run(command: Sequence[str]) -> bool:
    return "run" in command and any(word == "api.cli" or Path(word).name == "tocsin" for word in command)
