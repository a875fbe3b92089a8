from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.ewma import Ewma, EwmaParams
from tests import naive
from tests.checks import run
from tests.series import FAMILIES, Floats, normal
from tests.unit.flows.detectors.twins import agree


@pytest.mark.parametrize("alpha", [0.005, 0.02, 0.5])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], alpha: float) -> None:
    values = family(np.random.default_rng(7), 300)
    params = EwmaParams(alpha=alpha, warmup=10)
    expected = naive.ewma(values, alpha, params.warmup, params.floor_ratio)
    agree(run(lambda: Ewma(params), values), expected)


def test_it_is_a_plain_mean_until_alpha_takes_over() -> None:
    values = normal(np.random.default_rng(0), 40)
    scored = run(lambda: Ewma(EwmaParams(alpha=0.02, warmup=30)), values)
    assert scored.expected[39] == pytest.approx(values[:39].mean())
    assert scored.expected[39] + 3.2905267314918945 * values[:39].std() == pytest.approx(scored.upper[39])


def test_small_steps_of_a_large_mean_are_not_lost() -> None:
    """Each is less than half of what doubles at 1e12 are apart, so that a plain mean would never move."""
    values = np.concatenate([1e12 + normal(np.random.default_rng(0), 500) - 10.0, np.full(20_000, 1e12 + 1.0)])
    scored = run(lambda: Ewma(EwmaParams(alpha=2e-5, warmup=30)), values)
    mean = 1e12 + 1.0 - (1e12 + 1.0 - values[:500]).mean() * 500 / 20_500
    assert scored.expected[-1] == pytest.approx(mean, rel=0, abs=1e-3)
