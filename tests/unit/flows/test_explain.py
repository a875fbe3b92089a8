from __future__ import annotations

from typing import Any

import pytest

from connectors.anomaly import Change
from connectors.detector import Shape
from flows.config import ProgramKey
from flows.detectors.registry import KINDS
from flows.episode import Episode
from flows.explain import Manner, chance_per_week, change_of
from tests.episodes import episode

LASTING = {"time_ms": 61_000, "samples": 61, "ups": 61}


def test_what_each_kind_speaks_of() -> None:
    manners = {
        kind: Manner.of(ProgramKey(kind, entry.params(**entry.example).model_dump_json(), Shape.RAW))
        for kind, entry in KINDS.items()
    }
    others = {"threshold": Manner.BOUNDS, "flatline": Manner.STILLNESS, "missing": Manner.SILENCE}
    assert manners == {kind: others.get(kind, Manner.VALUES) for kind in KINDS}


@pytest.mark.parametrize(("changes", "change"), [
    ({}, Change.SPIKE),
    ({"direction": -1, "ups": 0}, Change.DIP),
    ({**LASTING, "time_ms": 60_999}, Change.SPIKE),
    (LASTING, Change.LEVEL_SHIFT),
    ({**LASTING, "direction": -1, "ups": 0}, Change.LEVEL_SHIFT),
    ({**LASTING, "samples": 30, "ups": 30}, Change.SPIKE),
    ({**LASTING, "samples": 31, "ups": 31}, Change.LEVEL_SHIFT),
    ({**LASTING, "step_s": 11.0, "samples": 7, "ups": 7}, Change.SPIKE),
    ({"time_ms": 67_000, "step_s": 11.0, "samples": 7, "ups": 7}, Change.LEVEL_SHIFT),
    ({**LASTING, "expected": 54.9}, Change.LEVEL_SHIFT),
    ({**LASTING, "expected": 55.0}, Change.NEW_REGIME),
    ({**LASTING, "ups": 46}, Change.LEVEL_SHIFT),
    ({**LASTING, "ups": 45}, Change.VARIANCE),
    ({**LASTING, "ups": 16}, Change.VARIANCE),
    ({"samples": 4, "ups": 3, "time_ms": 4000}, Change.VARIANCE),
    ({"samples": 3, "ups": 2, "time_ms": 4000}, Change.SPIKE),
])  # fmt: skip
def test_what_kind_of_change_it_is(changes: dict[str, Any], change: Change) -> None:
    assert change_of(episode(**changes), Manner.VALUES) is change


def test_silence_and_stillness_are_what_they_are() -> None:
    for one in (episode(), episode(**LASTING)):
        assert change_of(one, Manner.SILENCE) is Change.SILENCE
        assert change_of(one, Manner.STILLNESS) is Change.VARIANCE


@pytest.mark.parametrize(("one", "manner", "expected"), [
    (episode(peak_surprise=4.0, step_s=60.48), Manner.VALUES, 1.0),
    (episode(peak_surprise=5.0, step_s=0.6048), Manner.VALUES, 10.0),
    (episode(peak_surprise=4.0, step_s=60.48), Manner.SILENCE, 1.0),
    (episode(step_s=0.0), Manner.VALUES, None),
    (episode(), Manner.BOUNDS, None),
])  # fmt: skip
def test_how_often_chance_brings_it(one: Episode, manner: Manner, expected: float | None) -> None:
    assert chance_per_week(one, manner) == (None if expected is None else pytest.approx(expected))


def test_chance_is_told_as_far_as_the_signal_was_seen() -> None:
    """Two samples that counted 3 each, whatever the highest was."""
    seen = episode(peak_surprise=300.0, evidence=6.0, step_s=60.48)
    assert chance_per_week(seen, Manner.VALUES) == pytest.approx(0.01)
    assert chance_per_week(episode(peak_surprise=4.0, evidence=9.0, step_s=60.48), Manner.VALUES) == pytest.approx(1.0)


def test_even_the_highest_surprise_has_a_chance() -> None:
    assert 0.0 < (chance_per_week(episode(peak_surprise=300.0, step_s=1e9), Manner.VALUES) or 0.0) < 1e-300
