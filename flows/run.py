"""``python -m flows.run [logs] [bytewax options]``: prepare the recovery store, then become the flow.

It is the flow of metrics, or that of logs.

The store is bound to the broker: offsets mean something only to the broker that gave them. A store that belongs to
another broker, to another incarnation of the topic, or to a Tocsin that keeps stores of another version, is set aside
and never resumed; the latest three are kept. In a
cluster (``-i N -a host:port;host:port``) process 0 prepares and the others wait for it.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from runpy import run_module

from connectors.process import leave_out

if __name__ == "__main__":
    gc.disable()  # until ``collect_garbage``, when the flow is built
    leave_out("coverage")

from bytewax.recovery import init_db_dir

from connectors.errors import TocsinError, Unavailable
from connectors.startup import start_process
from connectors.topics import topic_identity
from flows.saved import VERSION
from flows.settings import FlowSettings, MiningSettings

STORE_VERSION = 2
LABEL = "tocsin.json"
PAGE_BYTES = 65_536
"""SQLite's largest. A snapshot is megabytes: in pages of 4 kB, its default, writing one took three times as long."""
WAIT_S = 60.0
OF_BROKER, OF_VERSION = "of-another-broker", "of-another-version"
METRICS, LOGS = "metrics", "logs"
SETTINGS: dict[str, type[FlowSettings | MiningSettings]] = {METRICS: FlowSettings, LOGS: MiningSettings}
"""Of each flow; its dataflow is built by the module of its name."""
PROCESS = {METRICS: "flow", LOGS: "logs"}
"""What its log says that it is."""
KEPT_ASIDE = 3
"""The embedded broker forgets at every stop, so a store is set aside at every start of ``make run``."""

_log = logging.getLogger(__name__)


def prepare(store: Path, identity: str, now: datetime, parts: int = 1) -> None:
    """Leave a recovery store at ``store`` that belongs to the broker ``identity``."""
    found = _label(store)
    if found == _expected(identity):
        return
    if store.exists():
        why, text = _strangeness(found, identity)
        aside = store.with_name(f"{store.name}.{why}.{now:%Y%m%dT%H%M%S%f}")
        store.rename(aside)
        _log.warning("recovery store %s %s: set aside as %s", store, text, aside)
    for old in sorted(store.parent.glob(f"{store.name}.of-another-*"), key=lambda path: path.suffix)[:-KEPT_ASIDE]:
        shutil.rmtree(old)
    fresh = store.with_name(f"{store.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    init_db_dir(fresh, parts)
    for part in fresh.glob("*.sqlite3"):
        _enlarge_pages(part)
    (fresh / LABEL).write_text(json.dumps(_expected(identity)))
    fresh.rename(store)  # whole or not at all, wherever we are killed


def _strangeness(found: object, identity: str) -> tuple[str, str]:
    """What a store with this label is, as part of a name and in words."""
    match found:
        case {"version": version, **others}:
            mine, its = f"{STORE_VERSION}.{VERSION}", f"{version}.{others.get('snapshots', 'old')}"
            if its == mine:
                return OF_BROKER, f"belongs to another broker ({found}, now {identity})"
            return OF_VERSION, f"is of version {its}, and this Tocsin keeps version {mine}"
    return OF_VERSION, f"has no label {LABEL} that can be read"


def _enlarge_pages(database: Path) -> None:
    """Rewrite a database, empty still, in large pages; they cannot change while it keeps a write-ahead log."""
    with closing(sqlite3.connect(database)) as store:
        for line in ("journal_mode = DELETE", f"page_size = {PAGE_BYTES}"):
            store.execute(f"PRAGMA {line}")
        store.execute("VACUUM")
        store.execute("PRAGMA journal_mode = WAL")


def _expected(identity: str) -> dict[str, object]:
    return {"version": STORE_VERSION, "snapshots": VERSION, "broker": identity}


def _label(store: Path) -> object:
    try:
        return json.loads((store / LABEL).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def await_store(store: Path, identity: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until process 0 has prepared the store; raises ``Unavailable``."""
    deadline_s = time.monotonic() + WAIT_S
    while _label(store) != _expected(identity):
        if time.monotonic() > deadline_s:
            message = f"recovery store {store}: process 0 did not prepare it within {WAIT_S} s"
            raise Unavailable(message)
        sleep(0.1)


def arguments(flow: str, settings: FlowSettings | MiningSettings, options: Sequence[str]) -> list[str]:
    """What bytewax is to be told, as on its command line."""
    recovery = ["-r", str(settings.recovery), "-s", str(settings.flow_snapshot_interval_s), "-b", "0"]
    return [f"flows.{flow}:build()", *recovery, *options]


def process_id(options: Sequence[str]) -> int:
    """Which process of a cluster this is; 0 outside one."""
    parser = argparse.ArgumentParser(add_help=False)  # as bytewax reads it: -i1, --process-id=1, --process 1
    parser.add_argument("-i", "--process-id", type=int, default=int(os.environ.get("BYTEWAX_PROCESS_ID", "0")))
    known, _ = parser.parse_known_args(options)
    return int(known.process_id)


def main(options: Sequence[str]) -> int:
    """Prepare, then run the flow for as long as it runs; returns 1, having said why, when that cannot be."""
    flow, options = (LOGS, options[1:]) if options[:1] == [LOGS] else (METRICS, options)
    settings = start_process(PROCESS[flow], SETTINGS[flow])
    try:
        identity = topic_identity(settings, settings.input)
        if process_id(options) == 0:
            prepare(settings.recovery, identity, datetime.now(UTC))
        else:
            await_store(settings.recovery, identity)
    except TocsinError as error:
        _log.critical("%s", error)
        return 1
    except OSError as error:
        _log.critical("TOCSIN_HOME=%s: the recovery store cannot be kept there: %s", settings.home, error)
        return 1
    sys.argv[1:] = arguments(flow, settings, options)
    run_module("bytewax.run", run_name="__main__", alter_sys=True)  # nothing needs to be imported once more
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
