"""docs/detectors.md says what the code does: every kind, every parameter with its range, and examples that compile."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from connectors.detector import DetectorConfig, Group, Shape
from flows.budget import LEARN_S, MEMORY_ALARMS, STORM_SHARE
from flows.course import TELL_EVERY_MS
from flows.detectors.base import BAND_SURPRISE, SURPRISE_MAX, VALUE_LIMIT
from flows.detectors.registry import KINDS
from flows.explain import LONG_MS, LONG_SAMPLES
from flows.gathering import MAX_GROUPS, MAX_MEMBERS, MAX_WAITING
from flows.group import MAX_RANGE_STEPS, RANGE_STEPS
from flows.merge import MAX_MERGED_GROUPS, MAX_QUEUED
from flows.policy import DEFAULT_THRESHOLD, LEAST, QUIET_MS, QUIET_SAMPLES, WEEK_S, WORSE
from flows.report import CRITICAL_RATIO, LARGE_SIZE, WARNING_RATIO
from flows.series import LONGEST_PAUSE
from flows.shape.rate import MAX_GAP_MS
from flows.trials import LEVELS, N_LEVELS
from flows.validator import check_config

TEXT = (Path(__file__).parents[4] / "docs" / "detectors.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def number(value: Any) -> str:
    if isinstance(value, str):
        return value or "–"
    if isinstance(value, tuple):
        return ", ".join(value) or "–"
    return "–" if value is None else f"{value:g}"


def row(name: str, field: FieldInfo) -> str:
    """The line of the table that a parameter must have."""
    low, high = "", ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge=value):
                low = f"{number(value)} ≤ "
            case annotated_types.Gt(gt=value):
                low = f"{number(value)} < "
            case annotated_types.Le(le=value):
                high = f" ≤ {number(value)}"
            case annotated_types.Lt(lt=value):
                high = f" < {number(value)}"
    return f"| `{name}` | {number(field.default)} | {low}{name}{high} | {field.description} |"


def section(kind: str) -> str:
    found = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"docs/detectors.md has no section {kind}"
    return found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_does_where_from_at_what_cost_and_when_it_fails(kind: str) -> None:
    for word in ("**Formula.**", "**Source.**", "**Fails.**", "**Cost.**", KINDS[kind].summary):
        assert word in section(kind), word


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in KINDS[kind].params.model_fields])
def test_every_parameter_is_described_as_it_is(kind: str, name: str) -> None:
    assert row(name, KINDS[kind].params.model_fields[name]) in section(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_parameter_is_described_that_does_not_exist(kind: str) -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", section(kind), re.MULTILINE)) == set(KINDS[kind].params.model_fields)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_every_example_compiles(example: dict[str, Any]) -> None:
    check_config(DetectorConfig.model_validate(example))


def test_there_is_an_example_of_every_kind_and_shape() -> None:
    assert {example["kind"] for example in EXAMPLES} == set(KINDS)
    assert {example.get("shape", "auto") for example in EXAMPLES} | {"raw"} == {shape.value for shape in Shape}


@pytest.mark.parametrize("name", DetectorConfig.model_fields)
def test_every_field_of_a_config_is_named(name: str) -> None:
    assert f"| `{name}` |" in TEXT


@pytest.mark.parametrize("name", Group.model_fields)
def test_every_field_of_a_group_is_named(name: str) -> None:
    assert f"| `{name}` |" in TEXT


@pytest.mark.parametrize("sentence", [
    f"{MAX_MEMBERS:,} members and {MAX_GROUPS:,} groups",
    f"{MAX_MERGED_GROUPS:,} groups in",
    f"{MAX_WAITING:,} samples may wait",
    f"more than {MAX_QUEUED} steps",
    f"| `step_s` | {Group().step_s} |",
    f"| `range_s` | {RANGE_STEPS} steps |",
    f"at most {MAX_RANGE_STEPS} steps",
    f"| `grace_s` | {Group().grace_s} |",
    f"surprise above {BAND_SURPRISE:g}",
    f"at most {SURPRISE_MAX:g}",
    f"beyond ±{VALUE_LIMIT:g}",
    f"every {TELL_EVERY_MS // 1000} s",
    f"{WARNING_RATIO:g} × the threshold",
    f"{CRITICAL_RATIO:g} × the threshold",
    f"{MAX_GAP_MS // 60_000} minutes",
    f"| `threshold` | {DEFAULT_THRESHOLD:g} |",
    f"| `quiet_s` | {QUIET_MS // 1000} s, {QUIET_SAMPLES} samples |",
    f"at least {LEAST:g}: with 5 a surprise of {math.log10(WEEK_S / 60 / 5):.1f} on one sample a minute",
    f"{math.log10(WEEK_S / 5 / 5):.1f} on one every 5 s, {math.log10(WEEK_S / 300 / 5):.1f} on\none every 5 minutes",
    f"at most {('two', 'three', 'four')[int(LONGEST_PAUSE) - 2]})",
    f"{WORSE:g} times as surprising",
    f"each of {N_LEVELS} thresholds from {LEVELS[0]:g} to {LEVELS[-1]:g}",
    f"over the time of {MEMORY_ALARMS:g} alarms, a day at least",
    f"nothing in its first {LEARN_S / 3600:g} hours",
    f"({STORM_SHARE * MEMORY_ALARMS:g} alarms, when it is grown up)",
    f"peak is {LARGE_SIZE:g} half widths",
    f"for {LONG_MS // 60_000} minutes and {LONG_SAMPLES} samples",
])  # fmt: skip
def test_the_constants_in_the_text_are_those_of_the_code(sentence: str) -> None:
    assert sentence in TEXT
