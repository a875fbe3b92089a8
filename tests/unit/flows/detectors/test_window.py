from __future__ import annotations

import pytest
from pydantic import ValidationError

from flows.detectors.window import COUNT_LIMIT, WindowParams, next_count


@pytest.mark.parametrize(("window", "warmup", "needed"), [(60, None, 60), (60, 10, 10), (5, 5, 5), (5, 3, 3)])
def test_samples_needed_before_a_score(window: int, warmup: int | None, needed: int) -> None:
    assert WindowParams(window=window, warmup=warmup).needed == needed


@pytest.mark.parametrize("wrong", [{"window": 4}, {"window": 4097}, {"warmup": 2}, {"warmup": 61}, {"span": 3}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        WindowParams(**wrong)


@pytest.mark.parametrize("window", [5, 7, 60, 4096])
def test_the_count_is_folded_before_int32_overflows_at_the_same_place_of_the_ring(window: int) -> None:
    count = next_count(COUNT_LIMIT - 1, window)
    assert count % window == COUNT_LIMIT % window
    assert window <= count < 2 * window
    assert next_count(41, window) == 42
