from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.anomaly import EventType
from connectors.codec.encode import encode_labels
from connectors.detector import Budget, Detector, DetectorConfig, Group, Period, Shape
from connectors.messages import ControlRecord, OutRecord
from flows.block import Block
from flows.budget import LEARN_S, PERIOD_S, Budgets, level_of
from flows.chunks import Chunk, Samples
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.partial import GroupName, Part, Portion
from flows.persistence import load, save
from flows.policy import POLICY, policy_of, threshold_at
from flows.trials import LEVELS, N_LEVELS
from tests import naive_budget
from tests.benchmarks.budget import DAY_S, Case, Partitions, keep, mixture
from tests.examples import examples
from tests.series import START_MS
from tests.streams import TOPICS, Log, anomalies, by_id, pieces

STEP_S = 600
WEEKS = mixture(60, 14 * DAY_S // STEP_S, STEP_S)
PER_DAY = Budget(per=Period.DAY, alarms=40.0)


def config(budget: Budget = PER_DAY, **changes: Any) -> DetectorConfig:
    return DetectorConfig(**{"name": "n", "kind": "ewma", "selector": "m", "budget": budget, **changes})


def begun(*budgets: Budget) -> tuple[Budgets, np.ndarray]:
    """Detectors with these budgets, numbered from 0."""
    made, policies = Budgets(), np.zeros(len(budgets), POLICY)
    for number, budget in enumerate(budgets):
        policies[number] = policy_of(config(budget))
        made.begin(number, budget, policies)
    return made, policies


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "budget", "partitions"),
    [("auto", Budget(per=Period.DAY, alarms=3.0), 1), ("ewma", Budget(per=Period.WEEK, alarms=40.0), 2)],
)
def test_budgets_are_kept_over_two_weeks(kind: str, budget: Budget, partitions: int) -> None:
    kept = keep(Case(budget, partitions, kind), WEEKS, STEP_S)
    assert 0.5 <= kept.ratio <= 1.5
    assert all(0.4 <= ratio <= 1.6 for ratio in kept.by_week)
    assert max(kept.opened) <= 5 * kept.wanted / 14, "no day is a storm of alarms"


MINUTES = st.lists(
    st.tuples(
        st.sampled_from([60.0, 61.5, 600.0]), st.sampled_from([0, 1, 500]), st.sampled_from([0, 0, 1, 30]),
        st.lists(st.integers(0, len(LEVELS) - 1), max_size=5),
    ),
    max_size=40,
)  # fmt: skip


@examples(60)
@given(MINUTES, st.sampled_from([(Period.HOUR, 2.0), (Period.DAY, 3.0), (Period.WEEK, 0.5)]), st.sampled_from([1, 8]))
def test_thresholds_agree_with_their_twin(
    minutes: list[tuple[float, int, int, list[int]]], given_budget: tuple[Period, float], partitions: int
) -> None:
    per, alarms = given_budget
    budgets, policies = begun(Budget(per=per, alarms=alarms))
    twin, log_ms = naive_budget.Budget(alarms / PERIOD_S[per] / partitions), 0
    for since_s, judged, opened, peaks in [*minutes, *(40 * [(600.0, 3, 0, [])])]:
        reached = [sum(peak >= level for peak in peaks) for level in range(len(LEVELS))]
        budgets.table["present"][0] += reached
        budgets.table["judged"][0] = judged
        for _ in range(opened if judged else 0):
            budgets.opened(0)
        log_ms += round(1000 * since_s)
        assert budgets.due(log_ms)
        budgets.decide(log_ms, partitions, policies)
        expected = twin.decide(since_s, judged, opened, reached)
        if expected is not None:
            assert policies[0]["threshold"] == policies[0]["least"] == pytest.approx(expected, rel=1e-9)
            assert 1.0 <= policies[0]["trial"] <= max(1.0, min(expected, 300.0) - 1.0)


def test_until_it_has_learned_nothing_is_surprising_and_then_the_promise_stands() -> None:
    """Ten samples a minute that keep the promise: one a day is one of 14,400."""
    budgets, policies = begun(Budget(per=Period.DAY, alarms=1.0))
    for minute in range(1, 400):
        assert math.isinf(threshold_at(policies[0], 60.0)) == (minute <= 1 + LEARN_S / 60)
        budgets.table["judged"][0] = 10
        budgets.decide(60_000 * minute, 1, policies)
    assert threshold_at(policies[0], 60.0) == pytest.approx(math.log10(14_400), abs=0.2)


def test_time_in_which_nothing_is_judged_does_not_count() -> None:
    budgets, policies = begun(PER_DAY)
    budgets.table["judged"][0] = 5
    budgets.decide(60_000, 1, policies)
    before = {name: column.copy() for name, column in budgets.table.arrays.items()}
    budgets.decide(10 * 86_400_000, 1, policies)
    for name, column in budgets.table.arrays.items():
        np.testing.assert_array_equal(column, before[name])


def test_rows_are_reused_and_come_empty() -> None:
    budgets, policies = begun(PER_DAY, PER_DAY)
    budgets.table["past"][:] = budgets.table["owed"][:] = 7.0
    budgets.end(0)
    budgets.end(5)  # without a budget
    assert len(budgets) == 1
    budgets.begin(0, Budget(per=Period.HOUR, alarms=1.0), policies)
    row = int(policies[0]["budget"])
    assert (budgets.rows[0], budgets.table["past"][row].sum(), budgets.table["owed"][row]) == (row, 0.0, 0.0)
    assert budgets.table["alarms_per_s"][row] == 1 / 3600
    assert row != policies[1]["budget"]


def test_a_new_budget_writes_nothing_but_its_own_policy() -> None:
    """Where detectors are thousands, to write all policies for each new one would take seconds."""
    budgets, policies = begun(PER_DAY, PER_DAY)
    policies["threshold"][0] = 123.0
    budgets.end(1)
    budgets.begin(1, PER_DAY, policies)
    assert policies["threshold"].tolist() == [123.0, np.inf]
    budgets.apply(policies)
    assert policies["threshold"].tolist() == [np.inf, np.inf]


@pytest.mark.long
def test_a_storm_does_not_make_it_deaf() -> None:
    """Twenty alarms in half an hour, after ten days of three: within it and after it hears what is rare."""
    budgets, policies = begun(Budget(per=Period.DAY, alarms=3.0))
    random = np.random.default_rng(0)
    thresholds = []
    for step in range(1, 12 * 144):
        surprises = -np.log10(random.random(5000))
        if 10 * 144 <= step < 10 * 144 + 3:
            surprises[:7] = 200.0
        budgets.table["present"][0] += (surprises[surprises >= 2.0][:, None] >= LEVELS).sum(axis=0)
        budgets.table["opened"][0] = int((surprises >= policies[0]["threshold"]).sum())
        budgets.table["judged"][0] = 5000
        budgets.decide(600_000 * step, 1, policies)
        thresholds.append(float(policies[0]["threshold"]))
    calm, after = thresholds[10 * 144 - 2], thresholds[10 * 144 :]
    assert calm == pytest.approx(math.log10(5000 * 144 / 3), abs=0.5)
    assert calm < max(after) < calm + 2.0
    assert after[-1] < calm + 1.0


def partition(values: np.ndarray, detector: DetectorConfig) -> tuple[Block, list[Chunk]]:
    """A block and its log, in which a control record stands before every fifth row."""
    made = Partitions(detector, values.shape[1], 1, STEP_S)
    samples = [chunk for chunk in made.chunks(values, 0) if isinstance(chunk, Samples)]
    chunks: list[Chunk] = []
    for first in range(0, len(samples), 5):
        rows = samples[first : first + 5]
        columns = (np.concatenate([getattr(row, name) for row in rows]) for name in ("series", "times_ms", "values"))
        time_ms = int(rows[-1].times_ms[0])
        chunks.append(ControlRecord(time_ms=time_ms, detectors_offset=1, feedback_offset=0))
        chunks.append(Samples(*columns, None, rows[0].new))
    return made.blocks[0], chunks


def cut(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        yield from pieces(chunk)


def opened(records: Sequence[OutRecord]) -> int:
    return sum(event.event is EventType.OPENED for event in anomalies(records))


@pytest.mark.long
def test_the_same_input_in_other_pieces_gives_the_same_events() -> None:
    values = WEEKS[:1000, :12]
    whole, chunks = partition(values, config())
    parts, _ = partition(values, config())
    expected = whole.take(chunks)
    assert opened(expected) > 40
    assert by_id(anomalies(parts.take(cut(chunks)))) == by_id(anomalies(expected))


@pytest.mark.long
def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    values = WEEKS[:1000, :12]
    uninterrupted, chunks = partition(values, config(cooldown_s=3600.0))
    expected = uninterrupted.take(chunks)
    block, _ = partition(values, config(cooldown_s=3600.0))
    told: list[OutRecord] = []
    for at in range(0, len(chunks), 25):
        told += block.take(chunks[at : at + 25])
        empty, _ = partition(values, config(cooldown_s=3600.0))
        again = load(save(block), empty)
        assert save(load(save(again), partition(values, config(cooldown_s=3600.0))[0])) == save(again)
        assert len(again.trials) == len(block.trials)
        block = again
    assert opened(expected) > 40
    assert by_id(anomalies(told)) == by_id(anomalies(expected))


@pytest.mark.long
def test_a_changed_budget_begins_anew_and_a_new_name_does_not() -> None:
    _, chunks = partition(WEEKS[:400, :12], config())
    ids = {len(by_id(anomalies(partition(WEEKS[:400, :12], config(name=name))[0].take(chunks)))) for name in "ab"}
    assert len(ids) == 1
    other = config(Budget(per=Period.HOUR, alarms=40.0 / 24))
    same, changed = (partition(WEEKS[:400, :12], one)[0].take(chunks) for one in (config(), other))
    assert not by_id(anomalies(same)).keys() & by_id(anomalies(changed)).keys()


@pytest.mark.long
def test_a_detector_without_a_budget_tries_nothing() -> None:
    plain = DetectorConfig(name="n", kind="ewma", selector="m", threshold=4.0)
    block, chunks = partition(WEEKS[:300, :12], plain)
    block.take(chunks)
    assert (len(block.watch.budgets), len(block.trials)) == (0, 0)


@pytest.mark.long
def test_groups_keep_a_budget_where_they_are_judged() -> None:
    grouped = config(Budget(per=Period.DAY, alarms=10.0), group=Group(by=("x",), step_s=600), shape=Shape.RAW)
    detector = Detector(id="d", revision=1, config=grouped, author="", updated_ms=0)
    merge, random = Merge(TOPICS, BlockLimits(), 2), np.random.default_rng(0)
    names = tuple(GroupName(encode_labels({"x": str(n)})) for n in range(20))
    told = 0
    for step in range(START_MS // 600_000, START_MS // 600_000 + 7 * 144):
        portion = Portion(0, Shape.RAW, names, np.ones(20, np.int64), random.normal(size=20))
        parts = [Part(detector, 0, first=step, until=step, portions=mine) for mine in ((portion,), ())]
        told += opened(merge.take(enumerate(parts)))
    assert 0.5 <= told / 70 <= 1.5
    log = Log()
    log.detector("d", grouped)
    log.control(0)
    assert len(log.run()[0].watch.budgets) == 0, "a partition only gathers"


def test_counts_that_only_their_last_bit_tells_apart_have_a_level() -> None:
    """Their logarithms are equal: no level lies between them."""
    expected = np.full(N_LEVELS, 100.0)
    expected[0] = math.nextafter(100.0, math.inf)
    assert math.log(expected[0]) == math.log(expected[1])
    assert level_of(expected, 100.0) == LEVELS[1]
