"""A run's claim on its data folder: one run per folder, held by a lock that ends with it and its guard."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from connectors.errors import TocsinError

CLEANUP_S = 15.0
"""After a ``kill -9`` of a run its guard needs up to this long to end what it left."""


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
    deadline_s = time.monotonic() + CLEANUP_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode() or "?"
            if _lives(holder) or time.monotonic() > deadline_s:
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
