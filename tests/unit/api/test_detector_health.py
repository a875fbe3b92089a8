from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.detector_health import DetectorHealth, HealthState, Why, health_of
from api.standing import standing_of
from connectors.detector import Budget, Detector, DetectorConfig, Group, Period
from connectors.status import DetectorStatus
from tests.told import NOW_MS, detector_status, partition_status

PLAIN = DetectorConfig(name="d", kind="mad", selector="m")


def judged(
    *told: DetectorStatus, config: DetectorConfig = PLAIN, now_ms: int = NOW_MS, partitions: int = 1, revision: int = 1
) -> DetectorHealth:
    detector = Detector(id="d", revision=revision, config=config, author="", updated_ms=0)
    alive = {number: partition_status(number) for number in range(partitions)}
    return health_of(standing_of(detector, told, alive, partitions, now_ms), config, now_ms)


def test_who_judges_is_ok() -> None:
    found = judged(detector_status())
    assert (found.state, found.findings) == (HealthState.OK, [])
    assert found.says == "it judges 2 signals; the last sample is 3 s old"


def test_who_partly_warms_up_is_ok() -> None:
    found = judged(detector_status(matched=3, warming=1, needs=4))
    assert (found.state, found.says[:35]) == (HealthState.OK, "it judges 2 signals, 1 more warm up")


@pytest.mark.parametrize(
    ("changes", "config", "state", "why", "says"),
    [
        ({}, {"enabled": False}, "down", "stopped", "it is stopped: start it, and it learns anew"),
        ({"matched": 0, "running": 0}, {}, "down", "watches_nothing", "it watches nothing: no series fits m"),
        (
            {}, {"kind": "threshold", "params": {"lower": 0}, "shape": "rate"}, "down", "never_fires",
            ("it can never fire: params.lower = 0 nothing is ever below it, since a rate is never negative: "
            "raise it, or give upper"),
        ),
        (
            {"running": 0, "warming": 2, "needs": 37}, {}, "degraded", "all_warming",
            "all of its 2 signals warm up: needs 37 more samples, 9 min at its usual pace",
        ),
        (
            {"matched": 1, "running": 0, "warming": 1, "needs": 1, "step_s": None}, {}, "degraded", "all_warming",
            "its signal warms up: needs 1 more sample",
        ),
        (
            {"running": 0, "silent": 2, "last_ms": NOW_MS - 340_000}, {}, "down", "all_silent",
            "nothing comes for any of its 2 signals since 2023-11-14 22:07:40 UTC, 6 min ago",
        ),
        ({"running": 1, "silent": 1}, {}, "degraded", "mostly_silent", "nothing comes for 1 of its 2 signals"),
        (
            {"drops": {"series_refused": 7}}, {}, "degraded", "series_refused",
            ("7 series found no room beside the 2 that it watches (TOCSIN_FLOW_MAX_KEYS): "
            "narrow its selector, or split it"),
        ),
        (
            {"drops": {"models_refused": 7}}, {}, "degraded", "series_refused",
            ("7 series found no room for a model beside the 2 that it watches (params.max_keys): "
            "narrow its selector, or raise the bound"),
        ),
        (
            {"anomalies_per_day": 87.0}, {}, "degraded", "too_many_alarms",
            "it alarms 87 times a day, far more than the one an hour that people can look at",
        ),
        (
            {"anomalies_per_day": 14_400.4}, {}, "degraded", "too_many_alarms",
            "it alarms 14400 times a day, far more than the one an hour that people can look at",
        ),
        (
            {"anomalies_per_day": 3.0}, {"budget": Budget(per=Period.WEEK, alarms=2)}, "degraded", "too_many_alarms",
            "it alarms 3 times a day, far more than its budget of 0.286",
        ),
        (
            {"threshold": None}, {"budget": Budget(per=Period.DAY, alarms=2)}, "degraded", "budget_learns",
            "its budget has set no threshold yet: nothing alarms in its first 6 hours",
        ),
        (
            {"members": 2, "running": 0}, {"group": Group(by=("x",))}, "degraded", "no_groups",
            "its 2 series have made no group that is judged yet",
        ),
        (
            {"matched": 0, "running": 0, "drops": {"overflowed": 1}}, {"group": Group(by=("x",))}, "down", "overflowed",
            "its groups are more than there may be, so none is judged: narrow its selector, or split it",
        ),
    ],
)  # fmt: skip
def test_what_is_the_matter_is_said_in_a_sentence(
    changes: dict[str, Any], config: dict[str, Any], state: str, why: str, says: str
) -> None:
    found = judged(detector_status(**changes), config=PLAIN.model_copy(update=config))
    assert (found.state, found.findings[0].why, found.says) == (state, why, says)


def test_silence_is_the_job_of_missing() -> None:
    config = PLAIN.model_copy(update={"kind": "missing"})
    assert judged(detector_status(running=0, silent=2), config=config).state is HealthState.OK


def test_series_that_end_by_themselves_are_not_missed() -> None:
    config = PLAIN.model_copy(update={"selector": 'log_pattern_novelty{level="error"}'})
    assert judged(detector_status(running=1, silent=9), config=config).state is HealthState.OK


def test_a_flow_of_which_nothing_is_heard_is_down() -> None:
    found = judged(detector_status(), now_ms=NOW_MS + 95_000)
    assert (found.state, found.findings[0].why) == (HealthState.DOWN, Why.UNHEARD)
    assert found.says == "nothing was heard of the flow for 95 s: it does not run, is behind, or gets no data"
    detector = Detector(id="d", revision=1, config=PLAIN, author="", updated_ms=0)
    never = health_of(standing_of(detector, [], {}, 8, NOW_MS), PLAIN, NOW_MS)
    assert never.says == "nothing was ever heard of a flow: it does not run, or no data comes in"


def test_what_is_not_told_is_not_guessed() -> None:
    detector = Detector(id="d", revision=1, config=PLAIN, author="", updated_ms=0)
    standing = standing_of(detector, [], {0: partition_status()}, 8, NOW_MS)
    assert (standing.series, standing.signals, standing.drops, standing.in_force) == (None, None, None, None)
    assert health_of(standing, PLAIN, NOW_MS).findings[0].why is Why.NOT_TOLD
    assert judged(detector_status(), partitions=8).says == "only 1 of 8 partitions have told of it yet"


def test_a_revision_that_is_not_in_force_everywhere_is_told() -> None:
    told = [detector_status(partition=number, revision=2 if number else 1) for number in range(2)]
    found = judged(*told, partitions=2, revision=2)
    assert found.says == "revision 2 is not in force yet on partition 0"


def test_the_worst_is_said_first() -> None:
    told = detector_status(drops={"series_refused": 7}, running=0, silent=2)
    assert [one.why for one in judged(told).findings] == [Why.ALL_SILENT, Why.SERIES_REFUSED]


def test_partitions_are_added_up() -> None:
    detector = Detector(id="d", revision=1, config=PLAIN, author="", updated_ms=0)
    told = [
        detector_status(partition=0, warming=1, running=1, needs=4, anomalies=2, drops={"late": 1}),
        detector_status(partition=1, matched=3, running=3, last_ms=NOW_MS, anomalies_per_day=None, drops={"late": 2}),
        detector_status(partition=None, matched=9, running=9, since_ms=5, anomalies_per_day=1.25),
    ]
    standing = standing_of(
        detector, told, {0: partition_status(0), 1: partition_status(1, log_ms=NOW_MS - 4_000)}, 2, NOW_MS
    )
    assert (standing.series, standing.signals, standing.warming, standing.running) == (5, 14, 1, 13)
    assert (standing.needs, standing.needs_s, standing.last_ms, standing.anomalies) == (4, 60.0, NOW_MS, 2)
    assert (standing.drops, standing.since_ms, standing.anomalies_per_day) == ({"late": 3}, 5, 1.2)
    assert (standing.partitions_told, standing.age_s, standing.in_force) == (2, 4.0, True)
    assert [(part.partition, part.as_of_ms) for part in standing.parts] == [(0, NOW_MS), (1, NOW_MS), (None, NOW_MS)]


def test_every_finding_is_described() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for why in Why:
        assert f"| `{why}` | " in text
