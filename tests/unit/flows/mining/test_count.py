"""What one partition says of its steps."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.messages import MAX_TIME_MS, ControlRecord, OutRecord
from connectors.status import LogsStatus, logs_key
from flows.chunks import Poison
from flows.mining import count as count_module
from flows.mining.count import GAP_MS, MAX_OPEN, TELL_EVERY_MS, Counting, LogPart, LogsTelling, Said, StepCounts
from flows.mining.levels import Level
from flows.mining.limits import MiningLimits
from flows.mining.lines import Lines, LogChunk, NewLine
from flows.mining.saved import save_counting
from flows.mining.scope import Scope, Service
from tests.logs import Mine, control, lines
from tests.streams import TOPICS

STEP_MS, GRACE_MS = 10_000, 5_000
LIMITS = MiningLimits(step_ms=STEP_MS, grace_ms=GRACE_MS, too_new_ms=60_000)
SHOP = Scope(Service("t", (("service_name", "shop"),)), Level.INFO)
MAIL = Scope(Service("t", (("service_name", "mail"),)), Level.ERROR)
FIRST = 1000
"""A step, from which the tests count."""


def at(step: float, ms: int = 0) -> int:
    return round((FIRST + step) * STEP_MS) + ms


def met(*lines: tuple[int, int, Scope], new: tuple[NewLine, ...] = ()) -> Lines:
    """Lines as time, hash and scope, ten bytes each."""
    scopes = tuple(dict.fromkeys(scope for _, _, scope in lines))
    return Lines(
        np.array([line for _, line, _ in lines], np.uint64), np.array([time_ms for time_ms, _, _ in lines], np.int64),
        np.full(len(lines), 10), np.array([scopes.index(scope) for _, _, scope in lines], np.int64), scopes, new,
    )  # fmt: skip


def time(time_ms: int) -> ControlRecord:
    return ControlRecord.decode(control(time_ms).value or b"")


def counting(*chunks: LogChunk) -> tuple[Counting, list[Said]]:
    """One that met a control record at the beginning of the first step, and what it says of these chunks."""
    one = Counting(TOPICS.dead_letter, LIMITS)
    one.take([time(at(0) + GRACE_MS)])
    return one, parts(one.take(chunks))


def parts(said: list[Said]) -> list[Said]:
    return [one for one in said if not isinstance(one, LogsTelling)]


def test_a_step_is_over_when_log_time_has_passed_its_end_by_the_grace() -> None:
    one, said = counting(met((at(0), 1, SHOP), (at(0.9), 1, SHOP), (at(0.5), 2, MAIL), (at(1), 1, SHOP)), time(at(1)))
    assert said == []
    assert parts(one.take([time(at(1, GRACE_MS - 1))])) == []
    (part,) = parts(one.take([time(at(1, GRACE_MS))]))
    assert isinstance(part, LogPart)
    assert (part.since, part.until) == (FIRST, FIRST + 1)
    ((step, counts),) = part.steps
    assert step == FIRST
    assert counts.scopes == {SHOP: (2, 20), MAIL: (1, 10)}
    assert counts.lines == {1: 2, 2: 1}
    (later,) = parts(one.take([time(at(2, GRACE_MS))]))
    assert isinstance(later, LogPart)
    assert later.steps[0][1].lines == {1: 1}
    assert one.open == {}


def test_steps_without_lines_are_told_too() -> None:
    _, said = counting(*(time(at(step, GRACE_MS)) for step in (1, 2, 2.5, 3)))
    assert [part.steps[0][1].scopes for part in said if isinstance(part, LogPart)] == [{}, {}, {}]


def test_late_lines_are_counted_as_such_and_what_is_new_in_them_is_told() -> None:
    new = NewLine(9, SHOP, b"late")
    one, said = counting(met((at(-1), 9, SHOP), (at(0), 1, SHOP), new=(new,)), time(at(1, GRACE_MS)))
    (part,) = said
    assert isinstance(part, LogPart)
    assert part.new == (new,)
    assert part.steps[0][1].lines == {1: 1}
    assert one.counts["dropped_late"] == 1
    assert one.counts["lines"] == 2
    assert one.counts["bytes"] == 20


def test_lines_too_far_ahead_are_not_counted_once_log_time_says_so() -> None:
    one, _ = counting(met((at(8), 1, SHOP), (at(6), 1, SHOP), (at(6), 1, SHOP)), time(at(0.1, GRACE_MS)))
    assert one.counts["dropped_too_new"] == 1
    assert list(one.open) == [FIRST + 6]


def test_lines_that_come_before_the_time_after_a_pause_are_counted() -> None:
    """Ingest was away for an hour: its first lines may stand before its first control record."""
    one, said = counting(met((at(360), 1, SHOP)), time(at(360, 900)), time(at(361, GRACE_MS)))
    assert one.counts["dropped_too_new"] == 0
    assert [(step, counts.lines) for part in said for step, counts in part.steps] == [(FIRST + 360, {1: 1})]  # type: ignore[union-attr]


def test_the_earliest_steps_are_counted_whatever_comes_first() -> None:
    """Those that are over by the first control record were met by chance."""
    one = Counting(TOPICS.dead_letter, LIMITS)
    for step in range(MAX_OPEN + 4, -1, -1):
        assert one.take([met((at(step), 1, SHOP))]) == []
    assert sorted(one.open) == [*range(FIRST, FIRST + MAX_OPEN)]
    assert one.take([met((at(MAX_OPEN), 1, SHOP), (at(MAX_OPEN - 1), 1, SHOP))]) == []
    assert (one.counts["dropped_no_room"], one.open[FIRST + MAX_OPEN - 1].lines) == (6, {1: 2})
    (part,) = parts(one.take([time(at(3, GRACE_MS))]))
    assert (part.since, part.until, part.steps) == (FIRST + 3, FIRST + 3, ())  # type: ignore[union-attr]
    assert one.counts["dropped_late"] == 3
    ahead_ms = at(3, GRACE_MS) + LIMITS.too_new_ms
    assert sorted(one.open) == [*range(FIRST + 3, ahead_ms // STEP_MS + 1)]


def test_a_gap_of_log_time_tells_only_of_steps_with_lines() -> None:
    """Whether there were lines in the others nobody knows."""
    one, _ = counting(time(at(1, GRACE_MS)))
    assert GAP_MS == 3 * STEP_MS
    (part,) = parts(one.take([met((at(2), 1, SHOP)), time(at(9, GRACE_MS))]))
    assert isinstance(part, LogPart)
    assert (part.since, part.until) == (FIRST + 1, FIRST + 9)
    assert [step for step, _ in part.steps] == [FIRST + 2]
    after = [part for part in one.take([time(at(step, GRACE_MS)) for step in (10, 11)]) if isinstance(part, LogPart)]
    assert [part.steps for part in after] == [(), ((FIRST + 10, StepCounts()),)], "the ninth began in the gap"


def test_a_second_gap_right_behind_one_is_one_with_it() -> None:
    one, _ = counting(time(at(1, GRACE_MS)), time(at(9, GRACE_MS)), time(at(15)))
    parts_ = [
        part for part in one.take([time(at(step, GRACE_MS)) for step in (15, 16, 17)]) if isinstance(part, LogPart)
    ]
    assert [step for part in parts_ for step, _ in part.steps] == [FIRST + 16]


def test_a_leap_of_log_time_costs_nothing() -> None:
    """A clock that is wrong by years."""
    one, _ = counting(time(at(1, GRACE_MS)))
    (part,) = parts(one.take([time(MAX_TIME_MS)]))
    assert isinstance(part, LogPart)
    assert (part.until, part.steps) == ((MAX_TIME_MS - GRACE_MS) // STEP_MS, ())


def test_log_time_never_runs_backwards() -> None:
    one, _ = counting(time(at(5, GRACE_MS)), time(at(2)))
    assert one.log_ms == at(5, GRACE_MS)
    assert parts(one.take([time(at(4))])) == []


def test_signs_of_life_come_now_and_then() -> None:
    one = Counting(TOPICS.dead_letter, LIMITS)
    said = one.take([met((at(0), 1, SHOP)), *(time(at(0) + 1000 * second) for second in range(61))])
    told = [sign for sign in said if isinstance(sign, LogsTelling)]
    assert [sign.log_ms - at(0) for sign in told] == [0, TELL_EVERY_MS, 2 * TELL_EVERY_MS]
    assert told[0].record("status", 3) == OutRecord(
        "status", logs_key(3), LogsStatus(partition=3, log_ms=at(0), lines=1, bytes=10, drops={}).encode(), []
    )
    one.take([met((at(-9), 1, SHOP))])
    (last,) = [sign for sign in one.take([time(at(10))]) if isinstance(sign, LogsTelling)]
    assert last.drops == {"late": 1}


def test_poison_goes_to_the_dead_letter() -> None:
    one, said = counting(Poison("poison", "bad bytes", "tocsin.logs/0/7", b"\xff"))
    (dead,) = said
    assert isinstance(dead, OutRecord)
    assert (dead.topic, dead.value) == (TOPICS.dead_letter, b"\xff")
    assert one.counts["poison_poison"] == 1


def test_lines_of_the_far_future_keep_no_place_once_there_is_log_time() -> None:
    """Those of a sender whose clock is wrong, met before the first control record: they would never be over."""
    one = Counting(TOPICS.dead_letter, LIMITS)
    one.take([met(*((at(10_000 + step), 1, SHOP) for step in range(MAX_OPEN)))])
    assert len(one.open) == MAX_OPEN
    one.take([time(at(0, GRACE_MS)), met((at(0), 1, SHOP))])
    assert list(one.open) == [FIRST]
    assert one.counts["dropped_too_new"] == MAX_OPEN
    assert one.counts["dropped_no_room"] == 0


def test_all_that_is_met_is_counted_or_dropped() -> None:
    """Whatever their times are, and none twice."""
    rng = random.Random(0)
    one, counted, n = Counting(TOPICS.dead_letter, LIMITS), 0, 0
    for second in range(-100, 1000):
        times = [at(0) + 1000 * (second + rng.randrange(-90, 90)) for _ in range(rng.randrange(4))]
        said = one.take(
            [met(*((time_ms, 1, SHOP) for time_ms in times)), *([time(at(0) + 1000 * second)] * (second >= 0))]
        )
        counted += sum(sum(counts.lines.values()) for part in parts(said) for _, counts in part.steps)  # type: ignore[union-attr]
        n += len(times)
    waiting = sum(sum(counts.lines.values()) for counts in one.open.values())
    dropped = {name: lines for name, lines in one.counts.items() if name.startswith("dropped_")}
    assert counted + waiting + sum(dropped.values()) == one.counts["lines"] == n
    assert min(counted, dropped["dropped_late"], dropped["dropped_too_new"]) > 0


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(1, 12), max_size=60), st.integers(0, 3))
def test_however_its_input_is_cut_it_says_the_same(cuts: list[int], seed: int) -> None:
    """Chunks in batches of any number, and lines in chunks of any number."""
    rng = random.Random(seed)
    cut, whole = Counting(TOPICS.dead_letter, LIMITS), Counting(TOPICS.dead_letter, LIMITS)
    chunks = list[list[tuple[int, int, Scope]] | int]()
    for second in range(0, 200, 5):
        scopes = rng.choices([SHOP, MAIL], k=4)
        chunks.append([(at(0) + 1000 * (second + rng.randrange(-20, 20)), rng.randrange(5), one) for one in scopes])
        chunks.append(at(0) + 1000 * (second + (60 if second > 100 else 0)))
    expected = whole.take(time(one) if isinstance(one, int) else met(*one) for one in chunks)
    pieces = [
        time(one) if isinstance(one, int) else met(line)
        for one in chunks
        for line in ([one] if isinstance(one, int) else one)
    ]
    said = list[Said]()
    for cut_at in [*cuts, len(pieces)]:
        said += cut.take(pieces[:cut_at])
        del pieces[:cut_at]
    assert said == expected
    assert save_counting(cut) == save_counting(whole)


def test_a_year_without_log_time_costs_no_more_than_a_minute() -> None:
    """The steps in between were witnessed by nobody: none of them is looked at."""
    one, _ = counting(met((at(0), 1, SHOP)), time(at(1, GRACE_MS)), met((at(2), 1, SHOP)))
    looked = 0

    class Open(dict[int, StepCounts]):
        def __contains__(self, step: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(step)

    one.open = Open(one.open)
    (part,) = parts(one.take([time(at(3_000_000))]))
    assert isinstance(part, LogPart)
    assert [step for step, _ in part.steps] == [FIRST + 2]
    assert looked < 100


def test_what_lies_in_a_gap_is_told_in_its_order() -> None:
    one, _ = counting(time(at(1, GRACE_MS)))
    (part,) = parts(one.take([met((at(6), 1, SHOP)), met((at(3), 2, SHOP)), time(at(9, GRACE_MS))]))
    assert isinstance(part, LogPart)
    assert [step for step, _ in part.steps] == [FIRST + 3, FIRST + 6]


@pytest.mark.parametrize("known", [False, True])
def test_a_record_of_lines_from_everywhere_is_looked_through_once_per_step_that_counts(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 lines of one record, each in another step, from bytes to counts."""
    n, mine, looks = 20_000, Mine(limits=LIMITS), 0
    if known:
        mine.take([control(at(0))])
    add = count_module._add

    def counted(*of: object) -> None:
        nonlocal looks
        looks += 1
        add(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(count_module, "_add", counted)
    mine.take([lines({"app": "shop"}, *((at(step - n // 2), "it is") for step in range(n)))])
    (one,) = mine.countings
    assert looks == len(one.open) <= MAX_OPEN
    assert sum(one.counts[f"dropped_{why}"] for why in ("late", "too_new", "no_room")) + looks == n
    assert mine.take([control(at(1, GRACE_MS)), control(at(2, GRACE_MS))])
    assert len(one.open) <= LIMITS.too_new_ms // STEP_MS + 1


def test_so_many_new_lines_wait_to_be_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_module, "MAX_NEW", 3)
    new = tuple(NewLine(n, SHOP, b"x") for n in range(5))
    one, said = counting(met((at(0), 1, SHOP), new=new), met((at(0), 1, SHOP), new=new), time(at(1, GRACE_MS)))
    (part,) = said
    assert isinstance(part, LogPart)
    assert part.new == new[:3]
    assert one.counts["new_refused"] == 7
    assert one.new == []
