"""Numba without what our kernels do not need: SciPy's matrix products, and entries to what only kernels call."""

from __future__ import annotations

import sys
from importlib import import_module

import numba

from connectors.codec.lean_compiler import finish_entries_only

UNUSED = "scipy.linalg"


def make_numba_lean() -> None:
    """Before the first kernel of a process is compiled or loaded."""
    leave_out_matrices()
    finish_entries_only()


def leave_out_matrices() -> None:
    """Load numba's functions of arrays, which look for SciPy's BLAS once, while it cannot be found.

    The first kernel would load them, and SciPy's linear algebra with them: a quarter of a second and 12 MB of each
    process that runs kernels. Whoever imports that later still gets it.
    """
    if UNUSED in sys.modules or numba.config.DISABLE_JIT:
        return
    sys.modules[UNUSED] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules[UNUSED]
