"""Stops what the supervisor started when the supervisor itself is gone, even by ``kill -9``.

It runs as a process of its own and blocks on a pipe that the supervisor holds open: ``+12 `` says that process group
12 lives, ``-12 `` that it ended. The end of the pipe is the end of the supervisor; then the groups still alive get
SIGTERM and, past a grace, SIGKILL. Costs nothing while it waits, and needs no system call that only Linux has.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 10.0
LOOK_S = 0.05


def alive(group: int) -> bool:
    """Whether any process of the group exists."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds only zombies
        return False
    return True


def signal_group(group: int, number: int) -> None:
    """Send a signal to every process of the group; one that is gone needs none."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def end_groups(groups: Iterable[int], grace_s: float = GRACE_S) -> None:
    """SIGTERM, then SIGKILL to what is left after ``grace_s``."""
    left = set(groups)
    for group in left:
        signal_group(group, signal.SIGTERM)
    deadline_s = time.monotonic() + grace_s
    while left and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
        left = {group for group in left if alive(group)}
    for group in left:
        signal_group(group, signal.SIGKILL)


def read_groups(pipe: int) -> set[int]:
    """Process groups still alive when the writer of the pipe is gone; blocks until then."""
    groups: set[int] = set()
    rest = b""
    while chunk := os.read(pipe, 4096):
        *words, rest = (rest + chunk).split(b" ")
        for word in words:
            group = int(word[1:])
            groups.add(group) if word[:1] == b"+" else groups.discard(group)
    return groups


def main() -> None:
    """Read the pipe on standard input to its end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(read_groups(sys.stdin.fileno()))


if __name__ == "__main__":
    main()
