from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.limits import BlockLimits
from flows.mining.limits import USUAL_LABELS, MiningLimits
from flows.settings import FlowSettings, MiningSettings
from flows.work import WORK_PER_CONTROL, work_of


def test_defaults_are_the_limits_of_a_block() -> None:
    assert FlowSettings(partitions=1).limits == BlockLimits()
    assert FlowSettings(partitions=8).limits == BlockLimits(max_work=work_of(8))


def test_what_a_control_record_lets_blocks_do_is_shared_among_the_partitions() -> None:
    assert 8 * work_of(8) <= WORK_PER_CONTROL
    assert work_of(1) == 8 * work_of(8)
    assert work_of(10**9) == 1


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "TOCSIN_FLOW_MAX_SERIES": "5", "TOCSIN_FLOW_MAX_EPISODES": "6", "TOCSIN_FLOW_IDLE_S": "120",
        "TOCSIN_FLOW_TOO_OLD_S": "1.5", "TOCSIN_FLOW_TOO_NEW_S": "0.001", "TOCSIN_HOME": str(tmp_path),
        "TOCSIN_KAFKA": "k:1", "TOCSIN_FLOW_MAX_LABEL_BYTES": "7000",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = FlowSettings()
    bounds = {
        "max_series": 5,
        "max_label_bytes": 7000,
        "max_episodes": 6,
        "idle_s": 120,
        "too_old_ms": 1500,
        "too_new_ms": 1,
    }
    assert settings.limits == BlockLimits(**bounds, max_work=work_of(settings.partitions))
    assert settings.recovery == tmp_path / "recovery" / "metrics"
    assert settings.bootstrap == ["k:1"]


def test_the_logs_flow_counts_by_labels_that_are_given_with_commas(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert MiningSettings().told_by == USUAL_LABELS
    monkeypatch.setenv("TOCSIN_LOGS_LABELS", "team, app")
    monkeypatch.setenv("TOCSIN_HOME", str(tmp_path))
    settings = MiningSettings(logs_step_s=5, logs_grace_s=0, logs_too_new_s=1.5)
    assert settings.told_by == ("team", "app")
    assert settings.recovery == tmp_path / "recovery" / "logs"
    assert settings.input == "tocsin.logs"
    assert settings.limits == MiningLimits(step_ms=5000, grace_ms=0, too_new_ms=1500)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("", "'' is not a label's name"), ("a-b", "'a-b' is not a label's name"), ("a,,b", "'' is not a label's name"),
        ("a,a", "different labels"), ("level", "none of them __name__ or level or pattern"),
        (",".join("abcdefghi"), "at most 8"),
    ],
)  # fmt: skip
def test_labels_that_lines_cannot_be_told_by_are_refused(labels: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MiningSettings(logs_labels=labels)


@pytest.mark.parametrize("wrong", [
    {"flow_max_series": 0}, {"flow_max_label_bytes": 1023},
    {"flow_max_episodes": 0}, {"flow_idle_s": 119}, {"flow_snapshot_interval_s": 0},
    {"flow_port": 65_536}, {"flow_too_old_s": 0}, {"flow_too_new_s": -1}, {"host": ""},
])  # fmt: skip
def test_values_out_of_range_are_refused_at_start(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        FlowSettings(**wrong)
