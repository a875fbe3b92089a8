"""How surprising a new pattern is."""

from __future__ import annotations

import math

import pytest

from flows.mining.novelty import BURST_MS, MAX_BURST_MS, Novelty

STEP_MS = 10_000
BURST = BURST_MS // STEP_MS


def naive(births: list[int], step: int) -> float:
    """The estimate, event by event: the steps weigh by their age."""
    events = sum(birth / step for birth in births)
    steps = sum(one / step for one in range(1, step + 1))
    return -math.log10(min(1.0, (events + 0.5) / (steps + 1.0)))


@pytest.mark.parametrize("births", [[], [1], [1, 50, 400], list(range(1, 400, 20))])
def test_it_is_as_steps_by_their_age_say(births: list[int]) -> None:
    novelty = Novelty(1000)
    novelty.born(1000, STEP_MS)
    for birth in births:
        novelty.event = None  # each an event of its own
        expected = naive(births[: births.index(birth)], birth)
        assert novelty.born(1000 + birth, STEP_MS) == pytest.approx(expected)
    assert novelty.surprise_at(1000 + 500) == pytest.approx(naive(births, 500))
    assert novelty.births == len(births) + 1


def test_the_first_pattern_of_a_service_surprises_nobody() -> None:
    novelty = Novelty(7)
    assert novelty.born(7, STEP_MS) == 0.0
    assert novelty.surprise_at(6) == 0.0


def test_the_calmer_and_the_longer_known_the_more() -> None:
    calm, busy = Novelty(0), Novelty(0)
    for step in range(0, 3600, 60):
        busy.born(step, STEP_MS)
    assert calm.surprise_at(360) < calm.surprise_at(3600) < calm.surprise_at(36_000)
    assert busy.surprise_at(3600) < 2.0 < calm.surprise_at(3600)


def test_what_was_long_ago_says_little() -> None:
    early, late = Novelty(0), Novelty(0)
    for step in range(10):
        early.born(20 * step, STEP_MS)
        late.born(3000 + 20 * step, STEP_MS)
    assert early.surprise_at(3600) > late.surprise_at(3600) + 0.5


def test_births_of_a_minute_are_one_event() -> None:
    novelty = Novelty(0)
    surprise = novelty.born(1000, STEP_MS)
    assert [novelty.born(1000 + n, STEP_MS) for n in range(1, BURST + 1)] == [surprise] * BURST
    again = novelty.born(1001 + 2 * BURST, STEP_MS)  # a minute after the last one
    assert again < surprise
    assert novelty.births == BURST + 2


def test_who_has_new_patterns_all_the_time_has_more_than_one_event() -> None:
    novelty = Novelty(0)
    surprises = [novelty.born(4000 + 5 * n, STEP_MS) for n in range(200)]
    assert len(set(surprises)) == 200 * 5 * STEP_MS // MAX_BURST_MS
    assert surprises[0] > 3.0 > 2.5 > surprises[-1]
