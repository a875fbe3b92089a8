"""A signal that comes to stand still deviates by nothing but the rounding of what is remembered: that is no anomaly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.detectors.base import Floats
from flows.detectors.registry import KINDS

WINDOWED = ("mad", "zscore", "quantile", "iqr")
KINDS_OF_VALUES = (*WINDOWED, "ewma", "auto", "forecast", "seasonal")


def surprises(kind: str, values: Floats, **params: Any) -> Floats:
    """Scores of one signal with a sample every 15 s."""
    entry = KINDS[kind]
    detector = entry.make(entry.params(**params))
    times_ms = 15_000 * np.arange(len(values))
    scored = detector.step(detector.allocate(1), np.zeros(len(values), np.int64), times_ms, values)
    return np.nan_to_num(scored.score)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS_OF_VALUES)
def test_a_value_that_stays_is_no_anomaly(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    level, spread = ((40.0, 2.0), (0.05, 0.01), (1e9, 3e7))[seed % 3]
    moving = rng.normal(level, spread, 100 + seed)
    if seed % 2:
        moving = np.round(moving, 2)
    standing = np.full(250, moving[-1])
    assert surprises(kind, np.concatenate([moving, standing]))[len(moving) + 60 :].max() < 5.0


@pytest.mark.parametrize("kind", WINDOWED)
def test_digits_that_a_jump_costs_are_there_again_two_windows_later(kind: str) -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.0, 1.0, 100), 1e9 + rng.normal(0.0, 1.0, 200)])
    values[-1] = 1e9 + 20.0
    found = surprises(kind, values)
    assert found[-1] > 10.0
    assert found[-60:-1].max() < 6.0


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_far_outlier_does_not_hide_what_is_near(kind: str) -> None:
    """But in zscore, whose spread it widens for a window."""
    values = np.random.default_rng(2).normal(40.0, 1.0, 150)
    values[119] = 1e9
    values[140] = 60.0
    assert (surprises(kind, values)[140] > 10.0) == (kind != "zscore")
