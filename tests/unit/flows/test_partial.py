from __future__ import annotations

import math

import numpy as np
import pytest

from connectors.codec.encode import encode_labels
from connectors.detector import Aggregate, Group, Shape
from flows.partial import NO_BOUND, GroupName, Portion, aggregate_members, merge_portions

A, B = encode_labels({"x": "a"}), encode_labels({"x": "b"})
LARGE = 1e308


def portion(*values: float, labels: bytes = A, role: int = 0, bound: float = NO_BOUND) -> Portion:
    """What one partition says of one group; several values are those of the members."""
    return Portion(role, Shape.RAW, (GroupName(labels, bound),), np.array([len(values)]), np.array(values))


def merged(group: Group, *portions: Portion) -> dict[bytes, float]:
    found = merge_portions(group, portions)
    return dict(zip(found.labels, found.values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("values", "total"), [((LARGE, LARGE), math.nan), ((math.inf, -math.inf), math.nan), ((LARGE, 1.0, -LARGE), 1.0)]
)
def test_members_whose_sum_is_no_number_make_a_gap(values: tuple[float, ...], total: float) -> None:
    names, numbers = [GroupName(A), GroupName(B)], np.array([0] * len(values) + [1], np.int32)
    _, counts, sums = aggregate_members(Group(), names, numbers, np.array([*values, 5.0]))
    assert counts.tolist() == [len(values), 1]
    np.testing.assert_array_equal(sums, [total, 5.0])


@pytest.mark.parametrize("aggregate", [Aggregate.SUM, Aggregate.AVG])
@pytest.mark.parametrize("values", [(LARGE, LARGE), (math.inf, -math.inf), (math.nan, 1.0), (math.inf, 1.0)])
def test_partitions_whose_sum_is_no_number_make_a_gap(aggregate: Aggregate, values: tuple[float, float]) -> None:
    found = merged(Group(aggregate=aggregate), *map(portion, values), portion(2.0, labels=B))
    assert math.isnan(found[A])
    assert found[B] == 2.0


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_the_way_to_a_sum_does_not_matter(order: tuple[int, ...]) -> None:
    values = (LARGE, LARGE, -LARGE)
    assert merged(Group(), *(portion(values[at]) for at in order)) == {A: LARGE}


def test_a_ratio_to_what_is_no_number_is_a_gap() -> None:
    group = Group(denominator="m")
    for below in ((LARGE, LARGE), (0.0,)):
        assert math.isnan(merged(group, portion(1.0), *(portion(one, role=1) for one in below))[A])


@pytest.mark.parametrize("bound", [1.0, 2.0, math.inf])
def test_a_bucket_whose_sum_is_no_number_leaves_no_quantile(bound: float) -> None:
    buckets = [portion(5.0 * n, bound=le) for n, le in enumerate((1.0, 2.0, 3.0, math.inf), 1)]
    plain = merged(Group(histogram_quantile=0.9), *buckets)
    hostile = merged(Group(histogram_quantile=0.9), *buckets, *2 * [portion(LARGE, bound=bound)])
    assert math.isfinite(plain[A])
    assert math.isnan(hostile[A])
