"""So many things a second, whatever else goes fast."""

from __future__ import annotations

from flows.pace import Pace


def test_what_may_not_be_done_now_may_be_done_later() -> None:
    clock_s = 100.0
    pace = Pace(8, lambda: clock_s)
    assert pace.left() == 8
    pace.spend(8)
    assert pace.left() == 0
    clock_s += 0.6875
    assert pace.left() == 5
    pace.spend(4)
    clock_s += 0.0625
    assert pace.left() == 2, "nothing of what was half there is lost"
    clock_s += 3600.0
    assert pace.left() == 8, "a rest is worth one second"
