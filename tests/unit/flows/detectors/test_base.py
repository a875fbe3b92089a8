from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from flows.detectors.base import BAND_Z, SURPRISE_MAX, Column, Detector, Floats, Ints, Scored, Table
from flows.detectors.registry import KINDS, Trait
from tests import naive
from tests.checks import CHECKS, Make, forbidden_imports

SMALL: dict[str, list[dict[str, Any]]] = {
    "mad": [{"window": 5}, {"window": 16, "warmup": 7}],
    "zscore": [{"window": 5}, {"window": 16, "warmup": 7}],
    "ewma": [{"alpha": 0.1, "warmup": 8}],
    "quantile": [{"window": 16, "warmup": 7}],
    "changepoint": [{"warmup": 8}, {"method": "page_hinkley", "warmup": 8, "slack": 1.0}],
    "forecast": [{"warmup": 8}, {"warmup": 8, "period_s": 16}, {"warmup": 8, "period_s": 0}],
    "seasonal": [{"warmup": 8}, {"warmup": 8, "period_s": 48}],
    "flatline": [{"warmup": 8, "tolerance": 0.5}],
    "missing": [{"warmup": 8}],
    "iqr": [{"window": 5}, {"window": 16, "warmup": 7}],
    "threshold": [{"spread": 3.0}],
    "river": [{"warmup": 10, "model_params": {"grace_period": 10}}],
}
"""Parameters to cross with the checks besides the defaults; a new kind without a line here is checked all the same."""
EXCUSED: dict[str, dict[str, str]] = {
    "threshold": {
        "check_constant_input_is_expected": "the bounds are stated, not learned: test_threshold",
        "check_levels_do_not_matter": "the bounds are stated, not learned: test_threshold",
    },
    "auto": {
        "check_band_agrees_with_score": "its band is that of single members, together they see more: test_auto",
    },
    "changepoint": {
        "check_further_is_never_less_surprising": "sums remember: an expected sample may surprise: test_changepoint",
    },
    "flatline": {
        "check_constant_input_is_expected": "values surprise by standing still, not by their size: test_flatline",
        "check_levels_do_not_matter": "values surprise by standing still, not by their size: test_flatline",
        "check_further_is_never_less_surprising": "values surprise by standing still, not by their size: test_flatline",
        "check_band_agrees_with_score": "values surprise by standing still, not by their size: test_flatline",
    },
    "missing": {
        "check_gaps_are_neither_scored_nor_learned": "a NaN is a sign of life: test_missing",
        "check_constant_input_is_expected": "judges when samples come, not their values: test_missing",
        "check_levels_do_not_matter": "judges when samples come, not their values: test_missing",
        "check_further_is_never_less_surprising": "judges when samples come, not their values: test_missing",
        "check_band_agrees_with_score": "judges when samples come, not their values: test_missing",
    },
}
"""Checks that a kind need not keep, each with the reason and the test that stands in for it."""
TOO_SHORT = {"check_an_outlier_leaves_no_false_alarms", "check_levels_do_not_matter"}
"""Statistical checks: a window of 5 estimates so badly that noise alone gives surprises."""


def cases() -> list[Any]:
    found = []
    for kind in KINDS:
        if Trait.TOGETHER in KINDS[kind].traits:
            continue  # they judge whole steps of groups, not a signal: test_outlier has checks of its own
        for params in [{}, *SMALL.get(kind, [])]:
            for check in CHECKS:
                if check.__name__ in EXCUSED.get(kind, {}) or (params and check.__name__ in TOO_SHORT):
                    continue
                name = ",".join(f"{key}={value}" for key, value in params.items()) or "defaults"
                found.append(pytest.param(kind, params, check, id=f"{kind}-{name}-{check.__name__}"))
    return found


@pytest.mark.long
@pytest.mark.parametrize(("kind", "params", "check"), cases())
def test_every_kind_keeps_the_contract(kind: str, params: dict[str, Any], check: Callable[[Make], None]) -> None:
    entry = KINDS[kind]
    check(lambda: entry.make(entry.params(**{**entry.example, **params})))


@pytest.mark.parametrize("kind", EXCUSED)
def test_what_is_excused_would_fail(kind: str) -> None:
    """Else the excuse is stale."""
    entry = KINDS[kind]
    for check in CHECKS:
        if check.__name__ in EXCUSED[kind]:
            with pytest.raises(AssertionError):
                check(lambda: entry.make(entry.params(**entry.example)))


# the checks are tested with detectors that must fail


@dataclass
class Honest:
    """A slow detector that keeps the contract: all values, their mean and deviation."""

    needed: int = 10
    memory: dict[int, list[float]] = field(default_factory=dict)

    def allocate(self, rows: int) -> Table:
        return Table((Column("values", np.float64, 4000), Column("seen", np.int32)), rows)

    def known(self, state: Table, row: int) -> Floats:
        known: Floats = state["values"][row][: state["seen"][row]]
        return known

    def learn(self, state: Table, row: int, value: float) -> None:
        state["values"][row, state["seen"][row]] = value
        state["seen"][row] += 1

    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        centre = float(np.median(history))
        spread = 1.4826022185056018 * float(np.median(np.abs(history - centre)))
        spread = spread if spread > 0 else 1e-3 * abs(centre)
        away = abs(value - centre)
        z = away / spread if spread > 0 else (math.inf if away else 0.0)
        return naive.surprise(z), centre, centre - BAND_Z * spread, centre + BAND_Z * spread

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:  # noqa: ARG002 - the contract
        out = Scored.empty(len(rows))
        for i, (row, value) in enumerate(zip(rows.tolist(), values.tolist(), strict=True)):
            verdict = self.one(state, row, value)
            for column, number in zip(out, verdict, strict=True):
                column[i] = number
        return out

    def one(self, state: Table, row: int, value: float) -> tuple[float, ...]:
        if not abs(value) < 1e100:
            return naive.NO_VERDICT
        history = self.known(state, row)
        verdict = self.judge(history, value) if len(history) >= self.needed else naive.NO_VERDICT
        self.learn(state, row, value)
        return verdict

    def derive(self, state: Table, rows: Ints) -> None:
        pass

    def needs(self, state: Table, rows: Ints) -> Ints:
        return np.maximum(0, self.needed - state["seen"][rows].astype(np.int64))


class LearnsFirst(Honest):
    def one(self, state: Table, row: int, value: float) -> tuple[float, ...]:
        if not math.isfinite(value):
            return naive.NO_VERDICT
        self.learn(state, row, value)
        history = self.known(state, row)
        return self.judge(history, value) if len(history) > self.needed else naive.NO_VERDICT


class ZeroWhileWarmingUp(Honest):
    def one(self, state: Table, row: int, value: float) -> tuple[float, ...]:
        verdict = super().one(state, row, value)
        return (0.0, *verdict[1:]) if math.isnan(verdict[0]) and math.isfinite(value) else verdict


class LearnsGaps(Honest):
    def one(self, state: Table, row: int, value: float) -> tuple[float, ...]:
        if not math.isfinite(value):
            self.learn(state, row, 0.0)
            return naive.NO_VERDICT
        return super().one(state, row, value)


class ScoresInfinity(Honest):
    def one(self, state: Table, row: int, value: float) -> tuple[float, ...]:
        history = self.known(state, row)
        if math.isinf(value) and len(history) >= self.needed:
            return (SURPRISE_MAX, *self.judge(history, 0.0)[1:])
        return super().one(state, row, value)


class LearnsPerBatch(Honest):
    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        frozen = Table(state.columns, state.rows)
        for name, array in state.arrays.items():
            frozen.arrays[name] = array.copy()
        out = super().step(state, rows, times_ms, values)
        for i, (row, value) in enumerate(zip(rows.tolist(), values.tolist(), strict=True)):
            if not math.isnan(out.score[i]) and len(self.known(frozen, row)) >= self.needed:
                out.score[i] = self.judge(self.known(frozen, row), value)[0]
        return out


class SharesRows(Honest):
    def known(self, state: Table, row: int) -> Floats:
        own = super().known(state, row)
        others = [super(SharesRows, self).known(state, other) for other in range(state.rows)]
        return np.concatenate(others) if len(own) >= self.needed else own


class RemembersElsewhere(Honest):
    def known(self, state: Table, row: int) -> Floats:  # noqa: ARG002 - the fault
        return np.array(self.memory.get(row, []))

    def learn(self, state: Table, row: int, value: float) -> None:
        self.memory.setdefault(row, []).append(value)
        state["seen"][row] += 1


class ForgetsToDerive(Honest):
    def allocate(self, rows: int) -> Table:
        return Table((Column("values", np.float64, 4000, derived=True), Column("seen", np.int32)), rows)


class NeedsNothing(Honest):
    def needs(self, state: Table, rows: Ints) -> Ints:
        return np.where(state["seen"][rows] >= self.needed, 0, self.needed)


class NotANumberWhenConstant(Honest):
    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        if history.min() == history.max():
            return (math.nan, *super().judge(history, value)[1:])
        return super().judge(history, value)


class Endless(Honest):
    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        score, centre, lower, upper = super().judge(history, value)
        return score if score < SURPRISE_MAX else math.inf, centre, lower, upper


class UpsideDown(Honest):
    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        score, centre, lower, upper = super().judge(history, value)
        return score, centre, upper, lower


class RawFloat32(Honest):
    def known(self, state: Table, row: int) -> Floats:
        return super().known(state, row).astype(np.float32).astype(np.float64)


class SumOfSquares(Honest):
    """E[x²] − E[x]², the classic."""

    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        mean, squares = float(np.mean(history)), float(np.mean(history * history))
        spread = math.sqrt(max(0.0, squares - mean * mean)) or 1e-3 * abs(mean)
        z = abs(value - mean) / spread if spread else (math.inf if value != mean else 0.0)
        return naive.surprise(z), mean, mean - BAND_Z * spread, mean + BAND_Z * spread


class LeavesResidue(Honest):
    """Believes in no spread below the rounding of its largest value, and moves the centre by it."""

    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        score, centre, lower, upper = super().judge(history, value)
        residue = 1e-10 * float(np.max(np.abs(history)))
        return (naive.surprise(residue) if residue > 1 else score), centre, lower, upper


class Saturates(Honest):
    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        score, *band = super().judge(history, value)
        return (score if score < 200 else 100.0), *band


class WideBand(Honest):
    def judge(self, history: Floats, value: float) -> tuple[float, ...]:
        score, centre, lower, upper = super().judge(history, value)
        return score, centre, centre - 2 * (centre - lower), centre + 2 * (upper - centre)


class SortsItsInput(Honest):
    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        values.sort()
        return super().step(state, rows, times_ms, values)


BROKEN: list[tuple[type[Honest], str]] = [
    (LearnsFirst, "check_scores_before_it_learns"),
    (ZeroWhileWarmingUp, "check_says_nothing_while_warming_up"),
    (NeedsNothing, "check_says_nothing_while_warming_up"),
    (LearnsGaps, "check_gaps_are_neither_scored_nor_learned"),
    (ScoresInfinity, "check_gaps_are_neither_scored_nor_learned"),
    (LearnsPerBatch, "check_batches_may_be_cut_anywhere"),
    (SharesRows, "check_rows_do_not_touch_each_other"),
    (RemembersElsewhere, "check_goes_on_from_a_snapshot"),
    (ForgetsToDerive, "check_goes_on_from_a_snapshot"),
    (RemembersElsewhere, "check_cleared_rows_are_as_new"),
    (NotANumberWhenConstant, "check_constant_input_is_expected"),
    (Endless, "check_verdicts_are_in_range"),
    (UpsideDown, "check_verdicts_are_in_range"),
    (RawFloat32, "check_levels_do_not_matter"),
    (SumOfSquares, "check_levels_do_not_matter"),
    (LeavesResidue, "check_an_outlier_leaves_no_false_alarms"),
    (Saturates, "check_further_is_never_less_surprising"),
    (WideBand, "check_band_agrees_with_score"),
    (SortsItsInput, "check_leaves_its_input_alone"),
]


class CannotGrow(Table):
    def reserve(self, rows: int) -> None:
        super().reserve(rows)
        for array in self.arrays.values():
            array[:] = 0


class ForgetsOnGrowth(Honest):
    def allocate(self, rows: int) -> Table:
        return CannotGrow(super().allocate(0).columns, rows)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_honest_detector_passes(check: Callable[[Make], None]) -> None:
    if check.__name__ == "check_is_pure":
        return  # its module is this one: see test_imports_are_found
    check(Honest)


@pytest.mark.parametrize(
    ("broken", "name"), [*BROKEN, (ForgetsOnGrowth, "check_growth_keeps_what_was_learned")],
    ids=lambda item: item if isinstance(item, str) else item.__name__,
)  # fmt: skip
def test_a_broken_detector_fails(broken: Callable[[], Detector], name: str) -> None:
    check = next(check for check in CHECKS if check.__name__ == name)
    with pytest.raises(AssertionError):
        check(broken)


def test_every_check_has_a_detector_that_fails_it() -> None:
    failed = {name for _, name in BROKEN} | {"check_growth_keeps_what_was_learned", "check_is_pure"}
    assert failed == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize(
    "line", ["import time", "from logging import getLogger", "import kafka.errors", "import random"]
)
def test_imports_are_found(line: str) -> None:
    assert forbidden_imports(f"import math\n\n\ndef f():\n    {line}\n")
    assert not forbidden_imports("import math\nimport numpy.typing\n")


# tables


def test_a_table_grows_with_slack_and_keeps_its_rows() -> None:
    table = Table((Column("a", np.float64), Column("b", np.float32, 3)), 2)
    table["a"][1] = 7.0
    table["b"][1] = 8.0
    table.reserve(3)
    assert table.rows == 16
    table.reserve(17)
    assert table.rows == 18
    assert table["a"].shape == (18,)
    assert table["b"].shape == (18, 3)
    assert (table["a"][1], table["b"][1].tolist()) == (7.0, [8.0] * 3)
    assert not table["a"][2:].any()
    table.reserve(5)
    assert table.rows == 18


def test_a_table_knows_its_memory() -> None:
    assert Table((Column("a", np.float64), Column("b", np.float32, 3)), 10).size_bytes == 10 * (8 + 12)
