from __future__ import annotations

from typing import Any

import pytest

from connectors.errors import Rejected
from connectors.messages import Detector, DetectorConfig, Shape
from flows.config import CompiledDetector, ConfigError, check_config, compile_config
from flows.detectors.mad import Mad
from tests.streams import config


def compiled(**changes: Any) -> CompiledDetector:
    return compile_config(Detector(id="d", revision=1, config=config(**changes), author="", updated_ms=0))


@pytest.mark.parametrize(("changes", "field", "expected"), [
    ({"kind": "median"}, "kind", "must be one of ewma, mad, zscore"),
    ({"selector": "{"}, "selector", "character 2"),
    ({"selector": 'up{a="b",a="c"}'}, "selector", "no series can fulfil both"),
    ({"tenant": "a|b"}, "tenant", "a-z A-Z 0-9"),
    ({"tenant": ".."}, "tenant", "neither . nor .."),
    ({"tenant": "ü"}, "tenant", "a-z A-Z 0-9"),
    ({"params": {"window": 4}}, "params.window", "greater than or equal to 5"),
    ({"params": {"window": "60"}}, "params.window", "valid integer"),
    ({"params": {"window": 60.5}}, "params.window", "valid integer"),
    ({"params": {"windows": 60}}, "params.windows", "mad takes floor_ratio, warmup, window"),
    ({"params": {"floor_ratio": 2}}, "params.floor_ratio", "less than or equal to 1"),
    ({"params": {"floor_ratio": float("nan")}}, "params.floor_ratio", ""),
    ({"kind": "ewma", "params": {"alpha": 0}}, "params.alpha", "greater than 0"),
    ({"kind": "ewma", "params": {"window": 60}}, "params.window", "ewma takes alpha, floor_ratio, warmup"),
])  # fmt: skip
def test_a_config_that_cannot_run_is_refused_by_name(changes: dict[str, Any], field: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config(**changes))
    assert isinstance(caught.value, Rejected)
    assert (caught.value.field, caught.value.reason) == (field, "bad_config")
    assert expected in caught.value.expected
    assert str(caught.value).startswith(field)


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
    {"quiet_s": 6.0}, {"tenant": "t"},
])  # fmt: skip
def test_what_computes_otherwise_has_another_digest(other: dict[str, Any]) -> None:
    assert compiled(**other).digest != compiled().digest


def test_the_digest_is_part_of_anomaly_ids_so_it_never_changes() -> None:
    assert compiled().digest.hex() == "a7ca7aa0808777e13fa32f06e2538d02"


def test_a_config_of_defaults_runs() -> None:
    check_config(DetectorConfig(name="n", kind="mad", selector="up"))
