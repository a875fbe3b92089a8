"""One process of ``make run``: its start in a process group of its own, its bounded log, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Any, Self

from api.disk import put, refusal
from api.guard import signal_group

LOG_MAX_BYTES = 5_000_000
"""A log file larger than this becomes NAME.log.1 and a new one begins: at most twice as much per process."""
TAIL_LINES = 12
CHATTER = b'"logger": "kafka'
"""In lines of the Kafka client: it tells a lost connection again and again, and crowds out why its process ended."""
LINE_MAX_BYTES = 65_536
DRAIN_S = 1.0
"""How long the output of an ended process is read on, in case a child of it still holds the pipe."""
ANNOUNCE = "announce"
"""A JSON log line with this field set is shown in the terminal too."""


class Shown(StrEnum):
    """Which of its lines a process has shown in the terminal; all of them go to its log."""

    ANNOUNCED = "announced"
    ALL = "all"


class BoundedLog:
    """A log file of at most ``max_bytes``, and one older of the same size.

    Lines that the disk refuses are dropped and counted: ``tell`` hears why at the first of them, and an empty reason
    when lines are written again. The log itself then says how many are missing.
    """

    def __init__(
        self, path: Path, max_bytes: int = LOG_MAX_BYTES, tell: Callable[[str], None] = lambda _reason: None
    ) -> None:
        self.path = path
        self.dropped_lines = 0
        self._max_bytes = max_bytes
        self._tell = tell
        self._file: FileIO | None = None
        with contextlib.suppress(OSError):  # the first line will tell
            self._file = self._open()

    def write(self, line: bytes) -> None:
        """Append one line."""
        try:
            self._append(line)
        except OSError as error:
            self.dropped_lines += 1
            if self.dropped_lines == 1:
                self._tell(refusal(error, self.path))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: bytes) -> None:
        file = self._file = self._file or self._open()
        if self.dropped_lines:
            put(file, b"\n(%d lines were dropped here: the disk did not take them)\n" % self.dropped_lines)
            self.dropped_lines = 0
            self._tell("")
        put(file, line + b"\n")
        if file.tell() >= self._max_bytes:
            self.close()
            self.path.replace(self.path.with_suffix(".log.1"))

    def _open(self) -> FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.open("ab", buffering=0)


class Child:
    """A running process. ``group`` is its process group, which its own children share."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: int,
        log: BoundedLog,
        show: Callable[[str], None],
        shown: Shown,
    ) -> None:
        self._process = process
        self._shown = shown
        self._output = output
        self._log = log
        self._show = show
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._chatter: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._wrote = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: BoundedLog,
        show: Callable[[str], None],
        shown: Shown = Shown.ANNOUNCED,
    ) -> Self:
        """Start ``command``; its output goes to ``log``, what is to be ``shown`` of it also to ``show``."""
        output, its_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its_end,
                stderr=its_end,
                env=dict(environment),
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(its_end)
        return cls(process, output, log, show, shown)

    @property
    def group(self) -> int:
        """Process group; the pid of the process, which leads it."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end of the process, end what is left of its group, and return the exit code (−signal)."""
        code = await self._process.wait()
        signal_group(self.group, signal.SIGKILL)
        await asyncio.wait({self._reading}, timeout=DRAIN_S)
        self._reading.cancel()
        await asyncio.wait({self._reading})
        return code

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to the process, SIGKILL to its group after ``grace_s`` or its end; returns when all are gone.

        Only the process itself is asked: it knows in which order to end its own children.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), grace_s)
        signal_group(self.group, signal.SIGKILL)
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to the group, now."""
        signal_group(self.group, signal.SIGKILL)

    def last_lines(self) -> list[str]:
        """The end of what it wrote, readable; what the Kafka client wrote only when nothing else was."""
        return [readable(line) for line in self._tail or self._chatter]

    async def until_wrote(self, part: str) -> None:
        """Wait for a line with this in it, one of the last that were written or one to come."""
        while not any(part.encode() in line for line in self._tail):
            self._wrote.clear()
            await self._wrote.wait()

    async def _read(self) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._output, "rb", buffering=0)
        )
        try:
            await self._take_lines(reader)
        finally:
            transport.close()

    async def _take_lines(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await reader.read(LINE_MAX_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)
            if len(rest) > LINE_MAX_BYTES:
                self._take(rest)
                rest = b""
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        self._log.write(line)
        (self._chatter if CHATTER in line else self._tail).append(line)
        self._wrote.set()
        if self._shown is Shown.ALL:
            self._show(line.decode(errors="replace"))
        elif ANNOUNCE.encode() in line:
            event = parse_event(line)
            if event.get(ANNOUNCE) is True:
                self._show(str(event.get("message", "")))


def parse_event(line: bytes) -> dict[str, Any]:
    """The fields of a JSON log line; empty for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def readable(line: bytes) -> str:
    """A JSON log line as level, message and the last line of its traceback; any other line as it is."""
    event = parse_event(line)
    if "message" not in event:
        return line.decode(errors="replace")
    text = f"{event.get('level', '')} {event['message']}".strip()
    trace = str(event.get("exc_info") or "").strip().splitlines()
    return f"{text}\n  {trace[-1]}" if trace and trace[-1] not in text else text


def describe_exit(code: int) -> str:
    """An exit code for people."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def python(module: str) -> tuple[str, ...]:
    """The command that runs a module with this interpreter."""
    return (sys.executable, "-m", module)
