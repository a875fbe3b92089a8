"""Series of numbers of logs, and what is told of them once a step."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from connectors.codec.limits import RECORD_BYTES
from connectors.messages import OutRecord
from flows.mining.levels import Level
from flows.mining.limits import MiningLimits
from flows.mining.numbers import NEW_MS, QUIET_MS, Numbers
from flows.mining.scope import Scope, Service
from flows.mining.tree import Pattern, Tree
from tests.logs import samples
from tests.streams import TOPICS

LIMITS = MiningLimits(step_ms=10_000, grace_ms=5_000, max_scopes=3, idle_s=3600)
IDLE = LIMITS.idle_steps
SHOP = Scope(Service("t", (("service_name", "shop"),)), Level.INFO)
FIRST = 10 * IDLE + 1
"""A step right after a sweep, from which the tests count."""
Series = dict[str, list[tuple[float, float]]]


def at_ms(step: float) -> int:
    """When a step's samples are of."""
    return round((FIRST + step + 1) * LIMITS.step_ms) + LIMITS.grace_ms


class Told:
    """Numbers, the patterns that they are of, and all that was told."""

    def __init__(self, partitions: int = 1) -> None:
        self.numbers, self.tree = Numbers(TOPICS.metrics, partitions, LIMITS), Tree()
        self.records: list[OutRecord] = []

    def met(self, step: int, text: str, n: int = 1, scope: Scope = SHOP) -> Pattern:
        """So many lines of a text in a step, ten bytes each."""
        pattern, born = self.tree.learn(scope, text.encode(), FIRST + step)
        if born:
            self.numbers.born(pattern, FIRST + step)
        pattern.lines += n
        pattern.seen = FIRST + step
        assert self.numbers.add(scope, n, 10 * n, FIRST + step)
        return pattern

    def tell(self, *steps: int) -> None:
        for step in steps:
            self.records += self.numbers.tell(FIRST + step, self.tree)

    def series(self, tenant: str = "t") -> Series:
        """Samples by metric and what else names the series, level and service apart; times in steps."""
        told: Series = {}
        for labels, found in samples(self.records, tenant).items():
            name = dict(labels)
            parts = (name["__name__"], name.get("level", ""), name.get("pattern", ""))
            steps = [((time_ms - at_ms(0)) / LIMITS.step_ms, value) for time_ms, value in found]
            told[" ".join(filter(None, parts))] = steps
        return told


def test_each_number_is_told_under_its_name_from_nothing_on() -> None:
    told = Told()
    told.met(0, "all is well", 3)
    told.tell(0)
    assert told.series() == {
        "log_lines_total info": [(-1, 0), (0, 3)],
        "log_bytes_total info": [(-1, 0), (0, 30)],
        "log_patterns_total": [(-1, 0), (0, 1)],
        "log_pattern_novelty": [(0, 0)],
        "log_pattern_lines_total info all is well": [(-1, 0), (0, 3)],
        "log_pattern_novelty info all is well": [(0, 0)],
    }
    (labels, *_) = samples(told.records, "t")
    assert dict(labels)["service_name"] == "shop"


def test_a_counter_is_told_once_a_step_as_long_as_steps_follow_each_other() -> None:
    told = Told()
    for step in range(3):
        told.met(step, "x", 2)
        told.tell(step)
    assert told.series()["log_lines_total info"] == [(-1, 0), (0, 2), (1, 4), (2, 6)]


@pytest.mark.parametrize("pause", [3, 7])
def test_after_a_pause_it_is_told_as_it_stood_before(pause: int) -> None:
    told = Told()
    told.met(0, "x", 2)
    told.tell(0)
    told.met(pause, "x", 1)
    told.tell(pause)
    assert told.series()["log_lines_total info"] == [(-1, 0), (0, 2), (pause - 1, 2), (pause, 3)]


@pytest.mark.parametrize("hours", [0.2, 1.5, 2.5, 5, 30])
def test_what_was_idle_for_hours_grows_by_its_new_lines_only(hours: float) -> None:
    """A pattern and the births of its service stand as long as the tree knows it."""
    told, back = Told(), round(360 * hours)
    told.met(0, "x", 1000)
    told.met(0, "y", 1)
    told.met(0, "other", scope=SHOP._replace(level=Level.ERROR))
    told.tell(*range(back))
    told.met(back, "x", 2)
    told.tell(back)
    series = told.series()
    for name, grown in [("log_pattern_lines_total info x", 2), ("log_patterns_total", 0)]:
        (before_at, before), (now_at, now) = series[name][-2:]
        assert (before_at, now_at) == (back - 1, back)
        assert now - before == grown, name
    (before_at, before), (now_at, now) = series["log_lines_total info"][-2:]
    assert (before_at, now_at, now - before) == (back - 1, back, 2)


def test_a_pattern_that_was_forgotten_and_is_born_again_counts_from_nothing() -> None:
    told = Told()
    pattern = told.met(0, "x", 1000)
    told.tell(*range(IDLE))
    told.numbers.forget(pattern)
    told.tree.forget(pattern.number)
    told.met(IDLE + 5, "x", 3)
    told.tell(IDLE + 5)
    assert told.series()["log_pattern_lines_total info x"][-2:] == [(IDLE + 4, 0), (IDLE + 5, 3)]


def test_no_counter_falls_between_two_steps_that_follow_each_other() -> None:
    """Whatever comes, goes, is forgotten and comes again."""
    told = Told()
    for step in range(0, 6 * IDLE, 7):
        if step % (3 * IDLE) < IDLE // 2:
            told.met(step, "abcdefgh"[step % 8], 5)
        else:
            for pattern in [one for one in told.tree if one.seen < FIRST + step - IDLE]:
                told.numbers.forget(pattern)
                told.tree.forget(pattern.number)
        told.tell(step, step + 1)
    falls = [
        (name, before, after)
        for name, series in told.series().items() if name.partition(" ")[0].endswith("_total")
        for before, after in pairwise(series) if after[0] - before[0] <= 1 and after[1] < before[1]
    ]  # fmt: skip
    assert falls == []


def test_a_pattern_is_new_for_a_minute() -> None:
    told, steps = Told(), NEW_MS // LIMITS.step_ms
    told.met(0, "usual")
    told.met(500, "new")
    told.tell(*range(500, 600))
    series = told.series()["log_pattern_novelty info new"]
    assert [step for step, _ in series] == [*range(500, 500 + steps)]
    assert [value for _, value in series] == [pytest.approx(math.log10(251 / 0.5), abs=0.02)] * steps


def test_the_service_as_a_whole_is_never_new() -> None:
    told = Told()
    told.met(0, "x")
    told.tell(0)
    told.met(400, "y")
    told.tell(400)
    assert told.series()["log_pattern_novelty"] == [(0, 0), (400, 0)]


def test_a_pattern_is_told_of_until_it_is_quiet() -> None:
    told = Told()
    told.met(0, "x")
    told.tell(*range(100))
    last, _ = told.series()["log_pattern_lines_total info x"][-1]
    assert last == QUIET_MS // LIMITS.step_ms


def test_a_scope_is_told_of_until_it_is_idle() -> None:
    told = Told()
    told.met(0, "x")
    told.tell(*range(IDLE + 50))
    assert told.series()["log_lines_total info"][-1] == (IDLE, 1)


def test_patterns_without_counted_lines_are_new_all_the_same() -> None:
    """That of a late line."""
    told = Told()
    told.met(0, "x")
    pattern, _ = told.tree.learn(SHOP, b"late", FIRST + 1)
    told.numbers.born(pattern, FIRST + 1)
    told.tell(0, 1)
    series = told.series()
    assert "log_pattern_novelty info late" in series
    assert "log_pattern_lines_total info late" not in series
    assert series["log_patterns_total"][-1] == (1, 2)


def test_there_is_a_bound_of_scopes_and_room_again_when_some_were_idle() -> None:
    told = Told()
    scopes = [SHOP._replace(level=level) for level in list(Level)[: LIMITS.max_scopes + 1]]
    added = [told.numbers.add(scope, 1, 1, FIRST) for scope in scopes]
    assert added == [True] * LIMITS.max_scopes + [False]
    assert told.numbers.add(scopes[0], 1, 1, FIRST), "one that is known"
    told.tell(*range(3 * IDLE + 1))
    assert told.numbers.add(scopes[-1], 1, 1, FIRST + 3 * IDLE)


def test_what_is_long_gone_takes_no_memory() -> None:
    told = Told()
    pattern = told.met(0, "x", 9)
    told.tell(0)
    told.numbers.forget(pattern)
    told.tree.forget(pattern.number)
    told.tell(*range(1, 4 * IDLE))
    assert (told.numbers.totals, told.numbers.told, told.numbers.novelties, told.numbers._written) == ({}, {}, {}, {})


def test_tenants_are_told_apart_and_each_series_has_its_partition() -> None:
    told = Told(partitions=4)
    other = Scope(Service("u", SHOP.service.labels), Level.INFO)
    for step in range(30):
        told.met(step, "x", 1)
        told.met(step, "abcdefghij"[step % 10], 2, other)
        told.tell(step)
    assert told.series("t")["log_lines_total info"][-1] == (29, 30)
    assert told.series("u")["log_lines_total info"][-1] == (29, 60)
    assert {record.key for record in told.records} == {b"t", b"u"}
    where: dict[object, set[int | None]] = {}
    for record in told.records:
        for labels in samples([record], (record.key or b"").decode()):
            where.setdefault((record.key, labels), set()).add(record.partition)
    assert {len(partitions) for partitions in where.values()} == {1}
    assert len({next(iter(partitions)) for partitions in where.values()}) == 4


def test_many_patterns_are_told_in_records_that_kafka_takes() -> None:
    told = Told()
    words = [f"{a}{b} {c}" for a in "abcdefghij" for b in "qrstuvwxy" for c in "ABCDEFGHIJKLMN"]
    for word in words:
        told.met(0, f"{word} {'long ' * 60}")
    told.tell(0)
    sizes = [len(record.value or b"") for record in told.records]
    assert sum(sizes) > RECORD_BYTES
    assert max(sizes) <= RECORD_BYTES
    assert sum(name.startswith("log_pattern_lines_total") for name in told.series()) == len(words)


def test_only_numbers_are_written() -> None:
    told = Told()
    for step in range(0, 3000, 3):
        told.met(step, f"{'abcdefghijklmnop'[step % 16]} {'qrstuvwxyz'[step % 10]}", 2**40)
        told.tell(step)
    values = [value for series in told.series().values() for _, value in series]
    assert all(math.isfinite(value) and value >= 0 for value in values)
