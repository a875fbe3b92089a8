"""docs/api.md is true: its commands run, in its order, and its tables name every code there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from api.default_detectors import write_defaults
from api.problems import STATUS, Code
from api.socket_messages import CLOSE_BUSY, CLOSE_SLOW, ErrorCode
from connectors.settings import KafkaSettings
from tests.anomalies import make_anomaly
from tests.apis import api_settings, running_api
from tests.integration.test_api_feed import produce

pytestmark = pytest.mark.integration

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_command_runs(kafka_settings: KafkaSettings) -> None:
    commands = re.findall(r"```bash\n(.*?)\n```", TEXT, re.DOTALL)
    assert len(commands) >= 8
    write_defaults(kafka_settings, 1_000)
    produce(kafka_settings, [make_anomaly(1)])
    with running_api(api_settings(kafka_settings)) as api:
        for command in commands:
            assert "http://127.0.0.1:8000/" in command
            here = command.replace("http://127.0.0.1:8000", api.url)
            done = subprocess.run(["bash", "-ec", here], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert api.metric("tocsin_api_detector_revisions_total", result="applied") == 5 + 7


def test_every_code_is_listed() -> None:
    for code in Code:
        assert f"| `{code}` | {STATUS[code]} |" in TEXT
    for error in ErrorCode:
        assert f"| `{error}` |" in TEXT
    for close in (CLOSE_BUSY, CLOSE_SLOW):
        assert f"| {close} |" in TEXT
