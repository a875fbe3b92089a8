from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.guard import end_groups, read_groups

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


@contextmanager
def started(code: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_groups_still_alive_at_the_end_of_the_pipe() -> None:
    source, sink = os.pipe()
    for word in (b"+11 ", b"+12", b" +13 -12 "):
        os.write(sink, word)
    os.close(sink)
    assert read_groups(source) == {11, 13}
    os.close(source)


def test_groups_are_asked_first_and_killed_past_the_grace() -> None:
    with started(SLEEP) as polite, started(DEAF) as deaf:
        end_groups([polite.pid, deaf.pid, 2**22 + 1], grace_s=0.2)
        assert polite.wait(5) == -signal.SIGTERM
        assert deaf.wait(5) == -signal.SIGKILL


def test_the_guard_outlives_its_supervisor_and_ends_the_rest() -> None:
    with started(SLEEP) as orphan:
        guard = subprocess.Popen(
            [sys.executable, "-m", "api.guard"], stdin=subprocess.PIPE, start_new_session=True, env=dict(os.environ)
        )
        reaper = threading.Thread(target=orphan.wait)  # what process 1 does for orphans
        reaper.start()
        guard.communicate(b"+%d " % orphan.pid, timeout=20)
        reaper.join(5)
        assert guard.returncode == 0
        assert orphan.returncode == -signal.SIGTERM
