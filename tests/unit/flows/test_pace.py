"""So many things a second, whatever else goes fast."""

from __future__ import annotations

from flows.pace import Pace


def test_what_may_not_be_done_now_may_be_done_later() -> None:
    clock_s = 100.0
    pace = Pace(8, lambda: clock_s)
    assert [pace.take(3) for _ in range(4)] == [3, 3, 2, 0]
    clock_s += 0.6875
    assert [pace.take(3) for _ in range(3)] == [3, 2, 0]
    clock_s += 0.0625
    assert pace.take(3) == 1, "nothing of what was half there is lost"
    clock_s += 3600.0
    assert [pace.take(100), pace.take(100)] == [8, 0], "a rest is worth one second"


def test_nothing_wanted_takes_nothing() -> None:
    pace = Pace(1, lambda: 0.0)
    assert [pace.take(0), pace.take(1), pace.take(1)] == [0, 1, 0]
