"""Real processes for tests: wait for what they do, and see which of them still live."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LOOK_S = 0.02


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look until the condition holds; fails past the time-out, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(LOOK_S)


def marked_with(name: str, value: str) -> Iterator[psutil.Process]:
    """Living processes whose environment has this variable: what a run started, however deep."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue


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
