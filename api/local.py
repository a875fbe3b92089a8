"""What ``make run`` does on this machine: check, claim the folder, start, watch, stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from functools import partial

from api.broker_settings import broker_host
from api.checks import refuse_bad_settings, refuse_foreign_host
from api.child import python
from api.claim import claimed
from api.disk import room_reason
from api.local_settings import LocalSettings
from api.plan import BROKER, Plan
from api.ports import refuse_equal_ports, refuse_taken_port
from api.supervisor import GaveUp, Patience, Supervisor

ROOM_BYTES = 2 << 20
"""A process that died with less room than this on the disk is started again when there is: the flow's recovery store
takes a third of it even when it is empty."""


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
