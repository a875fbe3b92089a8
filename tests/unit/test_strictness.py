from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SKIPPING = """
import pytest

def test_lacks_something():
    pytest.skip("no Java here")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_to_fail():
    assert False
"""

MODULE_SKIPPING = """
import pytest

pytest.skip("no Maven here", allow_module_level=True)
"""


def run_suite(folder: Path, texts: list[str], ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    for number, text in enumerate(texts):
        (folder / f"test_sample{number}.py").write_text(text)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "tests.strictness", "-p", "no:cacheprovider"]
    # the other plugins take longer to load than all of this to run
    command += ["-p", "xdist.plugin", "-c", os.devnull, f"--rootdir={folder}", *options, str(folder)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("workers", ["0", "1"])
def test_skips_fail_under_ci_and_keep_their_reasons(tmp_path: Path, workers: str) -> None:
    options = ["-n", workers, "--continue-on-collection-errors"]
    done = run_suite(tmp_path, [SKIPPING, MODULE_SKIPPING], "true", *options)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 xfailed, 1 error" in done.stdout
    for reason in ("no Java here", "no Maven here"):
        assert f"skipped, which CI=true forbids: Skipped: {reason}" in done.stdout


def test_skip_passes_elsewhere(tmp_path: Path) -> None:
    done = run_suite(tmp_path, [SKIPPING], ci="")
    assert done.returncode == 0, done.stdout
    assert "1 skipped, 1 xfailed" in done.stdout
    assert "no Java here" in done.stdout
