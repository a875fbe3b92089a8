"""So many things a second, whatever else goes fast."""

from __future__ import annotations

from flows.pace import Pace


class Clock:
    """Of a process, and of a log that it reads."""

    def __init__(self) -> None:
        self.now_s, self.log_ms = 100.0, 1_700_000_000_000

    def passes(self, s: float, log_s: float | None = None) -> None:
        self.now_s += s
        self.log_ms += round(1000 * (s if log_s is None else log_s))


def test_what_may_not_be_done_now_may_be_done_later() -> None:
    clock = Clock()
    pace = Pace(8, lambda: clock.now_s)
    assert pace.left(20, clock.log_ms) == 8
    pace.spend(8)
    assert pace.left(1, clock.log_ms) == 0
    clock.passes(0.6875)
    assert pace.left(5, clock.log_ms) == 5
    pace.spend(4)
    clock.passes(0.0625)
    assert pace.left(2, clock.log_ms) == 2, "nothing of what was half there is lost"
    clock.passes(3600.0)
    assert pace.left(20, clock.log_ms) == 8, "a rest is worth one second"


def test_few_wait_until_they_are_as_many_as_wanted() -> None:
    clock = Clock()
    pace = Pace(8, lambda: clock.now_s)
    pace.spend(8)
    clock.passes(0.375)
    assert pace.left(4, clock.log_ms) == 0
    clock.passes(0.125)
    assert pace.left(4, clock.log_ms) == 4


def test_less_is_done_while_log_time_runs_ahead() -> None:
    clock = Clock()
    pace = Pace(8, lambda: clock.now_s)
    done = []
    for log_s in (1.0, 1.0, 300.0, 300.0, 300.0, 300.0, 1.0, 1.0):
        for _ in range(4):
            may = pace.left(1, clock.log_ms)
            while may:
                pace.spend(1)
                may = pace.left(1, clock.log_ms)
                done.append(clock.now_s)
            clock.passes(0.25, log_s / 4)
    of_each_second = [sum(100 + n <= at < 101 + n for at in done) for n in range(8)]
    assert of_each_second[:2] == [14, 8], "what was there at first, and then as many as come in a second"
    assert of_each_second[4:6] == [2, 2]
    assert of_each_second[7] == 8


def test_partitions_that_are_behind_others_are_no_other_time() -> None:
    clock = Clock()
    pace = Pace(8, lambda: clock.now_s)
    for _ in range(5):
        assert pace.left(8, clock.log_ms) == 8
        assert pace.left(8, clock.log_ms - 60_000) == 8
        pace.spend(8)
        clock.passes(1.0)
