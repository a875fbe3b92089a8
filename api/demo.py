"""The demo source of ``make run``: this machine's metrics and a small simulated shop, by real remote write."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time

from connectors.process import collect_garbage, leave_out

if __name__ == "__main__":
    gc.disable()  # until ``collect_garbage``
    leave_out("httpx._main")

import httpx
from prometheus_client import CollectorRegistry, Gauge

from api.child import ANNOUNCE
from api.demo_settings import DemoSettings
from api.machine import ProcessTable, read_machine
from api.push import Outbox
from api.sample import Sample
from api.shop import FAULT_S, Fault, Shop
from connectors.answers import SILENT_S
from connectors.probes import Component, Probes, down_if
from connectors.startup import start_process

log = logging.getLogger(__name__)

PROCESSES_EVERY = 5
"""Looking at every process costs more than all the rest, so it is done every so many pushes."""
BEHIND = 5
"""Bodies waiting from which on a problem is worth a line in the log."""


class Source:
    """Everything that the demo pushes, read at a given time."""

    def __init__(self, start_s: float) -> None:
        self.shop = Shop(start_s)
        self._processes = ProcessTable()
        self._reads = 0

    def read(self, time_s: float) -> list[Sample]:
        """All samples of now; the processes only every ``PROCESSES_EVERY`` reads."""
        processes = self._processes.read() if self._reads % PROCESSES_EVERY == 0 else []
        self._reads += 1
        return [*self.shop.advance(time_s), *read_machine(), *processes]


def announce(before: Fault | None, now: Fault | None) -> None:
    """Tell on the log, and so in the terminal of ``make run``, that a fault began or ended."""
    if now == before:
        return
    if now is not None:
        fields = {"kind": now.kind.value, "service": now.service, ANNOUNCE: True}
        log.info("demo: fault %s for %g s: %s", now.kind.value, FAULT_S, now.says, extra=fields)
    elif before is not None:
        fields = {"kind": before.kind.value, "service": before.service, ANNOUNCE: True}
        log.info("demo: fault %s is over", before.kind.value, extra=fields)


def serve_probes(settings: DemoSettings, outbox: Outbox) -> None:
    """Ready while ingest takes what is pushed; the counters of the outbox on /metrics."""
    registry = CollectorRegistry()
    bodies = {"accepted": lambda: outbox.accepted, "refused": lambda: outbox.dropped_refused}
    bodies |= {"dropped": lambda: outbox.dropped_full, "waiting": lambda: len(outbox)}
    gauge = Gauge("tocsin_demo_bodies", "remote-write bodies by what became of them", ["outcome"], registry=registry)
    for outcome, count in bodies.items():
        gauge.labels(outcome).set_function(count)

    def components() -> dict[str, Component]:
        return {"ingest": down_if(outbox.trouble(time.monotonic(), settings.demo_interval_s + SILENT_S))}

    Probes(settings.host, settings.demo_port, registry, components)


def push_once(source: Source, outbox: Outbox) -> None:
    """Read everything, queue it, send what can be sent."""
    before = source.shop.fault
    now_s = time.time()
    outbox.put(source.read(now_s), int(now_s * 1000))
    outbox.flush(time.monotonic())
    announce(before, source.shop.fault)
    if len(outbox) == BEHIND:
        log.warning("ingest does not take what the demo pushes: %s", outbox.last_problem)


def run(settings: DemoSettings, stopping: threading.Event) -> None:
    """Push once an interval until asked to stop; a push that took longer is followed by the next whole interval."""
    source = Source(time.time())
    with httpx.Client(trust_env=False) as client:
        outbox = Outbox(client, settings.url)
        serve_probes(settings, outbox)
        next_s = time.monotonic()
        while not stopping.wait(max(0.0, next_s - time.monotonic())):
            push_once(source, outbox)
            next_s = max(next_s + settings.demo_interval_s, time.monotonic())
    log.info(
        "stopped: %d bodies accepted, %d refused, %d dropped",
        outbox.accepted,
        outbox.dropped_refused,
        outbox.dropped_full,
    )


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    settings = start_process("demo", DemoSettings)
    collect_garbage()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    run(settings, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
