"""Keeps a set of processes running: start in order, wait until ready, name the dead, start them again, stop all."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from api.child import BoundedLog, Child, Shown, describe_exit
from api.tether import Tether
from connectors.errors import TocsinError

LOOK_S = 0.1
"""Time between two questions for readiness, while a process starts; a running one is not asked."""
ROOM_LOOK_S = 1.0
STEADY_S = 60.0
"""A process that lived so long died of something new: its deaths are counted afresh."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process. ``address`` is what a person wants to know of it.

    It is ready once ``ready_url`` answers 200 or, when there is none, once it wrote a line with ``ready_line`` in it.
    """

    name: str
    command: tuple[str, ...]
    address: str
    ready_url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: Shown = Shown.ANNOUNCED
    ready_line: str = ""
    renews: tuple[str, ...] = ()
    """Processes that must start afresh when this one did, because it forgets."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what. ``restart_pause_s`` doubles with each death in a row."""

    ready_timeout_s: float = 120.0
    stop_grace_s: float = 10.0
    restarts: int = 5
    restart_pause_s: float = 1.0


class GaveUp(TocsinError):  # noqa: N818 - as the other verdicts of the error tree
    """A process died too often, or a step that all others need failed."""


class Supervisor:
    """Starts and watches services until cancelled; ``stop`` ends them all, last started first.

    ``room_reason`` tells why there is too little room on the disk for a process to start, or nothing.
    """

    def __init__(
        self,
        logs: Path,
        patience: Patience,
        show: Callable[[str], None],
        keep_open: Sequence[int],
        room_reason: Callable[[], str] = lambda: "",
    ) -> None:
        self._logs = logs
        self._room_reason = room_reason
        self._refused_logs: set[str] = set()
        self._patience = patience
        self._show = show
        self._children: dict[str, Child] = {}
        self._renewed: set[str] = set()
        self._needed: set[str] = set()
        self._open_logs: dict[str, BoundedLog] = {}
        self.tether = Tether(keep_open, show)

    async def run_step(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a command to its end; raises ``GaveUp`` with the end of its output when it fails."""
        child = await self._start(Service(name, tuple(command), "", "", environment))
        code = await self._wait(name, child)
        if code != 0:
            message = f"{name} failed with {describe_exit(code)}:\n{indent(child.last_lines())}"
            raise GaveUp(message)

    async def start(self, service: Service, tasks: asyncio.TaskGroup) -> None:
        """Start a service, watch it in ``tasks``, and return when it is ready for the first time."""
        if service.renews:
            self._needed.add(service.name)
        ready = asyncio.Event()
        tasks.create_task(self._keep(service, ready), name=service.name)
        await ready.wait()

    async def stop(self) -> None:
        """Stop everything: at once all that nothing depends on, then the others; at last the guard."""
        try:
            await self._stop(name for name in self._children if name not in self._needed)
            await self._stop(self._children)
            for log in self._open_logs.values():
                log.close()
        finally:
            await self.tether.release()

    async def _stop(self, names: Iterable[str]) -> None:
        children = {name: self._children[name] for name in names}
        await asyncio.gather(*(child.stop(self._patience.stop_grace_s) for child in children.values()))
        for name, child in children.items():
            self._forget(name, child)

    def kill(self) -> None:
        """End everything at once: the user asked twice."""
        for child in self._children.values():
            child.kill()

    async def _keep(self, service: Service, first_ready: asyncio.Event) -> None:
        deaths = 0
        while True:
            started_s = asyncio.get_running_loop().time()
            code, child = await self._live(service, first_ready)
            if service.name in self._renewed:
                self._renewed.discard(service.name)
                continue
            lived_s = asyncio.get_running_loop().time() - started_s
            deaths = 1 if lived_s >= STEADY_S else deaths + 1
            deaths = await self._mourn(service, child, code, deaths)

    async def _mourn(self, service: Service, child: Child, code: int, deaths: int) -> int:
        """Say who died and how; wait before the next start, or give up. Returns how many deaths in a row count."""
        found = f"{service.name} died with {describe_exit(code)}; the end of {self._path(service.name)}:"
        self._show(f"{found}\n{indent(child.last_lines())}")
        if await self._until_room(service):
            return 0
        if deaths > self._patience.restarts:
            message = f"{service.name} died {deaths} times in a row: giving up"
            raise GaveUp(message)
        pause_s = self._patience.restart_pause_s * 2 ** (deaths - 1)
        self._show(f"{service.name} starts again in {pause_s:g} s ({deaths} of {self._patience.restarts})")
        await asyncio.sleep(pause_s)
        return deaths

    async def _until_room(self, service: Service) -> bool:
        """Whether the disk was full, which no restart mends: then it is waited for."""
        reason = self._room_reason()
        if reason:
            self._show(f"{reason}: {service.name} starts again when there is room")
            while self._room_reason():  # noqa: ASYNC110 - no disk tells
                await asyncio.sleep(ROOM_LOOK_S)
        return bool(reason)

    async def _live(self, service: Service, first_ready: asyncio.Event) -> tuple[int, Child]:
        """One life of a process: its exit code and itself."""
        child = await self._start(service)
        waiting = asyncio.create_task(self._say_ready(service, child, first_ready))
        try:
            return await self._wait(service.name, child), child
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

    async def _say_ready(self, service: Service, child: Child, first_ready: asyncio.Event) -> None:
        """Wait until it is ready, and say so; one that is not in time is ended, which its keeper sees."""
        try:
            async with asyncio.timeout(self._patience.ready_timeout_s):
                await (until_ready(service.ready_url) if service.ready_url else child.until_wrote(service.ready_line))
        except TimeoutError:
            self._show(f"{service.name} was not ready within {self._patience.ready_timeout_s:g} s: ending it")
            child.kill()
            return
        again = " again" if first_ready.is_set() else ""
        self._show(f"{service.name:<7} ready{again}  {service.address}")
        if again:
            await self._renew(service)
        first_ready.set()

    async def _renew(self, service: Service) -> None:
        stale = {name: self._children[name] for name in service.renews if name in self._children}
        self._renewed.update(stale)
        for name in stale:
            self._show(f"{name} starts afresh, because {service.name} did and forgets")
        await asyncio.gather(*(child.stop(self._patience.stop_grace_s) for child in stale.values()))

    async def _start(self, service: Service) -> Child:
        name = service.name
        if name not in self._open_logs:
            self._open_logs[name] = BoundedLog(self._path(name), tell=partial(self._log_refused, name))
        log = self._open_logs[name]
        environment = {**os.environ, **service.environment}
        child = await Child.start(service.command, environment, log, self._show, service.shown)
        self.tether.hold(child.group)
        self._children[service.name] = child
        return child

    async def _wait(self, name: str, child: Child) -> int:
        code = await child.wait()
        self._forget(name, child)
        return code

    def _forget(self, name: str, child: Child) -> None:
        if self._children.get(name) is child:
            del self._children[name]
            self.tether.let_go(child.group)

    def _log_refused(self, name: str, reason: str) -> None:
        """Say that a log cannot be written, once for all logs: it is the same disk."""
        if reason and not self._refused_logs:
            self._show(f"{reason}: lines of logs are dropped until there is room")
        (self._refused_logs.add if reason else self._refused_logs.discard)(name)

    def _path(self, name: str) -> Path:
        return self._logs / f"{name}.log"


async def until_ready(url: str) -> None:
    """Ask until the answer is 200."""
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(LOOK_S)


def indent(lines: Sequence[str]) -> str:
    """The end of a log, set off from our own words."""
    return "\n".join(f"    {part}" for line in lines for part in line.splitlines()) or "    (it wrote nothing)"
