"""Kernels compiled by numba do not warn of overflow; run as plain Python, with the JIT off, numpy would."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _silent_floats() -> Iterator[None]:
    if not numba.config.DISABLE_JIT:
        yield
        return
    with np.errstate(all="ignore"):
        yield
