from __future__ import annotations

import random

import pytest

from tests.benchmarks.logs import LINES, PARTITIONS, SHAPES, STREAMS, records
from tests.loghub import grouping_accuracy, groups
from tests.pushes import read_stream


def test_every_stream_has_its_lines_in_its_partition() -> None:
    found = [(partition, read_stream(value)) for partition, value in records(3, random.Random(0))]
    assert len(found) == STREAMS
    assert {partition for partition, _ in found} == set(range(PARTITIONS))
    for partition, stream in found:
        assert partition == stream.hash % PARTITIONS
        assert len(stream.lines) == LINES


def test_lines_of_one_shape_are_one_group() -> None:
    rng = random.Random(0)
    lines = [(shape, shape.format(*(rng.randrange(255) for _ in range(5)))) for shape in SHAPES for _ in range(20)]
    assert grouping_accuracy(groups([line for _, line in lines]), [shape for shape, _ in lines]) == 1.0


@pytest.mark.parametrize(
    ("found", "truth", "share"),
    [
        ([1, 1, 2], "aab", 1.0),
        ([1, 2, 3], "aab", 1 / 3),
        ([1, 1, 1], "aab", 0.0),
        ([5, 5, 6, 6], "aabc", 0.5),
    ],
)
def test_accuracy_is_the_share_of_lines_whose_group_is_exactly_the_true_one(
    found: list[int], truth: str, share: float
) -> None:
    assert grouping_accuracy(found, truth) == pytest.approx(share)
