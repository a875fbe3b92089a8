"""The arithmetic of what idle processes cost."""

from __future__ import annotations

import pytest

from tests.benchmarks.idle import ALL, name_of, percent


def test_a_process_is_named_by_its_module_or_its_program() -> None:
    assert name_of(["/venv/bin/python", "-m", "flows.run"], 7) == "flows.run 7"
    assert name_of(["/venv/bin/tansu", "broker"], 8) == "tansu 8"
    assert name_of([], 9) == "? 9"


def test_per_cent_of_a_core_the_most_first() -> None:
    found = percent({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 3.0}, 50.0)
    assert list(found.items()) == [(ALL, pytest.approx(3.0)), ("b", pytest.approx(2.0)), ("a", pytest.approx(1.0))]


def test_what_ends_meanwhile_is_no_idle_process() -> None:
    with pytest.raises(RuntimeError, match=r"\['a', 'c'\]"):
        percent({"a": 1.0, "b": 2.0}, {"b": 2.0, "c": 0.1}, 50.0)
