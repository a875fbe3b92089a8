"""Lines that come too late are not there to be seen."""

from __future__ import annotations

from flows.mining.lateness import Lateness


def counts(lines: int, late: int) -> dict[str, int]:
    return {"lines": lines, "dropped_late": late}


def test_many_late_lines_of_a_minute_are_told_with_the_setting() -> None:
    lateness = Lateness(5)
    assert lateness.reason(counts(1000, 900), 0.0) == "", "what was counted before it began to look says nothing"
    assert lateness.reason(counts(1100, 950), 59.0) == ""
    said = "50% of the lines of a minute came too late to be counted, more than 5 s after the end of their step"
    assert lateness.reason(counts(1100, 950), 60.0) == f"{said} (TOCSIN_LOGS_GRACE_S)"
    assert lateness.reason(counts(1200, 950), 119.0) != "", "until the next minute is over"
    assert lateness.reason(counts(1200, 950), 120.0) == ""


def test_few_late_lines_and_none_at_all_are_well() -> None:
    lateness = Lateness(5)
    assert [lateness.reason(counts(*one), 60.0 * n) for n, one in enumerate([(0, 0), (100, 5), (100, 5)])] == [""] * 3
    assert Lateness(5).reason({}, 0.0) == ""
