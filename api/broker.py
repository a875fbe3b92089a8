"""The process of the embedded broker: start it, create the topics, restore and keep the detectors, watch its bound.

The broker holds all records in memory only. What must outlive it, the detector log, is kept in a journal under
``TOCSIN_HOME`` and written back at the start.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    gc.disable()  # until ``collect_garbage``

from prometheus_client import CollectorRegistry, Gauge

from api.broker_settings import BrokerSettings, broker_home, broker_host
from api.child import ANNOUNCE
from api.default_detectors import first_revisions
from api.disk import refusal
from api.embedded import EmbeddedBroker
from api.journal import FILE_NAME, KEPT, Journal, Keeper, publish
from connectors.clock import wall_clock_ms
from connectors.errors import TocsinError, Unavailable
from connectors.probes import OK, Component, Probes, degraded_if, down_if
from connectors.process import collect_garbage
from connectors.settings import KafkaSettings, read_settings
from connectors.startup import start_process
from connectors.topics import create_topics_anew

log = logging.getLogger(__name__)

LOOK_MS = 1_000
"""Time between two looks at what the broker holds: at 100 MB/s in, the bound is overrun by 100 MB at most."""


def bring_back(kafka: KafkaSettings, journal: Journal, time_ms: int) -> int:
    """Fill the fresh broker's detector log from the journal, at the first start from the defaults.

    Returns the offset after them.
    """
    revisions = journal.load()
    if not revisions:
        if journal.path.exists():
            log.warning("%s holds no revision: back to the default detectors", journal.path, extra={ANNOUNCE: True})
        revisions = first_revisions(time_ms)
        journal.append(revisions)
    log.info("%d detector revisions written to the fresh broker", len(revisions))
    return publish(kafka, revisions)


class Watch:
    """What is known of a running broker: whether it is full, whether it answers, and whether its detectors are back."""

    def __init__(self, broker: EmbeddedBroker, journal: Journal, registry: CollectorRegistry) -> None:
        self._broker = broker
        self._journal = journal
        self._unkept = ""
        self._full_reason = ""
        self.keeper: Keeper | None = None
        held = Gauge("tocsin_broker_held_bytes", "memory and disk of the embedded broker", registry=registry)
        bound = Gauge("tocsin_broker_bound_bytes", "beyond it ingest answers 429", registry=registry)
        held.set_function(self._held_bytes)
        bound.set(broker.bound_bytes)

    def components(self) -> dict[str, Component]:
        """State for the probes; a full broker is told by /metrics and by ingest, it is no reason to restart.

        The api asks before each change of a detector, so what it is told of the disk must hold now.
        """
        if self.keeper is None:
            return {"broker": OK, KEPT: down_if("the detectors are not written back yet")}
        unkept = self._unkept or _unkept(self._journal.room_reason())
        return {"broker": down_if(self.keeper.missing_reason()), KEPT: degraded_if(unkept)}

    def until_stopped(self, keeper: Keeper, stopping: threading.Event) -> int:
        """Look after broker and journal until asked to stop; returns the exit code."""
        self.keeper = keeper
        while not stopping.is_set():
            self._keep(keeper, stopping)
            if self._broker.poll() is not None:
                log.error("the broker ended with code %s:\n%s", self._broker.poll(), self._broker.log_end())
                return 1
            self._look()
        try:
            keeper.finish()
        except Unavailable as error:
            log.critical("%s: the last changes of detectors are lost", error, extra={ANNOUNCE: True})
        return 0

    def _keep(self, keeper: Keeper, stopping: threading.Event) -> None:
        """Keep what comes; a disk that does not take it is said once, and tried again: to end would forget all."""
        was = self._unkept
        try:
            keeper.keep(LOOK_MS)
            self._unkept = _unkept(self._journal.room_reason())
        except Unavailable as error:
            self._unkept = _unkept(str(error))
            stopping.wait(LOOK_MS / 1000)
        if self._unkept and not was:
            log.error("%s", self._unkept, extra={ANNOUNCE: True})
        elif was and not self._unkept:
            log.warning("there is room again: detectors are kept", extra={ANNOUNCE: True})

    def _look(self) -> None:
        was, self._full_reason = self._full_reason, self._broker.check_bound()
        if self._full_reason and not was:
            log.warning("%s", self._full_reason, extra={ANNOUNCE: True})

    def _held_bytes(self) -> int:
        usage = self._broker.usage()
        return usage.memory_bytes + usage.disk_bytes


def _unkept(reason: str) -> str:
    """What a reason of the disk means."""
    return f"{reason}: detectors cannot be kept, so changes of them are refused until there is room" if reason else ""


def serve(settings: BrokerSettings, stopping: threading.Event) -> int:
    """Everything from start to stop; returns the exit code, raises ``TocsinError``."""
    home = settings.home.absolute()
    host = broker_host(settings.host)
    broker = EmbeddedBroker(settings.broker_port, broker_home(home), host, settings.broker_bound_bytes)
    registry = CollectorRegistry()
    journal = Journal(home / FILE_NAME)
    watch = Watch(broker, journal, registry)
    Probes(settings.host, settings.broker_probe_port, registry, watch.components)
    broker.start()
    try:
        kafka = read_settings(KafkaSettings).model_copy(update={"kafka": broker.bootstrap})
        for line in create_topics_anew(kafka):
            log.info("%s", line)
        start = bring_back(kafka, journal, wall_clock_ms())
        log.info("ready; records are in memory only and forgotten at the stop, detectors are in %s", journal.path)
        return watch.until_stopped(Keeper(kafka, journal, start), stopping)
    finally:
        broker.stop()


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    settings = start_process("broker", BrokerSettings)
    collect_garbage()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        return serve(settings, stopping)
    except TocsinError as error:
        log.critical("%s", error)
        return 1
    except OSError as error:
        log.critical("TOCSIN_HOME: %s", refusal(error, Path(error.filename or settings.home)))
        return 1


if __name__ == "__main__":
    sys.exit(main())
