"""Steps of all partitions to patterns, totals and samples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.messages import OutRecord
from flows.mining.count import LogPart, StepCounts
from flows.mining.known_lines import UNKNOWN
from flows.mining.levels import Level
from flows.mining.limits import MiningLimits
from flows.mining.lines import NewLine
from flows.mining.miner import MAX_WAITING, Miner
from flows.mining.numbers import Numbers
from flows.mining.scope import Scope, Service
from tests.logs import LIMITS, Mine, Told, control, lines, samples
from tests.series import START_MS
from tests.streams import TOPICS, Record

SHOP = Scope(Service("t", (("service_name", "shop"),)), Level.INFO)
FIRST = 100_000
"""A step, from which the tests count."""


def miner(partitions: int = 1, limits: MiningLimits = LIMITS) -> Miner:
    return Miner(Numbers(TOPICS.metrics, partitions, limits), partitions, limits)


def told(said: Iterable[OutRecord], metric: str = "log_lines_total", **labels: str) -> list[tuple[float, float]]:
    """Samples of a metric, times in steps."""
    found = [
        sample for names, series in samples(said, "t").items()
        if dict(names)["__name__"] == metric and labels.items() <= dict(names).items() for sample in series
    ]  # fmt: skip
    return [((ms - LIMITS.grace_ms) / LIMITS.step_ms - 1 - FIRST, value) for ms, value in found]


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode().ljust(8)[:8], "big")


def part(since: int, *steps: dict[str, int], new: Iterable[str] = (), scope: Scope = SHOP) -> LogPart:
    """One of a step and those after it, each of so many lines of some texts."""
    counts = [
        StepCounts({scope: (sum(step.values()), 10 * sum(step.values()))} if step else {},
                   {hash_of(text): n for text, n in step.items()})
        for step in steps
    ]  # fmt: skip
    numbered = tuple(enumerate(counts, FIRST + since))
    return LogPart(
        FIRST + since, FIRST + since + len(steps), numbered,
        tuple(NewLine(hash_of(text), scope, text.encode()) for text in new),
    )  # fmt: skip


def begun(partitions: int = 1, limits: MiningLimits = LIMITS) -> Miner:
    """One whose partitions have all met their first control record."""
    one = miner(partitions, limits)
    one.take((partition, part(0)) for partition in range(partitions))
    return one


def test_a_step_is_mined_when_every_partition_has_told_of_it() -> None:
    one = miner(2)
    assert one.take([(0, part(0, {"x": 1}, {"x": 2}, new=["x"]))]) == []
    assert one.take([(1, part(0))]) == [], "it saw nothing whole yet"
    said = one.take([(1, part(0, {"x": 4}))])
    assert told(said) == [(-1, 0), (0, 5)]
    assert told(one.take([(1, part(1, {}))])) == [(1, 7)]
    assert (one.counts["steps"], one.waiting, one.texts) == (2, {}, {})


def test_a_pattern_that_another_partition_has_too_is_born_once() -> None:
    one = begun(2)
    one.take([(0, part(0, {"x": 1}, new=["x"])), (1, part(0, {"x": 1}, new=["x"]))])
    said = one.take([(0, part(1, {})), (1, part(1, {"x": 3}, new=["x"]))])
    assert one.counts["births"] == 1
    assert told(said, "log_patterns_total") == [(1, 1)]
    assert told(said, "log_pattern_lines_total") == [(1, 5)]


def test_what_is_new_is_learned_before_its_lines_are_counted() -> None:
    """Whichever partition tells of it: a line's text comes once, from where it was met first."""
    one = begun(2)
    said = one.take([(0, part(0, {"x": 2})), (1, part(0, {"x": 3}, new=["x"]))])
    assert one.counts["lines_unmined"] == 0
    assert told(said, "log_pattern_lines_total", pattern="x") == [(-1, 0), (0, 5)]


def test_lines_whose_text_never_came_are_counted_without_a_pattern() -> None:
    one = begun()
    said = one.take([(0, part(0, {"x": 2}))])
    assert one.counts["lines_unmined"] == 2
    assert told(said) == [(-1, 0), (0, 2)]


def test_a_partition_is_waited_for_so_long_and_no_longer() -> None:
    one = begun(2)
    said = one.take([(0, part(0, *[{"x": 1}] * MAX_WAITING, new=["x"]))])
    assert said == []
    said = one.take([(0, part(MAX_WAITING, {"x": 1}, {"x": 1}))])
    assert told(said) == [(-1, 0), (0, 1), (1, 2)]
    assert len(one.waiting) == MAX_WAITING


def test_what_comes_for_steps_that_were_mined_is_counted_as_stalled_and_its_patterns_are_learned() -> None:
    one = begun(2)
    one.take([(0, part(0, *[{"x": 1}] * (MAX_WAITING + 3), new=["x"]))])
    one.take([(1, part(0, {"y": 2}, {"y": 5}, {}, {"y": 7}, new=["y"]))])
    assert one.counts["stalled"] == 7
    assert told(one.take([(1, part(4, {}))]), "log_pattern_lines_total", pattern="y") == [(4, 7)]
    assert one.counts["births"] == 2
    (pattern,) = (one for one in one.tree if one.name == "y")
    assert (pattern.lines, pattern.born) == (7, FIRST + 3)


def test_one_without_control_records_is_waited_for_too() -> None:
    one = miner(2)
    assert one.take([(0, part(0, {"x": 1}))]) == []
    assert told(one.take([(0, part(1, *[{}] * MAX_WAITING))])) == [(-1, 0), (0, 1)]


def test_steps_that_nobody_witnessed_are_not_told_of() -> None:
    one = begun()
    one.take([(0, part(0, {"x": 1}, new=["x"]))])
    gap = LogPart(FIRST + 1, FIRST + 50, (), ())
    assert one.take([(0, gap)]) == []
    assert told(one.take([(0, part(50, {"x": 1}))])) == [(49, 1), (50, 2)]


def full(*texts: str, limits: MiningLimits) -> Miner:
    """A miner that met each of these in a step of its own."""
    one = begun(limits=limits)
    one.take([(0, part(step, {text: 1}, new=[text])) for step, text in enumerate(texts)])
    return one


FEW = MiningLimits(max_patterns=3, idle_s=1000)


def test_beyond_the_bound_of_patterns_lines_have_none() -> None:
    one = full("a", "b", "c", "d", limits=FEW)
    assert [pattern.name for pattern in one.tree] == ["a", "b", "c"]
    assert (one.counts["patterns_refused"], one.counts["lines_unmined"], one.counts["births"]) == (1, 1, 3)
    one.take([(0, part(4, {"d": 5, "a": 1}))])
    assert one.counts["lines_unmined"] == 6
    assert one.tree.patterns[0].lines == 2


def run(one: Miner, steps: Iterable[int], step: dict[str, int]) -> None:
    """The same in each of these steps."""
    one.take([(0, part(at, step)) for at in steps])


def test_the_pattern_that_was_idle_longest_makes_room() -> None:
    one = full("a", "b", "c", limits=FEW)
    one.take([(0, part(3, {"b": 1}))])
    run(one, range(4, 5 + FEW.idle_steps), {"a": 1})
    one.take([(0, part(5 + FEW.idle_steps, {"e": 2}, new=["e"]))])
    assert [pattern.name for pattern in one.tree] == ["a", "b", "e"]
    assert one.counts["patterns_forgotten"] == 1


def test_one_that_is_born_again_soon_after_it_made_room_counts_from_nothing() -> None:
    one, idle = full("a", "b", "c", limits=FEW), FEW.idle_steps
    run(one, range(3, idle * 6 // 10), {"b": 1, "c": 1})
    run(one, range(idle * 6 // 10, idle + 5), {"c": 1})
    one.take([(0, part(idle + 5, {"d": 1}, new=["d"]))])
    run(one, range(idle + 6, idle + 70), {"c": 1})
    said = one.take([(0, part(idle + 70, {"a": 7}, new=["a"]))])
    assert [pattern.name for pattern in one.tree] == ["c", "d", "a"]
    assert told(said, "log_pattern_lines_total", pattern="a") == [(idle + 69, 0), (idle + 70, 7)]


def test_where_there_is_no_room_for_more_those_that_are_known_are_found() -> None:
    """Whatever else their lines say."""
    one = full("user of a is b", "c", "d", limits=FEW)
    one.take([(0, part(3, {"user of a is z": 1}, new=["user of a is z"]))])
    assert (one.counts["patterns_refused"], one.counts["lines_unmined"]) == (0, 0)
    assert one.tree.patterns[0].lines == 2


def test_a_pattern_is_not_born_again_to_make_room_for_itself() -> None:
    one = full("a", "b", "c", limits=FEW)
    run(one, range(3, 3 + 2 * FEW.idle_steps), {})
    assert one.lines.patterns == {}, "long forgotten"
    one.take([(0, part(3 + 2 * FEW.idle_steps, {"a": 1, "e": 2}, new=["a", "e"]))])
    assert [pattern.name for pattern in one.tree] == ["a", "c", "e"]
    assert (one.counts["births"], one.counts["lines_unmined"]) == (4, 0)


def test_a_pattern_that_was_forgotten_is_born_again() -> None:
    one, idle = full("a", "b", "c", limits=FEW), FEW.idle_steps
    run(one, range(3, 4 + idle), {"b": 1, "c": 1})
    one.take([(0, part(4 + idle, {"d": 1}, new=["d"]))])
    run(one, range(5 + idle, 6 + 2 * idle), {"c": 1, "d": 1})
    said = one.take([(0, part(6 + 2 * idle, {"a": 7}, new=["a"]))])
    assert [pattern.name for pattern in one.tree] == ["c", "d", "a"]
    assert one.counts["births"] == 5
    assert told(said, "log_pattern_lines_total", pattern="a") == [(5 + 2 * idle, 0), (6 + 2 * idle, 7)]
    assert told(said, "log_patterns_total") == [(6 + 2 * idle, 5)]


def test_lines_that_found_no_room_find_it_once_there_is_some() -> None:
    """As soon as their text is told again."""
    one, idle = full("a", "b", "c", "d", limits=FEW), FEW.idle_steps
    assert one.lines.patterns[hash_of("d")] == UNKNOWN
    run(one, range(4, 6 + idle // 2), {"d": 1})
    one.take([(0, part(6 + idle // 2, {"d": 1}, new=["d"]))])
    assert one.counts["patterns_refused"] == 2
    run(one, range(7 + idle // 2, 5 + idle), {"d": 1})
    said = one.take([(0, part(5 + idle, {"d": 4}, new=["d"]))])
    assert [value for _, value in told(said, "log_pattern_lines_total", pattern="d")] == [0, 4]


def test_room_is_sought_in_vain_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of lines that nobody knows does not look through all patterns for each."""
    one, sought = full("a", "b", "c", limits=FEW), list[int]()
    make_room = one._make_room
    monkeypatch.setattr(one, "_make_room", lambda step: (sought.append(step), make_room(step)))
    texts = [f"{a}{b}" for a in "klmn" for b in "opqrstuvw"]
    run(one, [3], {})
    one.take([(0, part(4, dict.fromkeys(texts, 1), new=texts)), (0, part(5, {}, new=["x", "y"]))])
    assert sought == [FIRST + 4, FIRST + 5]
    assert one.counts["patterns_refused"] == len(texts) + 2


def test_beyond_the_bound_of_masked_lines_they_have_a_pattern_but_are_not_found() -> None:
    one = full("a", "b", "c", limits=MiningLimits(max_lines=2))
    assert (one.lines.refused, one.counts["births"], one.counts["lines_unmined"]) == (1, 3, 1)


def test_beyond_the_bound_of_scopes_their_lines_are_not_told_of() -> None:
    one = begun(limits=MiningLimits(max_scopes=1))
    said = one.take([(0, part(0, {"a": 1}, new=["a"]))])
    said += one.take([(0, part(1, {"b": 9}, new=["b"], scope=SHOP._replace(level=Level.ERROR)))])
    assert one.counts["scopes_refused"] == 1
    assert told(said) == [(-1, 0), (0, 1), (1, 1)]


def test_a_line_is_remembered_as_long_as_its_text_comes() -> None:
    """Even if its lines come too late to be counted: the reader does not tell of it again soon."""
    one = begun()
    idle = LIMITS.idle_steps
    one.take([(0, part(0, {"a": 1}, new=["a"])), (0, part(1, *[{}] * (idle - 2)))])
    one.take([(0, part(idle - 1, {}, new=["a"])), (0, part(idle, *[{}] * (idle // 2)))])
    one.take([(0, part(idle + idle // 2, {"a": 1}))])
    assert one.counts["lines_unmined"] == 0


def log_of(partition: int, seed: int, steps: int = 30) -> list[Record]:
    """One partition's records: two tenants, three services, late lines, a gap of log time."""
    rng, records = random.Random(2 * seed + partition), []
    for step in range(steps):
        at_ms = START_MS + LIMITS.step_ms * (step + (20 if step > steps // 2 else 0))
        for tenant in ("t", "u"):
            said = [(at_ms + rng.randrange(-20_000, 9_000), f"{rng.choice(WORDS)} {rng.choice(WORDS)} {rng.random()}")
                    for _ in range(rng.randrange(6))]  # fmt: skip
            app = rng.choice(["shop", "mail", "web"])
            records.append(lines({"app": app, "pod": f"{app}-{partition}"}, *said, tenant=tenant, partition=partition))
        records += [control(at_ms + 5000 * n, partition) for n in (1, 2)]
    return records


WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "ERROR", "warn"]


def interleaved(logs: list[list[Record]], rng: random.Random) -> Iterator[Record]:
    """Each partition's records in their order, mixed anyhow."""
    left = [list(reversed(log)) for log in logs]
    while any(left):
        yield rng.choice([log for log in left if log]).pop()


def both(said: list[OutRecord]) -> tuple[Told, Told]:
    return samples(said, "t"), samples(said, "u")


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_however_partitions_are_interleaved_and_cut_the_same_comes_out(seed: int, rng: random.Random) -> None:
    logs = [log_of(partition, seed) for partition in range(3)]
    expected = [
        record for record in Mine(3).take([one for log in logs for one in log]) if record.topic == TOPICS.metrics
    ]
    mixed, mine, said = list(interleaved(logs, rng)), Mine(3), list[OutRecord]()
    while mixed:
        n = rng.randrange(1, 40)
        said += mine.take(mixed[:n])
        del mixed[:n]
    assert [record for record in said if record.topic == TOPICS.metrics] == expected
    assert all(both(expected))


def test_where_a_stream_lies_does_not_matter() -> None:
    """Its pod moves to another partition: nothing is new, and the counters go on."""

    def records(home: list[int]) -> list[Record]:
        said = [
            lines({"app": "shop", "pod": f"p{at}"}, (START_MS + 10_000 * step, f"INFO took {step} ms"), partition=at)
            for step, at in enumerate(home)
        ]  # fmt: skip
        clock = [[control(START_MS + 10_000 * step + 9_000, at) for at in range(2)] for step in range(len(home) + 2)]
        return [*clock[0], *(one for line, tick in zip(said, clock[1:], strict=False) for one in (line, *tick))]

    stays, moves = (samples(Mine(2).take(records(home))) for home in ([0] * 60, [0] * 30 + [1] * 30))
    assert moves == stays
    assert any(value == 60 for series in stays.values() for _, value in series)


def test_two_tenants_know_nothing_of_each_other() -> None:
    def said_of(tenants: list[str]) -> list[OutRecord]:
        mine = Mine()
        said = mine.take([control(START_MS)])
        for step in range(20):
            at_ms = START_MS + 10_000 * step
            for tenant in tenants:
                said += mine.take([lines({"app": "shop"}, (at_ms, f"INFO {tenant} says {step}"), tenant=tenant)])
            said += mine.take([control(at_ms + 10_000)])
        return said

    assert samples(said_of(["t", "u"]), "t") == samples(said_of(["t"]), "t")
    assert samples(said_of(["t", "u"]), "u") == samples(said_of(["u"]), "u")


@pytest.mark.parametrize("hours", [1.2, 4, 9])
def test_a_service_that_was_idle_for_hours_goes_on_as_it_was(hours: float) -> None:
    mine, said, steps = Mine(), list[OutRecord](), round(360 * hours)
    mine.take([control(START_MS)])
    for step in range(steps + 20):
        at_ms, busy = START_MS + 10_000 * step, step < 10 or step > steps
        said = mine.take([lines({"app": "shop"}, (at_ms, f"INFO request {step} done"))] if busy else [])
        said += mine.take([control(at_ms + second) for second in (5_000, 10_000)])
        if step > steps + 2:
            assert {value for name, series in samples(said).items() if dict(name)["__name__"] == "log_patterns_total"
                    for _, value in series} == {1}  # fmt: skip
    assert mine.miner.counts["births"] == 1
    assert mine.miner.counts["lines_unmined"] == 0


@pytest.mark.parametrize("gap_s", [0, 40, 70, 300, 1200])
def test_what_is_new_after_a_gap_of_log_time_is_told_of_as_news(gap_s: int) -> None:
    """Though its lines came before the first control record after the gap: senders were waiting."""
    mine, said, steps = Mine(), list[OutRecord](), 400
    for step in range(steps):
        at_ms = START_MS + 10_000 * step
        mine.take(
            [lines({"app": "shop"}, (at_ms, f"INFO took {step} ms")), control(at_ms + 5_000), control(at_ms + 10_000)]
        )
    back_ms = START_MS + 10_000 * steps + 1000 * gap_s
    said += mine.take([lines({"app": "shop"}, (back_ms, "ERROR no such thing"))])
    for second in range(5, 300, 5):
        said += mine.take([control(back_ms + 1000 * second)])
    (news,) = [
        series for labels, series in samples(said).items()
        if ("__name__", "log_pattern_novelty") in labels and ("pattern", "ERROR no such thing") in labels
    ]  # fmt: skip
    times_ms = [time_ms - back_ms for time_ms, _ in news]
    assert min(value for _, value in news) > 2
    assert len([time_ms for time_ms in times_ms if time_ms > 0]) >= 5
    assert min(times_ms) > -LIMITS.step_ms


def test_so_many_new_lines_wait_for_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.mining.miner.MAX_NEW", 3)
    mine = Mine(2)
    for step in range(5):
        at_ms = START_MS + 10_000 * step
        mine.take([lines({"app": "shop"}, (at_ms, "it is " + "abcde"[step])), control(at_ms + 10_000)])
    assert sum(len(new) for told in mine.miner.texts.values() for new in told.values()) == 3
    mine.take([control(START_MS + 10_000, 1), control(START_MS + 100_000, 1)])
    assert [pattern.name for pattern in mine.miner.tree] == ["it is a", "it is b", "it is c"]
    assert mine.miner.counts["new_refused"] == 2
