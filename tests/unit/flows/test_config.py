from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.detector import Budget, Detector, DetectorRevision, Group, Period, Shape
from connectors.errors import Rejected
from flows.config import CompiledDetector, GatherKey, compile_config
from flows.detectors.mad import Mad
from flows.detectors.registry import KINDS, Trait
from tests.streams import config


def compiled(**changes: Any) -> CompiledDetector:
    return compile_config(Detector(id="d", revision=1, config=config(**changes), author="", updated_ms=0))


DAILY = Budget(per=Period.DAY, alarms=3.0)


@pytest.mark.parametrize(("fields", "words"), [
    ({"windw": 3}, "windw: there is no field 'windw': those are name, kind, selector, params, shape, group, "),
    ({"group": {"byy": []}}, "group.byy: there is no field 'byy': those of group are by, without, aggregate, q, "),
    ({"budget": {"per": "day", "alarms": 1, "of": 1}}, "budget.of: there is no field 'of': those of budget are per, "),
])  # fmt: skip
def test_a_config_in_the_log_with_an_unknown_field_is_told_the_known_ones(fields: dict[str, Any], words: str) -> None:
    revision = {"detector_id": "d", "base_revision": 0, "author": "", "time_ms": 0}
    written = {**revision, "config": {"name": "n", "selector": "up", **fields}}
    with pytest.raises(Rejected) as caught:
        DetectorRevision.decode(json.dumps(written).encode())
    assert f"config.{words}".replace("those of ", "those of config.").replace(
        "those are", "those of config are"
    ) in str(caught.value)


@pytest.mark.parametrize("budget", [
    {"per": "day"}, {"alarms": 3}, {"per": "month", "alarms": 3}, {"per": "day", "alarms": 0},
    {"per": "hour", "alarms": 1e-320},
    {"per": "day", "alarms": "3"}, {"per": "day", "alarms": 10_001}, {"per": "day", "alarms": 3, "of": "all"}, 3,
])  # fmt: skip
def test_a_budget_is_a_period_and_a_number_of_alarms(budget: Any) -> None:
    with pytest.raises(ValidationError, match="budget"):
        config(budget=budget)


def test_budgets_are_part_of_what_is_computed() -> None:
    budgets = [None, DAILY, Budget(per=Period.DAY, alarms=4.0), Budget(per=Period.WEEK, alarms=3.0)]
    assert len({compiled(budget=budget).digest for budget in budgets}) == 4
    written = config(budget={"per": "day", "alarms": 3})
    assert compiled(budget=DAILY).digest == compiled(budget=written.budget).digest


def test_it_makes_what_was_asked_for() -> None:
    detector = compiled(params={"window": 7}, shape=Shape.RATE)
    made = detector.program.make()
    assert isinstance(made, Mad)
    assert made.params.window == 7
    assert detector.program.shape is Shape.RATE


def test_defaults_written_out_are_the_same_program() -> None:
    assert compiled(params={}).program == compiled(params={"window": 60, "floor_ratio": 1e-3}).program


@pytest.mark.parametrize("same", [{"name": "other"}, {"selector": '{__name__="m"}'}, {"enabled": False}])
def test_what_computes_the_same_has_the_same_digest(same: dict[str, Any]) -> None:
    assert compiled(**same).computes == compiled().computes
    assert compiled(**same).digest == compiled().digest


@pytest.mark.parametrize("other", [
    {"kind": "zscore"}, {"selector": "n"}, {"params": {"window": 6}}, {"shape": Shape.RATE}, {"threshold": 8.5},
    {"quiet_s": 6.0}, {"tenant": "t"}, {"calibrate": False},
    {"threshold": None, "chance_per_week": 2.0}, {"close_ratio": 0.5}, {"min_duration_s": 1.0}, {"cooldown_s": 9.0},
    {"min_change": 0.5},
])  # fmt: skip
def test_what_computes_otherwise_has_another_digest(other: dict[str, Any]) -> None:
    assert compiled(**other).digest != compiled().digest


def test_the_digest_is_part_of_anomaly_ids_so_it_never_changes() -> None:
    assert compiled().digest.hex() == "c46cf234af19824e324148ca00d3205c"
    assert compiled(kind="auto", params={}, threshold=None).digest.hex() == "220661a9a378ff6b17272c49f8a6e351"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stated_or_counted_is_not_calibrated(kind: str) -> None:
    params = dict(KINDS[kind].example)
    calibrated = kind not in {"threshold", "flatline", "missing", "auto", "changepoint"}
    group = Group(aggregate="members") if Trait.TOGETHER in KINDS[kind].traits else None
    assert compiled(kind=kind, params=params, group=group).program.calibrated is calibrated
    assert not compiled(kind=kind, params=params, group=group, calibrate=False).program.calibrated


def group(**fields: Any) -> dict[str, Any]:
    return {"group": Group(**fields), "shape": fields.pop("shape", Shape.AUTO)}


def test_what_is_grouped_computes_otherwise_even_if_the_rest_is_equal() -> None:
    ids = {compiled(**group(**fields)).digest for fields in ({}, {"by": ("a",)}, {"step_s": 30}, {"grace_s": 9})}
    assert len(ids | {compiled(shape=Shape.AUTO).digest}) == 5


@pytest.mark.parametrize(("fields", "shape", "expected"), [
    ({"by": ("x", "y")}, Shape.RAW, 'sum by (x, y) (m{a!="1"})'),
    ({"without": ("n",), "aggregate": "max"}, Shape.RAW, 'max without (n) (m{a!="1"})'),
    ({"aggregate": "quantile", "q": 0.25}, Shape.RATE, 'quantile by () (0.25, rate(m{a!="1"}[60s]))'),
    ({"by": ("x",), "denominator": '{job=~"j.*"}', "step_s": 5, "range_s": 10}, Shape.INCREASE,
     'sum by (x) (increase(m{a!="1"}[10s])) / sum by (x) (increase({job=~"j.*"}[10s]))'),
    ({"by": ("x",), "histogram_quantile": 0.9}, Shape.RATE,
     'histogram_quantile(0.9, sum by (le, x) (rate(m{a!="1"}[60s])))'),
])  # fmt: skip
def test_the_signal_is_written_in_promql(fields: dict[str, Any], shape: Shape, expected: str) -> None:
    plan = compiled(**group(**fields), selector='m{a!="1"}').plan
    assert plan is not None
    assert plan.expression(shape) == expected


def test_auto_is_the_rate_of_counters_and_the_value_of_all_else() -> None:
    detector = compiled(shape=Shape.AUTO)
    made = {counter: detector.keys_for({"__name__": "m"}, counter=counter) for counter in (True, False)}
    assert [key.shape for key in (*made[True], *made[False])] == [Shape.RATE, Shape.RAW]


def test_a_series_may_stand_above_and_below_the_line() -> None:
    detector = compiled(selector='m{code="5"}', group=Group(denominator="m"), shape=Shape.RATE)
    roles = [[key.role for key in detector.keys_for({"__name__": "m", "code": code}, counter=True)
              if isinstance(key, GatherKey)] for code in "52"]  # fmt: skip
    assert roles == [[0, 1], [1]]
