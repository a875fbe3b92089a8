"""What is refused, in the words that people read, and what is taken beside it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.detector import Budget, DetectorConfig, Group, Period, Shape
from connectors.errors import Rejected
from flows.detectors.registry import KINDS
from flows.validator import ConfigError, check_config
from tests.streams import config

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
    ({**FOREST, "params": {"model_params": 5}}, "params.model_params", "must be an object"),
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
