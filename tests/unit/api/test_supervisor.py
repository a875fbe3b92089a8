from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.child import Shown
from api.supervisor import GaveUp, Patience, Service, Supervisor
from tests.brokers import free_port
from tests.processes import gone

SERVER = """
import http.server, os, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("pid", os.getpid(), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
DIES = "import sys; print('no disk left'); sys.exit(3)"

QUICK = Patience(ready_timeout_s=10, stop_grace_s=5, restarts=2, restart_pause_s=0.01)


class Terminal:
    """What a user would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, text: str) -> None:
        self.lines.append(text)

    async def until(self, part: str) -> None:
        async with asyncio.timeout(15):
            while not any(part in line for line in self.lines):  # noqa: ASYNC110 - as a user looks
                await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(tmp_path: Path, patience: Patience = QUICK) -> AsyncIterator[tuple[Supervisor, Terminal]]:
    terminal = Terminal()
    supervisor = Supervisor(tmp_path, patience, terminal.show, keep_open=[])
    try:
        yield supervisor, terminal
    finally:
        await supervisor.stop()


NOWHERE = "http://127.0.0.1:9/ready"


def server(name: str, port: int, *renews: str) -> Service:
    command = (sys.executable, "-c", SERVER, str(port))
    return Service(name, command, f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/ready", renews=renews)


def end_watch(*names: str) -> None:
    for task in asyncio.all_tasks():
        if task.get_name() in names:
            task.cancel()


def pids(tmp_path: Path, name: str) -> list[int]:
    lines = (tmp_path / f"{name}.log").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("pid ")]


def test_the_dead_are_named_and_started_again(tmp_path: Path) -> None:
    async def scenario() -> Terminal:
        async with supervised(tmp_path) as (supervisor, terminal), asyncio.TaskGroup() as tasks:
            port = free_port()
            await supervisor.start(server("web", port), tasks)
            assert terminal.lines == [f"web     ready  127.0.0.1:{port}"]
            os.kill(pids(tmp_path, "web")[0], signal.SIGKILL)
            await terminal.until("web     ready again")
            end_watch("web", "broker")
        return terminal

    terminal = asyncio.run(scenario())
    assert "web died with signal SIGKILL" in terminal.lines[1]
    assert f"pid {pids(tmp_path, 'web')[0]}" in terminal.lines[1]
    assert "starts again in 0.01 s (1 of 2)" in terminal.lines[2]
    assert len(pids(tmp_path, "web")) == 2
    assert all(gone(pid) for pid in pids(tmp_path, "web"))


def test_it_gives_up_on_what_dies_again_and_again(tmp_path: Path) -> None:
    async def scenario() -> Terminal:
        async with supervised(tmp_path) as (supervisor, terminal):
            with pytest.RaisesGroup(pytest.RaisesExc(GaveUp, match="flow died 3 times in a row")):
                async with asyncio.TaskGroup() as tasks:
                    await supervisor.start(Service("flow", (sys.executable, "-c", DIES), "", NOWHERE), tasks)
        return terminal

    terminal = asyncio.run(scenario())
    deaths = [line for line in terminal.lines if "died with exit code 3" in line]
    assert len(deaths) == 3
    assert all("no disk left" in line for line in deaths)
    assert [line for line in terminal.lines if "starts again" in line] == [
        "flow starts again in 0.01 s (1 of 2)",
        "flow starts again in 0.02 s (2 of 2)",
    ]


def test_what_died_of_a_full_disk_waits_for_room_and_is_not_given_up(tmp_path: Path) -> None:
    """Twice as many deaths as are allowed, each on a full disk, do not count; those afterwards do."""
    told = ["disk full at /home", ""] * 6

    async def scenario() -> Terminal:
        terminal = Terminal()
        supervisor = Supervisor(
            tmp_path, QUICK, terminal.show, keep_open=[], room_reason=lambda: told.pop(0) if told else ""
        )
        try:
            with pytest.RaisesGroup(pytest.RaisesExc(GaveUp, match="died 3 times in a row")):
                async with asyncio.TaskGroup() as tasks:
                    await supervisor.start(Service("flow", (sys.executable, "-c", DIES), "", NOWHERE), tasks)
        finally:
            await supervisor.stop()
        return terminal

    terminal = asyncio.run(scenario())
    assert terminal.lines.count("disk full at /home: flow starts again when there is room") == 6


def test_logs_on_a_full_disk_are_told_once_for_all(tmp_path: Path) -> None:
    async def scenario() -> Terminal:
        async with supervised(tmp_path) as (supervisor, terminal):
            for name in ("a", "b"):
                (tmp_path / f"{name}.log").symlink_to("/dev/full")
                await supervisor.run_step(name, (sys.executable, "-c", "print('x'); print('y')"), {})
        return terminal

    assert asyncio.run(scenario()).lines == [
        f"disk full at {tmp_path}/a.log: lines of logs are dropped until there is room"
    ]


def test_what_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    async def scenario() -> Terminal:
        patience = Patience(ready_timeout_s=0.3, restarts=0)
        async with supervised(tmp_path, patience) as (supervisor, terminal):
            with pytest.RaisesGroup(GaveUp):
                async with asyncio.TaskGroup() as tasks:
                    service = Service("slow", (sys.executable, "-c", "import time; time.sleep(60)"), "", NOWHERE)
                    await supervisor.start(service, tasks)
        return terminal

    terminal = asyncio.run(scenario())
    assert terminal.lines[0] == "slow was not ready within 0.3 s: ending it"
    assert "died with signal SIGKILL" in terminal.lines[1]


WRITES = """
import sys
print("cannot reach ws://nowhere", flush=True)
open(sys.argv[1]).read()
print("tail: connected to ws://here", flush=True)
open(sys.argv[1]).read()
"""


def test_what_is_ready_by_what_it_writes_is_not_before(tmp_path: Path) -> None:
    """It blocks on a pipe twice, before and after it says that it is connected."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def scenario() -> list[str]:
        command = (sys.executable, "-c", WRITES, str(gate))
        tail = Service("tail", command, "", "", shown=Shown.ALL, ready_line="connected to")
        async with supervised(tmp_path) as (supervisor, terminal), asyncio.TaskGroup() as tasks:
            starting = tasks.create_task(supervisor.start(tail, tasks))
            await terminal.until("cannot reach")
            terminal.show(f"ready: {starting.done()}")
            await asyncio.to_thread(gate.write_text, "go on")
            await starting
            end_watch("tail")
        return terminal.lines

    assert asyncio.run(scenario()) == [
        "cannot reach ws://nowhere",
        "ready: False",
        "tail: connected to ws://here",
        "tail    ready  ",
    ]


def test_what_depends_on_one_that_forgets_starts_afresh_with_it(tmp_path: Path) -> None:
    async def scenario() -> Terminal:
        async with supervised(tmp_path) as (supervisor, terminal), asyncio.TaskGroup() as tasks:
            port = free_port()
            await supervisor.start(server("broker", free_port(), "web"), tasks)
            await supervisor.start(server("web", port), tasks)
            os.kill(pids(tmp_path, "broker")[0], signal.SIGKILL)
            await terminal.until("web     ready again")
            end_watch("web", "broker")
        return terminal

    terminal = asyncio.run(scenario())
    assert "web starts afresh, because broker did and forgets" in terminal.lines
    assert not any("web died" in line for line in terminal.lines)
    assert len(pids(tmp_path, "web")) == 2


def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with supervised(tmp_path) as (supervisor, _):
            await supervisor.run_step("fine", (sys.executable, "-c", "pass"), {})
            with pytest.raises(GaveUp, match=r"topics failed with exit code 3:\n    no disk left"):
                await supervisor.run_step("topics", (sys.executable, "-c", DIES), {})

    asyncio.run(scenario())
