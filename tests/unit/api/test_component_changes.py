from __future__ import annotations

import logging
from collections.abc import Mapping

import psutil
import pytest

from api import parts
from api.component_changes import ComponentChanges
from connectors.probes import OK, Component, Status, degraded_if, down_if


def test_only_what_got_better_or_worse_is_told() -> None:
    changes = ComponentChanges()
    (first,) = changes.look({"detectors": down_if("still reading")}, 5)
    assert (first.component, first.status, first.reason, first.before, first.time_ms) == (
        "detectors", Status.DOWN, "still reading", None, 5,
    )  # fmt: skip
    assert list(changes.look({"detectors": down_if("silent for 7 s")}, 6)) == []
    found = list(changes.look({"detectors": OK, "journal": degraded_if("full")}, 7))
    assert [(one.component, one.before, one.status) for one in found] == [
        ("detectors", Status.DOWN, Status.OK), ("journal", None, Status.DEGRADED),
    ]  # fmt: skip


def test_a_look_that_fails_is_counted_and_logged_once_and_the_next_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes, failed = ComponentChanges(), list[None]()

    def fail() -> Mapping[str, Component]:
        message = "no such process"
        raise RuntimeError(message)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert changes.try_to_look(fail, 5, lambda: failed.append(None)) == []
    assert (len(failed), len(caplog.records)) == (3, 1)
    (told,) = changes.try_to_look(lambda: {"store": OK}, 6, lambda: failed.append(None))
    assert (told.component, told.before, len(failed)) == ("store", None, 3)


def test_figures_that_cannot_be_read_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    found = parts.system()
    assert (found.status, "cannot be read: psutil.AccessDenied" in (found.reason or "")) == (Status.DEGRADED, True)
