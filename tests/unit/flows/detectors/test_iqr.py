from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flows.detectors.iqr import Iqr, IqrParams
from tests import naive
from tests.checks import run
from tests.series import FAMILIES, Floats
from tests.unit.flows.detectors.twins import agree


@pytest.mark.parametrize("window", [5, 6, 60, 240])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_it_agrees_with_its_twin(family: Callable[[np.random.Generator, int], Floats], window: int) -> None:
    values = family(np.random.default_rng(window), 2 * window + 100)
    params = IqrParams(window=window, warmup=max(3, window // 2))
    expected = naive.remembered(
        values, window, params.needed, lambda value, known: naive.iqr_verdict(value, known, 1e-3)
    )
    agree(run(lambda: Iqr(params), values), expected)


@pytest.mark.parametrize(("fences", "surprise"), [(1.5, 2.16), (3.0, 5.63), (3.75, 8.01)])
def test_fences_as_surprise(fences: float, surprise: float) -> None:
    """The figures of docs/detectors.md: which threshold stands for how many interquartile ranges."""
    window = np.arange(1.0, 62.0)  # quartiles 16, 31, 46
    scored = run(lambda: Iqr(IqrParams(window=61)), [*window, 46.0 + 30.0 * fences])
    assert scored.score[-1] == pytest.approx(surprise, abs=0.01)
