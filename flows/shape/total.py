"""Sums that do not depend on the order of what is added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def exact_sum(values: Sequence[float]) -> float:
    """The sum, rounded once; NaN, a gap, where it is no finite number."""
    try:
        total = math.fsum(values)
    except OverflowError:
        return _without_limit(values)
    except ValueError:  # infinities of both signs
        return math.nan
    return total if math.isfinite(total) else math.nan


def _without_limit(values: Sequence[float]) -> float:
    """Where the way to the sum leads beyond a double: whether it does is a matter of order, the sum is not."""
    try:
        return float(sum(map(Fraction, values)))
    except (OverflowError, ValueError):  # so does the sum, or there are infinities or NaN
        return math.nan
