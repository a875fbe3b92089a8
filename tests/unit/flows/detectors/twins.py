"""Comparison of a kernel with its twin: offsets in float32 allow for a relative error of the deviation of 1e-4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.detectors.base import Scored
from tests.naive import Verdict


def agree(scored: Scored, expected: Sequence[Verdict], tolerance: float = 1e-4) -> None:
    """Same samples without a verdict; expectation and band within a fraction of the band, surprise within 1/1,000."""
    twin = Scored(*(np.array(column) for column in zip(*expected, strict=True)))
    np.testing.assert_array_equal(np.isnan(scored.score), np.isnan(twin.score))
    assert np.count_nonzero(~np.isnan(twin.score)) > 50
    width = np.nan_to_num(twin.upper - twin.lower) + 1e-12 * np.nan_to_num(np.abs(twin.expected))
    for name in ("expected", "lower", "upper"):
        off = np.nan_to_num(np.abs(getattr(scored, name) - getattr(twin, name)))
        assert (off <= tolerance * width).all(), f"{name}: {off.max()} at {off.argmax()}"
    np.testing.assert_allclose(scored.score, twin.score, rtol=1e-3, atol=1e-3)
