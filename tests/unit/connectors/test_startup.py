"""Bad settings as every process meets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROCESSES = {
    "api.app": "TOCSIN_API_MAX_CLIENTS",
    "api.broker": "TOCSIN_BROKER_PORT",
    "api.default_detectors": "TOCSIN_PARTITIONS",
    "api.demo": "TOCSIN_DEMO_INTERVAL_S",
    "flows.run": "TOCSIN_FLOW_MAX_SERIES",
    "connectors.topics": "TOCSIN_PARTITIONS",
}


def refusal(module: str, **environment: str) -> list[str]:
    """What the process says on its way out."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


@pytest.mark.parametrize(("module", "variable"), PROCESSES.items())
def test_a_bad_setting_ends_a_process_with_one_line(module: str, variable: str) -> None:
    [line] = refusal(module, **{variable: "nan"})
    assert line.startswith(f"{variable}=nan: must be a ")


def test_a_bad_log_level_ends_a_process_with_one_line() -> None:
    [line] = refusal("api.demo", TOCSIN_LOG_LEVEL="LOUD")
    assert line.startswith("TOCSIN_LOG_LEVEL=LOUD: must be one of ")
