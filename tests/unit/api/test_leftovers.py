from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from api.leftovers import described, holder
from tests.brokers import free_port
from tests.processes import environment

LISTEN = """
import socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
sys.stdin.read()
"""
STARTS = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], *sys.argv[2].split()])
"""


@contextmanager
def listening(home: Path, *words: str, code: str = LISTEN) -> Iterator[int]:
    """Process id of a process with these words in its command."""
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(home)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process.pid
        process.communicate("")


def held_by(port: int) -> psutil.Process:
    found = holder(port)
    assert found is not None
    return found


def test_a_free_port_has_no_holder() -> None:
    assert holder(free_port()) is None


def test_a_stranger_is_named(tmp_path: Path) -> None:
    port = free_port()
    with listening(tmp_path, str(port)) as pid:
        who, remedy = described(held_by(port))
        assert who == f"process {pid} ({psutil.Process(pid).name()})"
    assert remedy == "end it"


def test_all_that_a_killed_run_left_is_named_at_once(tmp_path: Path) -> None:
    port = free_port()
    with (
        listening(tmp_path, str(port), "api.app") as api,
        listening(tmp_path, str(free_port()), "connectors.ingest") as ingest,
        listening(tmp_path / "other", str(free_port()), "connectors.ingest"),
        listening(tmp_path, str(free_port()), "an editor of api.app"),
    ):
        who, remedy = described(held_by(port))
        assert who == f"process {api}, which a killed run of Tocsin in {tmp_path} left behind"
        assert remedy == f"end what it left: kill {' '.join(map(str, sorted([api, ingest])))}"


def test_a_run_that_lives_is_named_by_its_own_process(tmp_path: Path) -> None:
    port = free_port()
    with listening(tmp_path, LISTEN, f"{port} api.app", "api.cli", "run", code=STARTS) as run:
        who, remedy = described(held_by(port))
        assert who.endswith(f" of the Tocsin that process {run} runs in {tmp_path}")
    assert remedy == "stop that one"
