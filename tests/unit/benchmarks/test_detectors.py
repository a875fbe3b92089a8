"""The benchmark of detectors: every kind is in it and in the docs, and what it measures is real."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.detectors.registry import KINDS
from tests.benchmarks.detectors import MEMBERS, OBJECT_MEMBERS, Case, cases, program_of

PAGE = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()


def test_every_kind_is_measured_and_told() -> None:
    assert {case.kind for case in cases()} == set(KINDS)
    untold = [case.name for case in cases() if f"\n| {case.name} | " not in PAGE]
    assert not untold, "print the table of docs/performance.md anew: python -m tests.benchmarks.detectors"


@pytest.mark.parametrize("case", [
    Case("auto", "auto", {}),
    Case("outlier", "outlier", {}, MEMBERS),
    Case("vectors", "river", {"model": "LODA"}, OBJECT_MEMBERS),
], ids=lambda case: case.name)  # fmt: skip
def test_the_program_has_its_signals_in_groups(case: Case) -> None:
    signals = 2 * max(case.members, 1)
    program, slots = program_of(case, signals)
    assert len(program) == len(slots) == signals + (2 if case.kind == "river" else 0)
    if case.members:
        assert program.peers is not None
        assert len(set(program.peers._of_slot.values())) == 2
        assert program.models == (2 if case.kind == "river" else 0)
