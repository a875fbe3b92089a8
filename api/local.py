"""What ``make run`` starts on this machine, and the checks before it: one run per folder, free ports."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from api.broker_settings import BrokerSettings, broker_host
from api.child import Shown, python
from api.demo_settings import DemoSettings
from api.disk import room_reason
from api.settings import ApiSettings
from api.socket_messages import TAIL_SUBSCRIBED
from api.supervisor import GaveUp, Patience, Service, Supervisor
from connectors.errors import TocsinError
from connectors.ingest_settings import IngestSettings
from connectors.logs import LogSettings
from connectors.settings import NamedPath, Servers, Settings, authority, is_ipv6, read_settings
from flows.settings import FlowSettings

CLEANUP_S = 15.0
"""After a ``kill -9`` of a run its guard needs up to this long to end what it left."""

ROOM_BYTES = 2 << 20
"""A process that died with less room than this on the disk is started again when there is: the flow's recovery store
takes a third of it even when it is empty."""

BROKER_STATUS = Path("broker") / "broker-status.json"
"""Where the broker's process says whether it is full (``api.broker``, which this process does not import: Kafka
clients are 40 MB)."""

BROKER = "broker"

Port = Annotated[int, Field(ge=1, le=65_535)]


class LocalSettings(Settings):
    """Where ``make run`` keeps its data, where its processes listen, and how patient it is."""

    home: Annotated[NamedPath, Field(description="folder of logs, recovery store and detectors")] = Path(".tocsin")
    host: Annotated[str, Field(min_length=1, description="address to listen on")] = "127.0.0.1"
    kafka: Annotated[Servers | None, Field(description="a real Kafka instead of the embedded broker")] = None
    api_port: Annotated[Port, Field(description="port of REST, WebSocket and probes")] = 8000
    ingest_port: Annotated[Port, Field(description="port of remote write")] = 8001
    flow_port: Annotated[Port, Field(description="port of the flow's probes")] = 8002
    demo_port: Annotated[Port, Field(description="port of the demo source's probes")] = 8003
    broker_port: Annotated[Port, Field(description="port of the embedded broker")] = 9092
    broker_probe_port: Annotated[Port, Field(description="port of the embedded broker's probes")] = 8004
    ready_timeout_s: Annotated[float, Field(gt=0, description="a process not ready by then is started again")] = 120.0
    stop_grace_s: Annotated[float, Field(gt=0, description="time to end before a process is killed")] = 10.0
    restarts: Annotated[int, Field(ge=0, description="deaths in a row after which make run gives up")] = 5
    restart_pause_s: Annotated[float, Field(gt=0, description="first pause before a restart; it doubles")] = 1.0


class Listener(NamedTuple):
    """A port that a process will want, and the setting that moves it."""

    name: str
    port: int
    variable: str


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
            "PYTHONUNBUFFERED": "1",
            "RUST_BACKTRACE": "0",  # frames of Bytewax and Python, which would push the reason out of the log's end
        }
        embedded = {
            "TOCSIN_BROKER_STATUS_FILE": str(self.home / BROKER_STATUS),
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
        return [LogSettings, *broker, IngestSettings, FlowSettings, ApiSettings, *demo]

    def broker(self) -> Service:
        """The embedded broker, which also creates the topics and brings the detectors back."""
        s = self.settings
        ready_url = f"{self.url(s.broker_probe_port)}/ready"
        address = f"{self.bootstrap} (embedded: keeps records in memory, forgets them at the stop)"
        command = python("api.broker")
        return Service(BROKER, command, address, ready_url, self.environment, renews=("ingest", "flow", "api"))

    def services(self) -> list[Service]:
        """What works on the topics; these start side by side."""
        s = self.settings
        return [
            self._serving("ingest", "connectors.ingest", s.ingest_port, "/api/v1/write takes remote write"),
            self._serving("flow", "flows.run", s.flow_port, "/health, /metrics"),
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

    def _serving(self, name: str, module: str, port: int, what: str) -> Service:
        url = self.url(port)
        return Service(name, python(module), url + what, f"{url}/ready", self.environment)


def say(text: str) -> None:
    """One line, or one paragraph, to the terminal."""
    print(text, flush=True)


def run(settings: LocalSettings, demo: bool) -> int:
    """Start everything, watch it until a signal or until it gives up; returns the exit code.

    Raises ``TocsinError`` before anything is started: a setting that a process would refuse, a foreign address, an
    unusable folder, another run in it, a port that is taken or wanted twice.
    """
    plan = Plan(settings, demo)
    refuse_bad_settings(plan.settings_classes())
    refuse_foreign_host(settings.host)
    refuse_equal_ports(plan.listeners())
    with claimed(plan.home) as lock:
        for listener in plan.listeners():
            host = broker_host(settings.host) if listener.name == BROKER else settings.host
            refuse_taken_port(host, listener)
        return asyncio.run(_run(plan, lock))


async def _run(plan: Plan, lock: int) -> int:
    s = plan.settings
    patience = Patience(s.ready_timeout_s, s.stop_grace_s, s.restarts, s.restart_pause_s)
    room = partial(room_reason, plan.home, ROOM_BYTES)
    supervisor = Supervisor(plan.home / "logs", patience, say, keep_open=[lock], room_reason=room)
    work = asyncio.create_task(_work(plan, supervisor))
    _end_on_signals(work, supervisor)
    try:
        code = await _outcome(work)
    finally:
        await supervisor.stop()
    say("stopped")
    return code


async def _outcome(work: asyncio.Task[None]) -> int:
    """Exit code: 0 when a signal ended the work, 1 when it gave up, and says why."""
    try:
        await work
    except asyncio.CancelledError:
        say("stopping")
        return 0
    except BaseExceptionGroup as group:
        reasons, others = group.split(GaveUp)
        if others is not None:
            raise
        for reason in leaves(reasons):
            say(f"error: {reason}")
    return 1


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    """The single errors of a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    elif error is not None:
        yield error


def _end_on_signals(work: asyncio.Task[None], supervisor: Supervisor) -> None:
    """The first signal stops, the second one kills."""

    def on_signal() -> None:
        if work.cancelling() or work.done():
            supervisor.kill()
        work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def _work(plan: Plan, supervisor: Supervisor) -> None:
    """Everything between the checks and the stop."""
    async with asyncio.TaskGroup() as tasks:
        if plan.settings.kafka is None:
            await supervisor.start(plan.broker(), tasks)
        else:
            say(f"waiting for Kafka at {plan.bootstrap} (TOCSIN_KAFKA)")
            await supervisor.run_step("topics", python("connectors.topics"), plan.environment)
            await supervisor.run_step("detectors", python("api.default_detectors"), plan.environment)
        async with asyncio.TaskGroup() as starting:
            for service in plan.services():
                starting.create_task(supervisor.start(service, tasks))
        if plan.demo:
            await supervisor.start(plan.source(), tasks)
        await supervisor.start(plan.tail(), tasks)
        say(f"all is ready; logs are in {plan.home / 'logs'}; Ctrl-C stops everything")


@contextlib.contextmanager
def claimed(home: Path) -> Iterator[int]:
    """Hold the folder for this run; yields the descriptor of the lock, which the guard keeps open too.

    Raises ``TocsinError`` for a folder that cannot be made or written, or that another run holds.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        message = f"TOCSIN_HOME={home}: not a folder that can be written to ({error.strerror}): name another one"
        raise TocsinError(message) from error
    try:
        _lock(descriptor, home)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    """Take the lock; wait only for the guard of a run that was killed."""
    deadline = time.monotonic() + CLEANUP_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode() or "?"
            if _lives(holder) or time.monotonic() > deadline:
                message = (
                    f"process {holder} already runs Tocsin in {home}: stop it, or set TOCSIN_HOME to another folder"
                )
                raise TocsinError(message) from error
            time.sleep(0.1)
        else:
            return


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def refuse_bad_settings(classes: Iterable[type[Settings]]) -> None:
    """Raise ``TocsinError`` with a line for each variable that one of the processes would refuse."""
    lines: dict[str, None] = {}
    for settings in classes:
        try:
            read_settings(settings)
        except TocsinError as error:
            lines.update(dict.fromkeys(str(error).splitlines()))
    if lines:
        raise TocsinError("\n".join(lines))


def refuse_foreign_host(host: str) -> None:
    """Raise ``TocsinError`` unless one can listen on this address at all."""
    try:
        family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        message = f"TOCSIN_HOST={host}: not an address of this machine ({error}): set it to one, such as 127.0.0.1"
        raise TocsinError(message) from error


def refuse_equal_ports(listeners: Iterable[Listener]) -> None:
    """Raise ``TocsinError`` when two processes are told the same port."""
    taken: dict[int, Listener] = {}
    for listener in listeners:
        other = taken.setdefault(listener.port, listener)
        if other is not listener:
            message = (
                f"{other.variable} and {listener.variable} are both {listener.port}: "
                f"{other.name} and {listener.name} need a port each"
            )
            raise TocsinError(message)


def refuse_taken_port(host: str, listener: Listener) -> None:
    """Raise ``TocsinError`` that names port and variable unless the port can be bound."""
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, listener.port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            where, remedy = _held(host, listener.port) if taken else (f"not to be had ({error.strerror}) on {host}", "")
            message = (
                f"port {listener.port} of {listener.name} is {where}: {remedy}set {listener.variable} to a free port"
            )
            raise TocsinError(message) from error


def _held(host: str, port: int) -> tuple[str, str]:
    """Where and by whom a port is taken, and what to do about it."""
    from api.leftovers import described, holder  # with psutil, which who has its ports free does not need

    process = holder(port)
    if process is None:
        return f"taken on {host}", "end what listens there, or "
    who, remedy = described(process)
    return f"taken on {host} by {who}", f"{remedy}, or "
