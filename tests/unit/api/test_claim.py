from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.claim import claimed
from connectors.errors import TocsinError

HOLD = """
import sys
from pathlib import Path
from api.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

LEAVE = """
import os, subprocess, sys
from pathlib import Path
from api.claim import claimed
guard = "import sys, time; time.sleep(0.5); open(sys.argv[1] + '/cleaned', 'w').close()"
with claimed(Path(sys.argv[1])) as lock:
    subprocess.Popen([sys.executable, "-c", guard, sys.argv[1]], pass_fds=[lock])
    os._exit(9)
"""


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TocsinError, match=f"process {other.pid} already runs Tocsin in .*TOCSIN_HOME"):
            claimed(tmp_path).__enter__()
        other.communicate("")
    with claimed(tmp_path):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_the_lock_of_a_killed_run_is_waited_for(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == 9
    with claimed(tmp_path):
        assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("home", ["file", "file/below", "/proc/nope"])
def test_a_folder_that_cannot_be_is_named_with_its_variable(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TocsinError, match=rf"^TOCSIN_HOME={tmp_path / home}: not a folder that can be written to"):
        claimed(tmp_path / home).__enter__()
