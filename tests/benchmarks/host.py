"""What the machine under a benchmark gave away meanwhile: a virtual one runs when its host lets it."""

from __future__ import annotations

from collections.abc import Callable

import psutil


def watch_host() -> Callable[[], float]:
    """Gives what tells the share of all processors' time since now that the host took for others; 0 if it hides it.

    A figure of a wall clock is worth little with a share of some per cent, one of CPU seconds with a large one.
    """
    before = psutil.cpu_times()

    def stolen_share() -> float:
        now = psutil.cpu_times()
        passed_s = sum(now) - sum(before)
        stolen_s = getattr(now, "steal", 0.0) - getattr(before, "steal", 0.0)
        return float(stolen_s / passed_s) if passed_s > 0.0 else 0.0

    return stolen_share
