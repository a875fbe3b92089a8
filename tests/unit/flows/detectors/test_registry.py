from __future__ import annotations

import numpy as np
import pytest

from flows.detectors.registry import KINDS, Trait


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_make_a_detector_that_can_fire(kind: str) -> None:
    entry = KINDS[kind]
    detector = entry.make(entry.params(**entry.example))
    needed = detector.needs(detector.allocate(1), np.zeros(1, np.int64))[0]
    assert needed == 0 if Trait.STATED in entry.traits else 0 < needed <= 60
    assert entry.summary


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_default_and_a_description(kind: str) -> None:
    for name, field in KINDS[kind].params.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_frozen_and_closed(kind: str) -> None:
    config = KINDS[kind].params.model_config
    assert config["frozen"]
    assert config["extra"] == "forbid"
