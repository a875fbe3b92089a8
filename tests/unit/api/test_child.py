from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.child import BoundedLog, Child, Shown, describe_exit, parse_event, readable
from tests.processes import files_bounded, gone, wait_until

GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
TELLING = """
import json
print("plain")
print(json.dumps({"message": "a fault begins", "announce": True}))
print(json.dumps({"message": "quiet"}))
print(json.dumps({"message": "to announce", "announce": False}))
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BoundedLog]:
    log = BoundedLog(tmp_path / "x.log")
    yield log
    log.close()


async def start(log: BoundedLog, code: str, shown: list[str]) -> Child:
    return await Child.start([sys.executable, "-c", code], os.environ, log, shown.append)


async def until_heard(log: BoundedLog) -> None:
    while not lines_of(log):  # noqa: ASYNC110 - the process tells by writing
        await asyncio.sleep(0.01)


def lines_of(log: BoundedLog) -> list[str]:
    return log.path.read_text().splitlines()


def test_output_is_logged_and_announcements_are_shown(log: BoundedLog) -> None:
    shown: list[str] = []

    async def scenario() -> int:
        child = await start(log, TELLING, shown)
        return await child.wait()

    assert asyncio.run(scenario()) == 0
    assert shown == ["a fault begins"]
    assert lines_of(log)[0] == "plain"
    assert len(lines_of(log)) == 4


def test_all_lines_are_shown_of_a_process_that_speaks_to_the_user(log: BoundedLog) -> None:
    shown: list[str] = []

    async def scenario() -> None:
        command = [sys.executable, "-c", "print('one'); print('two')"]
        child = await Child.start(command, os.environ, log, shown.append, Shown.ALL)
        await child.wait()

    asyncio.run(scenario())
    assert shown == lines_of(log) == ["one", "two"]


def test_the_end_of_a_process_ends_its_children(log: BoundedLog) -> None:
    async def scenario() -> int:
        child = await start(log, GRANDCHILD, [])
        await until_heard(log)
        os.kill(child.group, signal.SIGKILL)
        return await child.wait()

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == -signal.SIGKILL
    pid = int(lines_of(log)[0])
    wait_until(lambda: gone(pid), 5, "the grandchild ends")


def test_stop_kills_what_does_not_listen(log: BoundedLog) -> None:
    async def scenario() -> int:
        child = await start(log, DEAF, [])
        await until_heard(log)
        await child.stop(grace_s=0.1)
        return child.group

    pid = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert gone(pid)


def test_a_line_without_end_does_not_fill_the_memory(log: BoundedLog) -> None:
    async def scenario() -> None:
        child = await start(log, "print('x' * 1_000_000, end='')", [])
        await child.wait()

    asyncio.run(scenario())
    assert sum(len(line) for line in lines_of(log)) == 1_000_000
    assert max(len(line) for line in lines_of(log)) <= 2 * 65_536


def test_the_log_has_a_bound(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "x.log", max_bytes=100)
    for number in range(50):
        log.write(b"line %02d" % number)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1"]
    assert all(file.stat().st_size <= 100 + len("line 00\n") for file in files)
    kept = b"".join(file.read_bytes() for file in reversed(files)).splitlines()
    assert kept[-1] == b"line 49"


def test_lines_that_the_disk_refuses_are_dropped_counted_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    log = BoundedLog(tmp_path / "logs" / "x.log", tell=told.append)
    log.write(b"before")
    with files_bounded(len("before\nha")):
        for number in range(3):
            log.write(b"half a line %d" % number)
    assert log.dropped_lines == 3
    assert told == [f"cannot write to {log.path}: File too large"]
    log.write(b"after")
    log.close()
    assert told[1:] == [""]
    assert lines_of(log) == ["before", "ha", "(3 lines were dropped here: the disk did not take them)", "after"]


def test_a_log_that_cannot_even_be_made_is_no_reason_to_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told: list[str] = []
    log = BoundedLog(tmp_path / "file" / "x.log", tell=told.append)
    log.write(b"line")
    log.close()
    assert (log.dropped_lines, len(told)) == (1, 1)


CHATTING = """
import json
if %r:
    print(json.dumps({"level": "ERROR", "logger": "connectors.reader", "message": "offset 13 is gone"}))
for number in range(50):
    print(json.dumps({"level": "ERROR", "logger": "kafka.net.manager", "message": f"no node {number}"}))
"""


@pytest.mark.parametrize(("reason", "first"), [("known", "ERROR offset 13 is gone"), ("", "ERROR no node 38")])
def test_the_kafka_client_does_not_crowd_out_the_reason(log: BoundedLog, reason: str, first: str) -> None:
    async def scenario() -> list[str]:
        child = await start(log, CHATTING % reason, [])
        await child.wait()
        return child.last_lines()

    assert asyncio.run(scenario())[0] == first
    assert len(lines_of(log)) == 50 + bool(reason)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain words", "plain words"),
        (b'{"level": "INFO", "message": "took 3"}', "INFO took 3"),
        (b'{"message": "m", "exc_info": "Traceback\\nValueError: x"}', "m\n  ValueError: x"),
        (b'{"message": "ValueError: x", "exc_info": "Traceback\\nValueError: x"}', "ValueError: x"),
        (b"[1, 2]", "[1, 2]"),
        (b"\xff{", "\ufffd{"),
    ],
)
def test_readable(line: bytes, text: str) -> None:
    assert readable(line) == text


def test_parse_event_takes_objects_only() -> None:
    assert parse_event(b'{"a": 1}') == {"a": 1}
    assert parse_event(b"3") == {}
    assert parse_event(b"{") == {}


@pytest.mark.parametrize(("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "signal SIGKILL")])
def test_describe_exit(code: int, text: str) -> None:
    assert describe_exit(code) == text
