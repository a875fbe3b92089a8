from __future__ import annotations

import math
from typing import Any

import pytest

from connectors.detector import Budget, DetectorConfig, Period
from flows.policy import (
    DEFAULT_THRESHOLD,
    NO_BUDGET,
    REST_MS,
    cooldown_of,
    policy_of,
    quiet_of,
    threshold_at,
    threshold_of,
    unusual_of,
)


def config(**changes: Any) -> DetectorConfig:
    return DetectorConfig(**{"name": "n", "kind": "mad", "selector": "m", **changes})


def test_a_config_that_says_nothing_has_a_fixed_threshold_and_no_cool_down() -> None:
    policy = policy_of(config())
    assert threshold_of(config()) == threshold_at(policy, 15.0) == policy["least"] == DEFAULT_THRESHOLD
    assert cooldown_of(policy, 300.0) == 0
    assert (policy["close_ratio"], policy["min_duration_ms"]) == (1.0, 0)
    assert unusual_of(config()) == {}


@pytest.mark.parametrize(("step_s", "quiet_ms"), [(0.0, 60_000), (1.0, 60_000), (10.0, 60_000), (300.0, 1_800_000)])
def test_quiet_time_is_a_minute_or_six_samples(step_s: float, quiet_ms: int) -> None:
    assert quiet_of(policy_of(config()), step_s) == quiet_ms
    assert quiet_of(policy_of(config(quiet_s=2.5)), step_s) == 2500


@pytest.mark.parametrize(("step_s", "threshold"), [
    (60.48, 5.0), (6048.0, 3.0), (604_800.0, 1.0), (1e9, 1.0), (0.0, math.inf),
])  # fmt: skip
def test_a_threshold_by_chance(step_s: float, threshold: float) -> None:
    policy = policy_of(config(chance_per_week=0.1))
    assert threshold_at(policy, step_s) == pytest.approx(threshold)
    assert policy["least"] == 1.0, "so that no sample is left out that might reach it"


@pytest.mark.parametrize("kind", ["mad", "auto"])
def test_under_a_budget_nothing_is_surprising_before_that_has_set_the_threshold(kind: str) -> None:
    budget = Budget(per=Period.WEEK, alarms=3.0)
    policy = policy_of(config(kind=kind, budget=budget))
    assert threshold_of(config(kind=kind, budget=budget)) is None
    assert threshold_at(policy, 60.0) == policy["least"] == policy["trial"] == math.inf
    assert policy["budget"] == policy_of(config())["budget"] == NO_BUDGET
    assert unusual_of(config(kind=kind, budget=budget)) == {"budget": "3.0/week"}


def test_auto_decides_by_chance_and_rests_of_itself() -> None:
    policy = policy_of(config(kind="auto"))
    assert threshold_at(policy, 60.48) == pytest.approx(math.log10(2000))
    assert [cooldown_of(policy, step_s) for step_s in (1.0, 7200.0)] == [REST_MS, 12 * 3_600_000]
    assert threshold_at(policy_of(config(kind="auto", threshold=9.0)), 60.48) == 9.0
    assert threshold_at(policy_of(config(kind="auto", chance_per_week=1.0)), 60.48) == pytest.approx(4.0)
    assert cooldown_of(policy_of(config(kind="auto", cooldown_s=0.0)), 60.48) == 0
    assert unusual_of(config(kind="auto")) == {"chance_per_week": 5.0}
    assert unusual_of(config(kind="auto", chance_per_week=5.0)) == {"chance_per_week": 5.0, "chance_of": "each"}
    assert unusual_of(config(kind="auto", chance_per_week=4.0)) == {"chance_per_week": 4.0}
    assert unusual_of(config(kind="auto", cooldown_s=0.0)) == {"chance_per_week": 5.0, "cooldown_s": 0.0}


@pytest.mark.parametrize(("field", "value"), [
    ("chance_per_week", 3.0), ("close_ratio", 0.5), ("min_duration_s", 30.0), ("cooldown_s", 60.0),
    ("min_change", 2.5),
])  # fmt: skip
def test_what_is_not_usual_is_part_of_what_is_computed(field: str, value: float) -> None:
    assert unusual_of(config(**{field: value})) == {field: value}
