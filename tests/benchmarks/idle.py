"""``python -m tests.benchmarks.idle [--seconds 60] [--json]``: what ``make run`` costs while nothing comes.

The real processes, without the demo source. Counted is the time of every process of the run, in per cent of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.benchmarks.host import watch_host
from tests.local_runs import Run

SECONDS = 60.0
SETTLE_S = 60.0
"""Until the topics are read, the default detectors told of, and what is done once after the start is done."""
TARGET_PERCENT = 5.0
ALL = "all"


def cpu_s(run: Run) -> dict[str, float]:
    """CPU seconds of each process of the run so far."""
    found: dict[str, float] = {}
    for pid in {run.process.pid, *run.descendants()}:
        process = psutil.Process(pid)
        times = process.cpu_times()
        found[name_of(process.cmdline(), pid)] = times.user + times.system
    return found


def name_of(command: Sequence[str], pid: int) -> str:
    """The module that a process runs, else its program; two of one module are told apart by their pids."""
    if "-m" in command:
        return f"{command[command.index('-m') + 1]} {pid}"
    return f"{Path(command[0]).name if command else '?'} {pid}"


def percent(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Per cent of a core by process, the most first, and of all. Raises ``RuntimeError`` if one ended or began."""
    if before.keys() != after.keys():
        message = f"processes ended or began: {sorted(before.keys() ^ after.keys())}"
        raise RuntimeError(message)
    taken = {name: 100.0 * (after[name] - before[name]) / seconds for name in after}
    ordered = dict(sorted(taken.items(), key=lambda item: -item[1]))
    return {ALL: sum(taken.values()), **ordered}


def run(seconds: float) -> dict[str, float]:
    """Start everything, let it settle, and watch."""
    with tempfile.TemporaryDirectory() as folder:
        started = Run(Path(folder) / "home", "--no-demo")
        try:
            started.until_printed("all is ready")
            time.sleep(SETTLE_S)
            before, begin_s, stolen_share = cpu_s(started), time.monotonic(), watch_host()
            time.sleep(seconds)
            taken = percent(before, cpu_s(started), time.monotonic() - begin_s)
            return {**taken, "stolen_percent": 100 * stolen_share()}
        finally:
            started.end()


def main(arguments: Sequence[str]) -> int:
    """Run and print; 1 if the target is missed."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.idle")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = run(chosen.seconds)
    if chosen.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:32} {value:6.2f} %" for name, value in found.items()))
    return int(found[ALL] > TARGET_PERCENT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
