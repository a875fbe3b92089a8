from __future__ import annotations

import numpy as np
import pytest

from flows.detectors.robust import cut, deviation, next_variance


def test_the_deviation_of_gaussian_noise_is_kept() -> None:
    """The bounded loss has mean 1, so the variance stays where it is right."""
    variance = 1.0
    seen = []
    for away in np.random.default_rng(0).normal(0.0, 1.0, 40_000):
        variance = next_variance(variance, away, variance**0.5, 0.005)
        seen.append(variance)
    assert np.mean(seen[5000:]) == pytest.approx(1.0, abs=0.03)


def test_an_outlier_moves_the_deviation_by_a_bounded_step() -> None:
    assert next_variance(1.0, 1e30, 1.0, 0.1) == pytest.approx(1.0 + 0.1 * 1.52)
    assert cut(1e30, 1.0) == 2.0
    assert cut(-1e30, 1.0) == -2.0
    assert cut(1.5, 1.0) == 1.5


def test_a_signal_that_never_moved_begins_from_what_is_believed_or_seen() -> None:
    assert next_variance(0.0, 0.0, 0.5, 0.1) == 0.0
    assert next_variance(0.0, 3.0, 0.5, 0.1) == pytest.approx(0.25 * (1.0 + 0.1 * 1.52))
    assert next_variance(0.0, 3.0, 0.0, 0.1) == pytest.approx(0.9)
    assert cut(3.0, 0.0) == 3.0
    assert deviation(0.0, 0.5) == 0.5
    assert deviation(4.0, 0.5) == 2.0
