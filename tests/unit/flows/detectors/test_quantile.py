from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.quantile import Quantile, QuantileParams
from tests import naive
from tests.checks import run
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree


@pytest.mark.parametrize(("window", "low", "high"), [(5, 0.1, 0.9), (6, 0.1, 0.9), (60, 0.25, 0.95), (240, 0.01, 0.6)])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(
    family: Callable[[np.random.Generator, int], Floats], window: int, low: float, high: float
) -> None:
    values = family(np.random.default_rng(window), 2 * window + 100)
    params = QuantileParams(window=window, warmup=max(3, window // 2), low=low, high=high)
    expected = naive.remembered(
        values, window, params.needed, lambda value, known: naive.quantile_verdict(value, known, 1e-3, low, high)
    )
    agree(run(lambda: Quantile(params), values), expected)


def test_each_side_has_its_own_deviation() -> None:
    """Latencies: a value as far below the median as usual ones are above it is more surprising."""
    values = np.random.default_rng(0).exponential(1.0, 400)
    scored = run(lambda: Quantile(QuantileParams(window=240)), values)
    above, below = scored.upper[-1] - scored.expected[-1], scored.expected[-1] - scored.lower[-1]
    assert above > 2.0 * below
