"""In a process of its own: what numba does is replaced for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from connectors.codec import lean_compiler

ROOT = Path(__file__).parents[4]
MODULE = """
import numba
import numpy as np

@numba.njit(cache=True)
def deep(x):
    return np.full(3, x)[1]

@numba.njit(cache=True)
def inner(x):
    return deep(x) + 1

@numba.njit(cache=True)
def entry(x):
    if x > 99:
        raise ValueError("large")
    return 2 * inner(x) if x else 0
"""
USE = """
import lean
from connectors.codec.lean_compiler import finish_entries_only

finish_entries_only()
finish_entries_only()
assert lean.entry(3) == 8, lean.entry(3)
"""
CHECKS = """
assert lean.entry(4.5) == 11.0
assert lean.inner(3) == 4 and lean.inner(3) == 4, "called by a kernel first, and now by Python"
assert lean.deep(7) == 7
try:
    lean.entry(100)
except ValueError as error:
    assert str(error) == "large"
else:
    raise AssertionError("no error")
"""
LOADED = """
assert sum(lean.entry.stats.cache_hits.values()) == 1 and not lean.inner.signatures
"""


def run(script: str, folder: Path) -> None:
    """Run a script that may import ``lean``; fail with what it said."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long  # nothing is compiled in the pass without the compiler
def test_only_what_python_calls_is_finished_and_kept(tmp_path: Path) -> None:
    (tmp_path / "lean.py").write_text(MODULE)
    run(USE, tmp_path)
    kept = {path.name.split("-")[0] for path in (tmp_path / "__pycache__").glob("*.nbc")}
    assert kept == {"lean.entry"}
    run(USE + LOADED + CHECKS, tmp_path)


def test_the_numba_that_is_installed_is_known() -> None:
    """Look into it and at the kernels' speed before this is raised: another is left as it is."""
    assert numba.version_info.short == lean_compiler.KNOWN
