from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from connectors.codec.histogram import CUSTOM_BUCKETS
from connectors.codec.native import NativeHistogram
from flows.shape.native import add, buckets_of, change, native_quantile, scale, subtract, upper_bound, was_reset


def observed(values: list[float], schema: int = 3, zero: float = 1e-6) -> NativeHistogram:
    """The histogram of these observations."""
    sides: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for value in values:
        if abs(value) > zero:
            index = math.ceil(math.log2(abs(value)) * 2.0**schema - 1e-12)
            side = sides[value < 0]
            side[index] = side.get(index, 0.0) + 1.0
    near = float(sum(abs(value) <= zero for value in values))
    return NativeHistogram(schema, float(len(values)), sum(values), zero, near, *sides)


def test_bounds_are_powers_of_the_base() -> None:
    assert [upper_bound(0, i) for i in (-1, 0, 1, 10)] == [0.5, 1.0, 2.0, 1024.0]
    assert upper_bound(2, 1) == pytest.approx(2**0.25)
    assert upper_bound(-4, 100) == math.inf


@pytest.mark.parametrize("q", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("sign", ["positive", "negative", "both"])
def test_a_quantile_is_within_a_bucket_of_the_true_one(q: float, sign: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(0.0, 2.0, 4000) * {"positive": 1.0, "negative": -1.0}.get(sign, 1.0)
    values = values * rng.choice([1, -1], 4000) if sign == "both" else values
    true = float(np.quantile(values, q, method="inverted_cdf"))
    assert native_quantile(q, observed(values.tolist(), schema=5)) == pytest.approx(true, rel=2.0**2**-5 - 1.0 + 1e-6)


def test_within_a_bucket_it_is_exponential_and_in_the_zero_bucket_linear() -> None:
    one = NativeHistogram(0, 4.0, 6.0, positive={1: 4.0})  # all in (1, 2]
    assert native_quantile(0.5, one) == pytest.approx(math.sqrt(2.0))
    zero = NativeHistogram(0, 4.0, 0.0, zero_threshold=0.5, zero_count=4.0)
    assert native_quantile(0.25, zero) == pytest.approx(-0.25)
    positive = NativeHistogram(0, 8.0, 0.0, zero_threshold=0.5, zero_count=4.0, positive={1: 4.0})
    assert native_quantile(0.25, positive) == pytest.approx(0.25)
    negative = NativeHistogram(0, 8.0, 0.0, zero_threshold=0.5, zero_count=4.0, negative={1: 4.0})
    assert native_quantile(0.75, negative) == pytest.approx(-0.25)
    assert native_quantile(0.25, negative) == pytest.approx(-math.sqrt(2.0))


def test_own_bounds_are_linear_and_their_ends_are_those_of_classic_buckets() -> None:
    own = NativeHistogram(CUSTOM_BUCKETS, 10.0, 0.0, positive={0: 4.0, 1: 4.0, 2: 2.0}, bounds=(1.0, 3.0))
    assert native_quantile(0.2, own) == pytest.approx(0.5)
    assert native_quantile(0.6, own) == pytest.approx(2.0)
    assert native_quantile(0.95, own) == 3.0
    below = replace(own, bounds=(-1.0, 3.0))
    assert native_quantile(0.2, below) == -1.0


def test_without_observations_there_is_no_quantile() -> None:
    assert math.isnan(native_quantile(0.5, observed([])))


@pytest.mark.parametrize("seed", range(3))
def test_a_sum_is_what_all_observations_together_would_have_shown(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(0.0, 3.0, 500).tolist() for _ in range(2))
    total = add(observed(a, schema=4, zero=1e-3), observed(b, schema=2, zero=1e-3))
    assert total is not None
    wanted = observed([*a, *b], schema=2, zero=1e-3)
    assert buckets_of(total) == buckets_of(wanted)
    assert (total.count, total.zero_count) == (1000.0, wanted.zero_count)


def test_the_wider_zero_bucket_wins_and_cuts_no_other() -> None:
    wide = NativeHistogram(0, 3.0, 0.0, zero_threshold=1.5, zero_count=3.0)
    narrow = NativeHistogram(0, 6.0, 0.0, zero_threshold=0.25, zero_count=1.0, positive={0: 2.0, 1: 3.0})
    total = add(wide, narrow)
    assert total is not None
    assert (total.zero_threshold, total.zero_count, total.positive) == (2.0, 9.0, {})


@pytest.mark.parametrize(("counts", "sum_"), [
    ((1e308, 1e308), math.inf), ((math.inf, -math.inf), math.nan), ((1e16, 1.0, 1.0), 1e16 + 2.0),
])  # fmt: skip
def test_no_counts_are_too_large_to_be_joined_in_the_zero_bucket(counts: tuple[float, ...], sum_: float) -> None:
    wide = NativeHistogram(0, 0.0, 0.0, zero_threshold=16.0)
    total = add(wide, NativeHistogram(0, 1.0, 0.0, positive=dict(enumerate(counts))))
    assert total is not None
    assert total.zero_count == pytest.approx(sum_, rel=0.0, nan_ok=True)


def test_histograms_of_other_bounds_do_not_add_up() -> None:
    own = NativeHistogram(CUSTOM_BUCKETS, 1.0, 0.0, positive={0: 1.0}, bounds=(1.0,))
    assert add(own, replace(own, bounds=(2.0,))) is None
    assert subtract(own, observed([1.0])) is None


def test_a_change_is_the_difference_extrapolated_and_a_reset_counts_from_zero() -> None:
    one, two = observed([1.0] * 4), observed([1.0] * 10)
    samples = [(15_000, one), (30_000, two)]
    made = change(samples, 30_000, 30_000, counter=True, per_second=False)
    assert made is not None
    assert made.count == pytest.approx(6.0 * (15.0 + 4.0 / 6.0 * 15.0) / 15.0)  # not beyond zero
    rate = change(samples, 30_000, 30_000, counter=True, per_second=True)
    assert rate is not None
    assert rate.positive == {i: pytest.approx(c) for i, c in scale(made, 1 / 30).positive.items()}
    back = change([(15_000, two), (30_000, one)], 30_000, 15_001, counter=True, per_second=False)
    assert back is not None
    assert back.count == pytest.approx(4.0, rel=1e-3)
    assert change(samples[:1], 30_000, 30_000, counter=True, per_second=True) is None


def test_a_side_that_did_not_change_does_not_widen_the_zero_bucket() -> None:
    before, after = observed([-4.0, 4.0]), observed([-4.0, 4.0, 8.0, 0.0, 0.0])
    made = change([(15_000, before), (30_000, after)], 30_000, 30_000, counter=True, per_second=False)
    assert made is not None
    assert made.negative == {}
    assert native_quantile(0.0, made) == 0.0


def test_what_shows_a_reset() -> None:
    two = observed([1.0, 2.0])
    assert not was_reset(10, two, observed([1.0, 2.0, 4.0]))
    assert was_reset(10, two, observed([1.0]))
    assert was_reset(10, two, observed([1.0, 4.0, 4.0])), "a bucket fell"
    assert was_reset(10, two, replace(observed([1.0, 2.0, 4.0]), start_ms=11))
    assert was_reset(10, two, observed([1.0, 2.0, 4.0], schema=5))
