"""How many examples a property is tried on: fewer where kernels are interpreted, which only shows their lines."""

from __future__ import annotations

from hypothesis import settings
from numba import config

INTERPRETED_SHARE = 10
"""One of so many examples is left to the pass without the compiler, where each takes some hundred times as long."""
LEAST = 8


def examples(count: int) -> settings:
    """The same ``count`` examples at every run, at any speed, without a database of failures."""
    tried = max(min(count, LEAST), count // INTERPRETED_SHARE) if config.DISABLE_JIT else count
    return settings(max_examples=tried, deadline=None, derandomize=True, database=None)
