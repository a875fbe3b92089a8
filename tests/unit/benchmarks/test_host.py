"""What the host took is told as a share of all that passed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest

from tests.benchmarks import host


class Times(NamedTuple):
    user: float
    idle: float
    steal: float


class TimesOfAMac(NamedTuple):
    user: float
    idle: float


def share(monkeypatch: pytest.MonkeyPatch, *times: tuple[float, ...]) -> float:
    looked = iter(times)
    monkeypatch.setattr(host, "psutil", SimpleNamespace(cpu_times=lambda: next(looked)))
    return host.watch_host()()


def test_a_share_of_what_passed_on_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(monkeypatch, Times(100.0, 50.0, 7.0), Times(106.0, 51.0, 10.0)) == pytest.approx(0.3)


def test_where_it_is_hidden_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(monkeypatch, TimesOfAMac(1.0, 2.0), TimesOfAMac(3.0, 9.0)) == 0.0


def test_where_nothing_passed_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(monkeypatch, Times(1.0, 2.0, 3.0), Times(1.0, 2.0, 3.0)) == 0.0


def test_this_machine_tells_a_share() -> None:
    assert 0.0 <= host.watch_host()() <= 1.0
