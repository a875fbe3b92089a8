"""Real processes for tests: wait for what they do, and see which of them still live."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

LOOK_S, LOOK_MOST_S = 0.01, 0.2
PAUSE = 4
"""Where to look takes long, it takes a fifth of the time: what is waited for needs the processor more."""


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look until the condition holds; fails past the time-out, saying what was waited for."""
    now_s = time.monotonic()
    deadline_s = now_s + timeout_s
    while not condition():
        looked_s, now_s = time.monotonic() - now_s, time.monotonic()
        assert now_s < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(min(LOOK_MOST_S, max(LOOK_S, PAUSE * looked_s)))
        now_s = time.monotonic()


def get(url: str) -> httpx.Response:
    """Ask a process of this machine, without reading all certificates for it, which takes 30 ms."""
    return httpx.get(url, verify=False, trust_env=False)


def marked_with(name: str, value: str) -> Iterator[psutil.Process]:
    """Living processes whose environment has this variable: what a run started, however deep."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that holds still in all of its threads: the signal alone leaves them a moment to answer in."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(
            lambda: all(_stands(thread) for thread in Path(f"/proc/{pid}/task").iterdir()), 10, "it stands still"
        )
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stands(thread: Path) -> bool:
    """By the state in proc(5), which follows the name in brackets."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TtXZ"
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return True


@contextmanager
def files_bounded(size_bytes: int) -> Iterator[None]:
    """This process may not let files grow beyond a size: a disk that refuses, which needs no root to have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def gone(pid: int) -> bool:
    """Whether the process has ended, be it reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment with a data folder of its own."""
    return {**os.environ, "TOCSIN_HOME": str(home), **more}
