from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.detector import Budget, Detector, DetectorConfig, DetectorRevision, Group, Period, Shape
from connectors.errors import Rejected
from flows.config import CompiledDetector, ConfigError, GatherKey, check_config, compile_config
from flows.detectors.mad import Mad
from flows.detectors.registry import KINDS, Trait
from tests.streams import config


def compiled(**changes: Any) -> CompiledDetector:
    return compile_config(Detector(id="d", revision=1, config=config(**changes), author="", updated_ms=0))


DAILY = Budget(per=Period.DAY, alarms=3.0)
OUTLIER = {"kind": "outlier", "params": {}}
FOREST = {"kind": "river"}


def forest(**own: Any) -> dict[str, Any]:
    return {"model": "HalfSpaceTrees", "model_params": own}


@pytest.mark.parametrize(("changes", "field", "expected"), [
    ({"kind": "median"}, "kind", f"must be one of {', '.join(sorted(KINDS))}"),
    ({"selector": "{"}, "selector", "character 2"),
    ({"selector": 'up{a="b",a="c"}'}, "selector", "no series can fulfil both"),
    ({"tenant": "a|b"}, "tenant", "a-z A-Z 0-9"),
    ({"tenant": ".."}, "tenant", "neither . nor .."),
    ({"tenant": "ü"}, "tenant", "a-z A-Z 0-9"),
    ({"params": {"window": 4}}, "params.window", "greater than or equal to 5"),
    ({"params": {"window": "60"}}, "params.window", "valid integer"),
    ({"params": {"window": 60.5}}, "params.window", "valid integer"),
    ({"params": {"window": 60, "warmup": 61}}, "params.warmup", "must be at most window = 60"),
    ({"kind": "zscore", "params": {"warmup": 100}}, "params.warmup", "must be at most window = 60"),
    ({"kind": "auto", "params": {"window": 60}}, "params.window", "auto takes hold_from, hold_s"),
    ({"params": {"windows": 60}}, "params.windows", "mad takes floor_ratio, "),
    ({"params": {"floor_ratio": 2}}, "params.floor_ratio", "less than or equal to 1"),
    ({"params": {"floor_ratio": float("nan")}}, "params.floor_ratio", ""),
    ({"threshold": 8.0, "chance_per_week": 2.0}, "chance_per_week", "left out beside threshold = 8"),
    ({"threshold": 8.0, "budget": DAILY}, "budget", "left out beside threshold = 8"),
    ({"chance_per_week": 2.0, "budget": DAILY}, "budget", "left out beside chance_per_week = 2"),
    ({"kind": "threshold", "params": {"upper": 1}, "budget": DAILY}, "budget", "threshold alarms at what you state"),
    ({**OUTLIER}, "group", "outlier compares the members"),
    ({**OUTLIER, "group": Group(by=("job",))}, "group.aggregate", "give group with aggregate members"),
    ({"kind": "missing", "params": {}, "group": Group(aggregate="members")}, "group.aggregate", "each series by"),
    ({**OUTLIER, "group": Group(aggregate="members", q=0.5)}, "group.q", "only aggregate quantile takes q"),
    ({**OUTLIER, "group": Group(aggregate="members", denominator="m")}, "group.denominator", "goes with"),
    ({"kind": "seasonal", "params": {"time_zone": "Mars"}}, "params.time_zone", "no time zone of the tz database"),
    ({"kind": "seasonal", "params": {"time_zone": "localtime"}}, "params.time_zone", "time zone on each machine"),
    ({"kind": "seasonal", "params": {"weekend": ["Sunday"]}}, "params.weekend", "no weekday: mon, tue"),
    ({"kind": "seasonal", "params": {"holidays": ["24.12.2026"]}}, "params.holidays", "no date, such as"),
    ({"kind": "seasonal", "params": {"holidays_of": "XX"}}, "params.holidays_of", "such as DE or US-CA"),
    ({**FOREST, "params": forest(n_trees="5")}, "params.model_params.n_trees", "valid integer"),
    ({**FOREST, "params": forest(n_trees=500)}, "params.model_params.n_trees", "less than or equal to 50"),
    ({**FOREST, "params": forest(trees=5)}, "params.model_params", "HalfSpaceTrees takes n_trees, height, "),
    ({**FOREST, "params": {"model_params": 5}}, "params.model_params", "should be an object"),
    ({"kind": "river", "params": {"hold_from": 6.0}}, "params.hold_from", "give both"),
    ({"kind": "auto", "params": {"hold_from": 6.0}}, "params.hold_from", "give both"),
    ({"kind": "river", "params": {"hold_from": 6.0, "hold_s": 0}}, "params.hold_from", "nothing without hold_s"),
    ({"kind": "missing", "params": {}, "shape": "rate"}, "shape", "missing judges when samples come"),
    ({"kind": "missing", "params": {}, "shape": "increase"}, "shape", "leave shape out"),
    ({"kind": "missing", "params": {}, "shape": "delta"}, "shape", "leave shape out"),
    ({"group": Group(histogram_quantile=0.9), "shape": "delta"}, "shape", "rate or increase"),
    ({"kind": "ewma", "params": {"alpha": 0}}, "params.alpha", "greater than 0"),
    ({"kind": "ewma", "params": {"window": 60}}, "params.window", "ewma takes alpha, floor_ratio, "),
])  # fmt: skip
def test_a_config_that_cannot_run_is_refused_by_name(changes: dict[str, Any], field: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config(**changes))
    assert isinstance(caught.value, Rejected)
    assert (caught.value.field, caught.value.reason) == (field, "bad_config")
    assert expected in caught.value.expected
    assert str(caught.value).startswith(field)


def test_what_makes_sense_beside_it_is_taken() -> None:
    check_config(config("river", params={"hold_from": 6.0, "hold_s": 60}))
    check_config(config("missing", params={}, shape="raw"))
    check_config(config("mad", group=Group(histogram_quantile=0.9), shape="increase"))


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


def test_a_config_of_defaults_runs() -> None:
    check_config(DetectorConfig(name="n", kind="mad", selector="up"))


@pytest.mark.parametrize("country", ["utils", "registry", "de", "DE-ZZ"])
def test_holidays_of_no_country_are_refused_by_name(country: str) -> None:
    with pytest.raises(ConfigError, match=r"is no (country|part)") as caught:
        check_config(config(kind="seasonal", params={"holidays_of": country}))
    assert caught.value.field.startswith("params")


def group(**fields: Any) -> dict[str, Any]:
    return {"group": Group(**fields), "shape": fields.pop("shape", Shape.AUTO)}


@pytest.mark.parametrize(("fields", "field", "expected"), [
    ({"by": ("a",), "without": ("b",)}, "group.without", "not both"),
    ({"by": ("a", "a")}, "group.by", "each once"),
    ({"without": ("",)}, "group.without", "none empty"),
    ({"by": tuple(f"l{n}" for n in range(33))}, "group.by", "at most 32"),
    ({"aggregate": "quantile"}, "group.q", "from 0 to 1"),
    ({"aggregate": "quantile", "q": 1.5}, "group.q", "from 0 to 1"),
    ({"aggregate": "sum", "q": 0.5}, "group.q", "only aggregate quantile"),
    ({"aggregate": "avg", "denominator": "n"}, "group.denominator", "aggregate sum"),
    ({"aggregate": "max", "histogram_quantile": 0.5}, "group.histogram_quantile", "aggregate sum"),
    ({"histogram_quantile": 99.0}, "group.histogram_quantile", "from 0 to 1"),
    ({"histogram_quantile": 0.5, "denominator": "n"}, "group.denominator", "histogram_quantile"),
    ({"denominator": "{"}, "group.denominator", "character 2"),
    ({"range_s": 20}, "group.range_s", "multiple of step_s = 15"),
    ({"range_s": 15 * 241}, "group.range_s", "at most 240"),
])  # fmt: skip
def test_a_group_that_cannot_run_is_refused_by_name(fields: dict[str, Any], field: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config(**group(**fields)))
    assert caught.value.field == field
    assert expected in caught.value.expected


def test_a_raw_group_has_no_range() -> None:
    with pytest.raises(ConfigError, match="shape raw has no range"):
        check_config(config(group=Group(range_s=15), shape=Shape.RAW))


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
