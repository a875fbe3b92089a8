"""A range of any length is asked for in parts that join without a gap, by labels that the source has."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.training_range import MAX_STEPS, PART_STEPS, TrainingRange
from flows.selector import parse_selector


def asked(from_ms: int, to_ms: int, step_s: int = 15, **labels: str) -> TrainingRange:
    return TrainingRange(source="s", from_ms=from_ms, to_ms=to_ms, step_s=step_s, labels=labels)


@pytest.mark.parametrize("steps", [0, 1, PART_STEPS - 1, PART_STEPS, PART_STEPS + 1, 3 * PART_STEPS + 7])
def test_parts_hold_every_step_once(steps: int) -> None:
    found = [
        time_ms
        for part in asked(5_000, 5_000 + 15_000 * steps).parts("m")
        for time_ms in range(part.start_ms, part.end_ms + 1, part.step_ms)
    ]
    assert found == [5_000 + 15_000 * step for step in range(steps + 1)]


def test_labels_that_the_source_lacks_are_not_asked_for() -> None:
    selector = parse_selector('m{cluster="a",job=~"x|y"}')
    assert asked(0, 1, cluster="a").question(selector) == 'm{job=~"x|y"}'
    assert asked(0, 1).question(selector) == 'm{cluster="a",job=~"x|y"}'


@pytest.mark.parametrize(("from_ms", "to_ms"), [(1, 0), (0, 15_000 * MAX_STEPS)])
def test_ranges_have_a_length(from_ms: int, to_ms: int) -> None:
    with pytest.raises(ValidationError, match="to_ms must not be before from_ms, and at most 1000000 steps"):
        asked(from_ms, to_ms)


def test_a_query_is_asked_for_as_it_stands() -> None:
    ranged = TrainingRange(source="s", from_ms=0, to_ms=1, step_s=15, query="sum(x)", labels={"cluster": "a"})
    assert ranged.question(parse_selector('m{cluster="a"}')) == "sum(x)"
    with pytest.raises(ValidationError, match="at least 1 character"):
        TrainingRange(source="s", from_ms=0, to_ms=1, step_s=15, query="")
