"""Seeded series: families for the twins, and labelled ones whose faults are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config
from numpy.typing import NDArray

Floats = NDArray[np.float64]
START_MS = 1_700_000_000_000
STEP_MS = 1000


def normal(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(10.0, 2.0, n)


def constant(rng: np.random.Generator, n: int) -> Floats:
    return np.full(n, rng.normal(10.0, 2.0))


def nearly_constant(rng: np.random.Generator, n: int) -> Floats:
    """One value in ten differs, so that the MAD is 0 and the mean deviation is not."""
    return 5.0 + (rng.random(n) < 0.1)


def heavy_tailed(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(1.5, n)


def trending(rng: np.random.Generator, n: int) -> Floats:
    return 1000.0 * np.arange(n) + rng.normal(0.0, 10.0, n)


def integers(rng: np.random.Generator, n: int) -> Floats:
    """Many ties."""
    return rng.integers(0, 4, n).astype(float)


def far_away(rng: np.random.Generator, n: int) -> Floats:
    """A spread of 1 at the level of Unix time: raw float32 would be 128 apart."""
    return 1.7e9 + rng.normal(0.0, 1.0, n)


def huge(rng: np.random.Generator, n: int) -> Floats:
    """A spread of 1 at 1e12, where neighbouring doubles are 1.2e-4 apart."""
    return 1e12 + rng.normal(0.0, 1.0, n)


def tiny(rng: np.random.Generator, n: int) -> Floats:
    """Far below any absolute tolerance."""
    return 1e-9 + rng.normal(0.0, 1e-10, n)


def gappy(rng: np.random.Generator, n: int) -> Floats:
    values = normal(rng, n)
    values[rng.random(n) < 0.2] = np.nan
    values[rng.random(n) < 0.1] = np.inf
    values[rng.random(n) < 0.1] = -np.inf
    return values


ALL_FAMILIES = (normal, constant, nearly_constant, heavy_tailed, trending, integers, far_away, huge, tiny, gappy)
FAMILIES = (normal, nearly_constant, gappy) if config.DISABLE_JIT else ALL_FAMILIES
"""Without the compiler, which only shows the kernels' lines, those that reach every line."""


class Fault(NamedTuple):
    """An interval, both ends included, in which the series is not itself."""

    begin_ms: int
    end_ms: int


class Labelled(NamedTuple):
    """One series with its truth."""

    labels: dict[str, str]
    times_ms: list[int]
    values: list[float]
    faults: list[Fault]


def labelled(seed: int, n: int, faults: int, first: int = 40, length: int = 3) -> Labelled:
    """Noise about a level with ``faults`` rectangular pulses of 50 standard deviations, well apart."""
    rng = np.random.default_rng(seed)
    level, spread = rng.uniform(10.0, 1000.0), rng.uniform(0.5, 5.0)
    values = rng.normal(level, spread, n)
    times_ms = [START_MS + STEP_MS * step for step in range(n)]
    found = []
    room = (n - first) // max(1, faults)
    for number in range(faults):
        at = first + number * room + int(rng.integers(0, room // 2))
        values[at : at + length] += 50.0 * spread * rng.choice([-1.0, 1.0])
        found.append(Fault(times_ms[at], times_ms[at + length - 1]))
    labels = {"__name__": "demo_value", "series": str(seed), "job": "test"}
    return Labelled(labels, times_ms, values.tolist(), found)
