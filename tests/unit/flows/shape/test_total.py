from __future__ import annotations

import math
from itertools import permutations

import pytest

from flows.shape.total import exact_sum


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([], 0.0),
        ([1e308, 1.0, -1e308], 1.0),
        ([1e308, 1e308, -1e308], 1e308),
        ([1e308, 1e308, -1e308, 5e-324, -1e308], 5e-324),
        ([1e308, 1e308], math.nan),
        ([-1e308, -1e308], math.nan),
        ([1e308, 1e308, math.inf], math.nan),
        ([math.inf, -math.inf], math.nan),
        ([math.inf, 1.0], math.nan),
        ([1e308, 1e308, math.nan], math.nan),
    ],
)
def test_a_sum_is_exact_or_a_gap_in_any_order(values: list[float], total: float) -> None:
    assert {repr(exact_sum(order)) for order in permutations(values)} == {repr(total)}
