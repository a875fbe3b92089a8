"""``python -m tests.benchmarks.injection cpu|disk|network [--seconds 60] [--folder F]``: load of one kind on this host.

CPU keeps every core busy; disk writes and syncs a file, network moves 100 MB/s through the loopback device, which take
some tenths of a core besides.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from connectors.anomaly import Anomaly
from tests.brokers import ROOT

SECONDS = 60.0
BLOCK = bytes(1 << 20)
BLOCKS_PER_SYNC, BLOCKS_PER_FILE = 4, 256
BYTES_PER_S = 100e6

OWN: Mapping[str, re.Pattern[str]] = {
    "cpu": re.compile(r"node_(cpu_seconds_total|load\d+|pressure_cpu_.*|procs_running|schedstat_.*)"),
    "disk": re.compile(
        r"node_(disk_.*|pressure_io_.*|vmstat_pgpgout|procs_blocked|memory_(Dirty|Writeback)_bytes|filesystem_.*)"
    ),
    "network": re.compile(r"node_(network_.*|netstat_.*|sockstat_.*|softnet_.*|udp_.*)"),
}
"""Names of the metrics that tell of each kind of load."""


def tells_of(load: str, anomaly: Anomaly) -> bool:
    """Whether an anomaly is on a metric that tells of this load; a wait for the disk tells of the disk, not of CPU."""
    labels = anomaly.signal.labels
    if labels.get("mode") == "iowait":
        return load == "disk"
    return OWN[load].fullmatch(labels["__name__"]) is not None


def burn(seconds: float, _folder: Path) -> None:
    """Keep every core busy."""
    busy = [multiprocessing.Process(target=_spin, args=(seconds,)) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    for process in busy:
        process.join()


def _spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def write(seconds: float, folder: Path) -> None:
    """Write a file over and over, and wait each time until the disk has it."""
    until = time.monotonic() + seconds
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        blocks = 0
        while time.monotonic() < until:
            for _ in range(BLOCKS_PER_SYNC):
                file.write(BLOCK)
            os.fsync(file.fileno())
            blocks += BLOCKS_PER_SYNC
            if blocks % BLOCKS_PER_FILE == 0:
                file.seek(0)


def transfer(seconds: float, _folder: Path) -> None:
    """Move bytes over a TCP connection to ourselves, at a pace that leaves the processor room."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = threading.Thread(target=_drain, args=(server,))
        reader.start()
        with socket.create_connection(server.getsockname()) as sender:
            started, sent = time.monotonic(), 0
            while (spent := time.monotonic() - started) < seconds:
                sender.sendall(BLOCK)
                sent += len(BLOCK)
                time.sleep(max(0.0, sent / BYTES_PER_S - spent))
        reader.join()


def _drain(server: socket.socket) -> None:
    room = bytearray(len(BLOCK))
    connection, _ = server.accept()
    with connection:
        while connection.recv_into(room):
            pass


LOADS: Mapping[str, Callable[[float, Path], None]] = {"cpu": burn, "disk": write, "network": transfer}


def start(load: str, seconds: float, folder: Path) -> subprocess.Popen[bytes]:
    """The load in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, load, "--seconds", str(seconds), "--folder", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)


def main() -> None:
    """Be the load."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("load", choices=LOADS)
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = arguments.parse_args()
    LOADS[given.load](given.seconds, given.folder)


if __name__ == "__main__":
    main()
