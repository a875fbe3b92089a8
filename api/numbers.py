"""Columns of numbers as JSON has them."""

from __future__ import annotations

import numpy as np

from flows.detectors.base import Floats

Numbers = list[float | None]


def numbers_of(values: Floats) -> Numbers:
    """Null for what is no finite number."""
    return [value if finite else None for value, finite in zip(values.tolist(), np.isfinite(values), strict=True)]
