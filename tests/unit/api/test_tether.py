from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

from api.tether import Tether

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def test_a_guard_that_was_killed_is_named_and_the_next_one_knows_what_lives() -> None:
    shown: list[str] = []

    async def scenario(group: int) -> None:
        tether = Tether([], shown.append, pause_s=0.01)
        tether.hold(group)
        tether.hold(2**22 + 1)
        os.kill(tether._guard.pid, signal.SIGKILL)
        while "the guard is started again" not in shown:  # noqa: ASYNC110 - as a user looks
            await asyncio.sleep(0.01)
        tether.let_go(2**22 + 1)
        await tether.release()

    command = [sys.executable, "-c", SLEEP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as orphan:
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == "up\n"
        reaper = threading.Thread(target=orphan.wait)  # what process 1 does for orphans
        reaper.start()
        asyncio.run(asyncio.wait_for(scenario(orphan.pid), 20))
        reaper.join(5)
        assert orphan.returncode == -signal.SIGTERM
    assert shown == [
        "the guard, which ends all if this process is killed, died with signal SIGKILL",
        "the guard is started again",
    ]


def test_the_end_does_not_wait_for_the_next_guard() -> None:
    shown: list[str] = []

    async def scenario() -> None:
        tether = Tether([], shown.append, pause_s=60)
        os.kill(tether._guard.pid, signal.SIGKILL)
        while not shown:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        tether.hold(2**22 + 1)
        await tether.release()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert len(shown) == 1
