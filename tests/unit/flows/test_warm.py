from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import importlib, numba, pkgutil, sys
import flows
from flows.warm import warm

warm()
assert numba.config.DISABLE_JIT or "scipy.linalg" not in sys.modules
import numpy as np
from tests.groups import Partitions
from tests.streams import busy_log
from tests.unit.flows.test_grouping import world_of

def compiled():
    found = {}
    for module in pkgutil.walk_packages(flows.__path__, "flows."):
        if module.name != "flows.run":
            for value in vars(importlib.import_module(module.name)).values():
                if hasattr(value, "signatures") and value.__module__.startswith("flows"):
                    found[value.__module__ + "." + value.__name__] = [str(s) for s in value.signatures]
    return found

before = compiled()
assert numba.config.DISABLE_JIT or len(before) > 10, before
busy_log(0, steps=30).run()
Partitions(world_of(0).logs).run(np.random.default_rng(0))
late = {name: signatures for name, signatures in compiled().items() if signatures != before[name]}
assert not late, late
"""


@pytest.mark.long
def test_nothing_is_compiled_after_warming_up() -> None:
    """In a process of its own: other tests have compiled kernels here. Without the JIT only that it runs is seen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
