from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.shape.quantile import bucket_quantile, monotonic, quantile_of
from tests import naive_groups
from tests.examples import examples

INF = math.inf


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_quantiles_are_linear_between_ranks(q: float) -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 17).tolist()
    assert quantile_of(values, q) == pytest.approx(float(np.quantile(values, q)))
    assert quantile_of([3.0], q) == 3.0


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(quantile_of([], 0.5))


@pytest.mark.parametrize(("q", "buckets", "expected"), [
    (0.5, [(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 1.0),
    (0.75, [(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 1.5),
    (0.25, [(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 0.5),
    (0.25, [(-1.0, 5.0), (2.0, 10.0), (INF, 10.0)], -1.0),
    (0.99, [(1.0, 5.0), (2.0, 9.0), (INF, 10.0)], 2.0),
    (0.5, [(1.0, 0.0), (INF, 0.0)], math.nan),
    (0.5, [(1.0, 5.0), (2.0, 10.0)], math.nan),
    (0.5, [(INF, 10.0)], math.nan),
    (0.0, [(1.0, 0.0), (2.0, 10.0), (INF, 10.0)], math.nan),
])  # fmt: skip
def test_quantiles_of_buckets(q: float, buckets: list[tuple[float, float]], expected: float) -> None:
    assert bucket_quantile(q, buckets) == pytest.approx(expected, nan_ok=True)


def test_counts_never_fall_and_rounding_is_no_step() -> None:
    assert monotonic([1.0, 0.5, 2.0, 2.0 + 1e-13, 3.0]) == [1.0, 1.0, 2.0, 2.0, 3.0]


@examples(120)
@given(st.floats(0, 1), st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(-5, 5))
def test_it_agrees_with_its_twin(q: float, counts: list[int], first: float) -> None:
    bounds = [first + i for i in range(len(counts) - 1)] + [INF]
    totals = np.cumsum(counts).astype(float).tolist()
    wanted = naive_groups.bucket_quantile(q, dict(zip(bounds, totals, strict=True)))
    assert bucket_quantile(q, list(zip(bounds, totals, strict=True))) == pytest.approx(wanted, nan_ok=True)
