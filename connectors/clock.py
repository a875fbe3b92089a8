"""The clock on the wall, for those at the rim; below them time is an argument."""

from __future__ import annotations

import time


def wall_clock_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000
