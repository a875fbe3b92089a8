from __future__ import annotations

import ctypes
import gc
import importlib
import subprocess
import sys
import threading

import pytest

from connectors.process import coalesce_timers, leave_out, spare_what_comes, spare_what_is_kept

PR_GET_TIMERSLACK = 30
CHURN = """
import os, resource, sys
from connectors.process import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def churn():
    for _ in range(50):
        held = [bytes(os.urandom(1)) * 1_000_000 for _ in range(16)]
        del held
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks things of Linux")


def faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHURN, mode], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def test_freed_memory_is_not_faulted_in_again() -> None:
    assert faults("keep") * 10 < faults("leave")


def slack_ns() -> int:
    return int(ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK))


def test_timers_of_the_calling_thread_get_slack() -> None:
    before, seen = slack_ns(), list[int]()

    def ask() -> None:
        coalesce_timers(30_000_000)
        seen.append(slack_ns())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == [30_000_000]
    assert slack_ns() == before, "another thread's timers were touched"


def test_what_is_kept_is_not_looked_through() -> None:
    kept: list[list[object]] = [[] for _ in range(1000)]
    try:
        spare_what_is_kept()
        assert gc.get_freeze_count() > len(kept)
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_what_comes_while_a_process_reads_is_not_gone_through_again_and_again() -> None:
    usual, searched = gc.get_threshold(), list[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            searched.append(info["generation"])

    gc.callbacks.append(note)
    try:
        spare_what_comes()
        kept: list[list[object]] = [[] for _ in range(200_000)]
        assert (0 in searched, 1 in searched, 2 in searched) == (True, True, False)
        spare_what_is_kept()
        assert gc.get_threshold() == usual
        kept += [[] for _ in range(200_000)]
        assert 2 in searched
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*usual)
        gc.unfreeze()


def test_what_is_left_out_cannot_be_imported_unless_it_was_already(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = sys.modules["pytest"]
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    leave_out("turtledemo", "pytest")
    assert sys.modules["pytest"] is imported
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("turtledemo")
