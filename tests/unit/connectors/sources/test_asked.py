"""What was not asked for is left out, the rest is in order; tests/integration/test_training.py has a server do it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.asked import AS_ASKED, Amended, as_asked
from connectors.sources.decode import SourceSeries

LABELS = (("__name__", "up"),)


def series(times_ms: list[int]) -> SourceSeries:
    """Each value says when it came."""
    return SourceSeries(LABELS, np.array(times_ms, np.int64), np.arange(len(times_ms), dtype=np.float64))


@given(st.lists(st.integers(-3, 13), max_size=20))
def test_only_the_first_sample_of_each_time_within_the_range_counts(times_ms: list[int]) -> None:
    first: dict[int, float] = {}
    within = [(time_ms, float(at)) for at, time_ms in enumerate(times_ms) if 0 <= time_ms <= 10]
    for time_ms, value in within:
        first.setdefault(time_ms, value)
    found, amended = as_asked(series(times_ms), 0, 10)
    assert found.labels == LABELS
    assert list(zip(found.times_ms.tolist(), found.values.tolist(), strict=True)) == sorted(first.items())
    assert amended.outside == len(times_ms) - len(within)
    assert amended.duplicate == len(within) - len(first)
    assert amended.unsorted == sum(later < earlier for (earlier, _), (later, _) in pairwise(within))


def test_an_answer_as_it_should_be_is_left_as_it_is() -> None:
    right = series([0, 1, 5, 10])
    found, amended = as_asked(right, 0, 10)
    assert found is right
    assert amended == AS_ASKED == Amended()
