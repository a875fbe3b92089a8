from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.detector import Detector, DetectorConfig, Group
from flows.detectors.registry import KINDS, Trait
from flows.futility import check_proposal
from flows.linter import Finding, Known, LintCode, LintSeverity, lint, warnings_of
from flows.validator import ConfigError, check_config

SHARE = Group(denominator="all", step_s=15)
KNOWN = Known(series=40, signals=40, step_s=15.0, partitions=8)


def config(kind: str = "mad", **changes: Any) -> DetectorConfig:
    return DetectorConfig(**{"name": "d", "kind": kind, "selector": "m", **changes})


def found(code: LintCode, findings: list[Finding]) -> Finding:
    return next(one for one in findings if one.code is code)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_when_its_first_verdict_comes(kind: str) -> None:
    group = Group(aggregate="members") if Trait.TOGETHER in KINDS[kind].traits else None
    findings = lint(config(kind, params=dict(KINDS[kind].example), group=group), KNOWN)
    assert [one.severity for one in findings if one.severity is not LintSeverity.INFO] == []
    first = found(LintCode.FIRST_VERDICT, findings)
    assert first.numbers["seconds"] == 15 * first.numbers["samples"]


def test_numbers_are_in_the_sentence() -> None:
    first = found(LintCode.FIRST_VERDICT, lint(config(params={"window": 64}), KNOWN))
    assert first.says == "first verdict after 64 samples: 16 min at 15 s"
    assert found(LintCode.FIRST_VERDICT, lint(config(params={"window": 64}))).says == "first verdict after 64 samples"
    alone = found(LintCode.SLOW_TO_ALARM, lint(config("auto", chance_per_week=5.0), KNOWN))
    assert alone.says == "a single sample can alarm after 806 samples, 3.36 h at 15 s; before, several in a row"
    assert alone.numbers["threshold"] == pytest.approx(3.907, abs=0.001)
    late = found(LintCode.SLOW_TO_ALARM, lint(config("auto", chance_per_week=0.001), KNOWN))
    assert late.says.startswith("a single sample can alarm after 4032000 samples, 700 days at 15 s")


@pytest.mark.parametrize(
    ("refused", "field", "says"),
    [
        (config(group=SHARE, quiet_s=15.0, min_duration_s=30.0), "min_duration_s", "steps come every 15 s"),
        (config(selector='all{}', group=SHARE), "group.denominator", "the share is always 1"),
        (config("threshold", params={"lower": 0}, shape="rate"), "params.lower", "a rate is never negative"),
        (
            config("threshold", params={"lower": 1}, group=Group(aggregate="count")), "params.lower",
            "a group has one member at least",
        ),
    ],
)  # fmt: skip
def test_what_can_never_fire_is_refused_where_it_is_proposed_and_obeyed_where_it_stands(
    refused: DetectorConfig, field: str, says: str
) -> None:
    (finding,) = lint(refused, KNOWN)
    assert (finding.code, finding.severity, finding.field) == (LintCode.NEVER_FIRES, LintSeverity.REFUSAL, field)
    assert says in finding.says
    with pytest.raises(ConfigError, match=says):
        check_proposal(refused)
    check_config(refused)
    (warning,) = warnings_of(Detector(id="d", revision=1, config=refused, author="", updated_ms=0))
    assert (warning.startswith("it can never fire"), says in warning) == (True, True)


@pytest.mark.parametrize("name", [" ", "\t \n", "\u00a0", "\u200b", "\u2028"])
def test_a_name_of_which_people_see_nothing_is_refused_where_it_is_proposed(name: str) -> None:
    refused = config(name=name)
    (finding,) = lint(refused, KNOWN)
    assert (finding.code, finding.severity, finding.field) == (LintCode.INVALID, LintSeverity.REFUSAL, "name")
    with pytest.raises(ConfigError, match="a character that can be seen"):
        check_proposal(refused)
    check_config(refused)


@pytest.mark.parametrize(
    "taken",
    [
        config(group=SHARE, quiet_s=16.0, min_duration_s=30.0),
        config(group=SHARE, quiet_s=15.0),
        config(selector='all{code="500"}', group=SHARE),
        config("threshold", params={"lower": 0}),
        config("threshold", params={"lower": 0.1}, shape="rate"),
        config("threshold", params={"lower": 0, "upper": 5}, shape="rate"),
        config("threshold", params={"lower": 2}, group=Group(aggregate="count")),
        config("threshold", params={"lower": 0}, shape="rate", group=Group(histogram_quantile=0.5)),
        config("missing", group=Group(step_s=60), quiet_s=30.0, min_duration_s=20.0),
        config("auto", group=Group(), chance_per_week=1e-305),
        config(name=" ß"),
    ],
)
def test_what_may_fire_is_taken(taken: DetectorConfig) -> None:
    check_proposal(taken)
    assert all(one.severity is not LintSeverity.REFUSAL for one in lint(taken))


def test_what_the_validator_refuses_is_one_finding() -> None:
    (finding,) = lint(config(selector='up{a="x",a!="x"}'), KNOWN)
    assert (finding.code, finding.severity, finding.field) == (LintCode.INVALID, LintSeverity.REFUSAL, "selector")
    assert "no series can fulfil" in finding.says
    unknown = config("mda", group=Group(step_s=60), quiet_s=30.0, min_duration_s=20.0)
    assert [one.code for one in lint(unknown)] == [LintCode.INVALID]


@pytest.mark.parametrize(
    ("warned", "known", "code", "says"),
    [
        (
            config(min_duration_s=3600.0, params={"window": 60}), KNOWN, LintCode.HARDLY_FIRES,
            "a change that lasts is learned within 60 samples, 15 min at 15 s: hardly any episode lasts 60 min",
        ),
        (
            config("seasonal"), KNOWN._replace(horizon_s=86_400.0), LintCode.NEEDS_HISTORY,
            "seasonal needs 14 days of history to know this signal, and there will be 24 h",
        ),
        (
            config(params={"window": 4000}), KNOWN._replace(horizon_s=3600.0), LintCode.NEEDS_HISTORY,
            "mad needs 16.7 h of history",
        ),
        (config(), KNOWN._replace(series=0, signals=0), LintCode.WATCHES_NOTHING, "no series fits m"),
        (
            config(), KNOWN._replace(series=4_000_000, max_keys=200_000), LintCode.TOO_MANY_SERIES,
            "it would watch 4000000 series, 2.5 times the 1600000 that there is room for",
        ),
        (
            config("river", params={"max_keys": 10}), KNOWN._replace(series=100),
            LintCode.TOO_MANY_SERIES, "1.2 times the 80",
        ),
        (
            config(params={"window": 4096}), KNOWN._replace(series=1_000_000, signals=1_000_000), LintCode.MUCH_MEMORY,
            "its state takes 33 GB",
        ),
        (
            config("auto", chance_per_week=0.001), KNOWN, LintCode.SLOW_TO_ALARM, "a single sample can alarm after",
        ),
    ],
)  # fmt: skip
def test_what_will_hardly_do_what_was_meant_is_warned_of(
    warned: DetectorConfig, known: Known, code: LintCode, says: str
) -> None:
    finding = found(code, lint(warned, known))
    assert (finding.severity, says in finding.says) == (LintSeverity.WARNING, True), finding.says
    check_config(warned)
    assert lint(warned, known)[0].severity is LintSeverity.WARNING, "warnings come before what is only told"


def test_a_hold_lets_episodes_last() -> None:
    held = config(min_duration_s=3600.0, params={"window": 60, "hold_s": 7200})
    assert LintCode.HARDLY_FIRES not in {one.code for one in lint(held, KNOWN)}


def test_what_is_not_known_is_said_to_be_so() -> None:
    assert found(LintCode.SERIES_UNKNOWN, lint(config())).severity is LintSeverity.INFO
    codes = {one.code for one in lint(config(min_duration_s=86_400.0))}
    assert codes == {LintCode.FIRST_VERDICT, LintCode.SERIES_UNKNOWN}
    assert found(LintCode.WATCHES, lint(config(), KNOWN)).numbers == {"series": 40.0}


def test_the_flow_says_what_holds_whatever_the_data() -> None:
    grouped = config(group=Group(step_s=15), min_duration_s=3600.0, params={"window": 60})
    (says,) = warnings_of(Detector(id="d", revision=1, config=grouped, author="", updated_ms=0))
    assert says.startswith("a change that lasts is learned within 60 samples")
    assert warnings_of(Detector(id="d", revision=1, config=config(), author="", updated_ms=0)) == []


def test_every_code_is_described() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for code in LintCode:
        assert f"| `{code}` | " in text


@pytest.mark.parametrize("kind", [kind for kind in KINDS if Trait.STATED in KINDS[kind].traits])
def test_no_chance_where_bounds_are_stated(kind: str) -> None:
    stated = config(kind, params=dict(KINDS[kind].example), chance_per_week=5.0)
    check_config(stated)  # the log may hold it
    with pytest.raises(ConfigError, match=f"chance_per_week = 5.0: must be left out: {kind} alarms at what you state"):
        check_proposal(stated)
    (refusal,) = lint(stated)
    assert (refusal.code, refusal.severity, refusal.field) == (
        LintCode.INVALID, LintSeverity.REFUSAL, "chance_per_week",
    )  # fmt: skip
    (says,) = warnings_of(Detector(id="d", revision=1, config=stated, author="", updated_ms=0))
    assert says.startswith("chance_per_week = 5.0")
