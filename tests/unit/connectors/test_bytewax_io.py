from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.bytewax_io import AWAKE_GRID, next_on_grid

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001 - made aware at once


@given(times)
def test_the_next_point_lies_within_one_step_ahead(now: datetime) -> None:
    assert timedelta(0) < next_on_grid(now) - now <= AWAKE_GRID


@given(times, st.integers(0, AWAKE_GRID // timedelta(microseconds=1) - 1))
def test_partitions_that_ask_within_one_step_wake_together(now: datetime, after_us: int) -> None:
    point = next_on_grid(now)
    assert next_on_grid(point + timedelta(microseconds=after_us)) == point + AWAKE_GRID
