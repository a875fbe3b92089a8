"""What a process asks of Python, Linux and glibc so that its start, waiting and moving megabytes cost little."""

from __future__ import annotations

import ctypes
import gc
import sys

MALLOC_OPTIONS = ((-1, 128 * 1024 * 1024), (-2, 16 * 1024 * 1024), (-3, 32 * 1024 * 1024))
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD (malloc.h), in bytes."""
USUAL_THRESHOLDS = gc.get_threshold()
SELDOM = 1_000
"""Searches of the middle generation, each after some 7,000 new objects, before all is gone through; usually 10."""
_PR_SET_TIMERSLACK = 29  # linux/prctl.h


def coalesce_timers(slack_ns: int) -> None:
    """Let the kernel delay this thread's timers by up to ``slack_ns``.

    An idle Bytewax worker parks for 1 ms at a time, 1,000 wake-ups a second: 4 % of a core, 1 % with this. Data that
    another thread or process hands to the worker still wakes it at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0)


def leave_out(*modules: str) -> None:
    """Let nobody find these, unless they are imported already: for what others take along where it is installed.

    httpx takes its command line along, and rich with it, and numba what measures the coverage of tests: a twentieth
    and a tenth of a second of each start.
    """
    for module in modules:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # how Python marks what cannot be imported


def collect_garbage() -> None:
    """Look for garbage from now on, and never among what the process was started with.

    Modules and compiled kernels are none: to go through them took a sixth of the start, and a quarter of a second at
    the end. So a process switches the search off (``gc.disable``) before it imports what is large, and calls this
    later.
    """
    gc.freeze()
    gc.enable()


def spare_what_comes() -> None:
    """Look for garbage among the young alone, until ``spare_what_is_kept``: while a process reads what it keeps.

    Else all that was read so far is gone through each time that it has grown by a quarter: four times with 10,000
    detectors, a second in all, for some hundred objects of garbage. Should the reading never end, all is gone through
    for every seven million objects.
    """
    young, middle, _ = USUAL_THRESHOLDS
    gc.set_threshold(young, middle, SELDOM)


def spare_what_is_kept() -> None:
    """Never look for garbage among what there is now; what is let go later is freed all the same, unless in a cycle.

    For once, when a process has read what it keeps: to go through 10,000 detectors takes a tenth of a second or more,
    in which nobody is answered.
    """
    gc.freeze()
    gc.set_threshold(*USUAL_THRESHOLDS)


def keep_freed_memory() -> None:
    """Let glibc keep up to 128 MiB that was freed, instead of giving it back and faulting it in again.

    Each fetch allocates and frees megabytes: with glibc's defaults reading spends two fifths of its CPU on page faults
    (docs/kafka.md). Without glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, size_bytes in MALLOC_OPTIONS:
            mallopt(option, size_bytes)
