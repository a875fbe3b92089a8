from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from flows.detectors.calendar import DAY_MS, calendar_of, check_weekdays, is_holiday, local_ms, weekday_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"]


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("zone", ZONES)
def test_the_wall_clock_is_that_of_the_standard_library(zone: str) -> None:
    calendar = calendar_of(zone, ("sat", "sun"), (), "")
    times = np.random.default_rng(0).integers(ms(2000, 1, 1), ms(2100, 1, 1), 2000).tolist()
    near = [start + shift for start in calendar.starts_ms[1:60].tolist() for shift in (-1000, -1, 0, 1000)]
    for time_ms in [*times, *near]:
        there = (EPOCH + timedelta(milliseconds=time_ms)).astimezone(ZoneInfo(zone))
        local = int(local_ms(calendar, time_ms))
        assert EPOCH + timedelta(milliseconds=local) == there.replace(tzinfo=UTC)
        assert weekday_of(local // DAY_MS) == there.weekday()


def test_summer_time_in_berlin() -> None:
    """In 2026 clocks go forward on 29 March and back on 25 October, both at 01:00 UTC."""
    calendar = calendar_of("Europe/Berlin", ("sat", "sun"), (), "")
    for time_ms, offset_h in (
        (ms(2026, 3, 29, 0, 59, 59), 1), (ms(2026, 3, 29, 1), 2),
        (ms(2026, 10, 25, 0, 59, 59), 2), (ms(2026, 10, 25, 1), 1),
    ):  # fmt: skip
        assert local_ms(calendar, time_ms) - time_ms == offset_h * 3_600_000


def test_days_off_are_given_dates_and_public_holidays() -> None:
    calendar = calendar_of("UTC", ("fri",), ("2026-12-24",), "DE-BY")
    off = {day for day in range(20_000, 21_500) if is_holiday(calendar, day)}
    days = {date(1970, 1, 1) + timedelta(days=day) for day in off}
    assert {date(2026, 12, 24), date(2026, 12, 25), date(2026, 1, 6), date(2025, 10, 3)} <= days
    assert date(2026, 12, 23) not in days
    assert calendar.weekend.tolist() == [False] * 4 + [True, False, False]
    assert not is_holiday(calendar_of("UTC", (), (), ""), 20_446)


@pytest.mark.parametrize(("arguments", "words"), [
    (("Europe/Berlyn", (), (), ""), "'Europe/Berlyn' is no time zone"),
    (("../etc/passwd", (), (), ""), "is no time zone"),
    (("UTC", (), ("2026-02-30",), ""), "'2026-02-30' is no date"),
    (("UTC", (), (), "XX"), "'XX' is no country"),
    (("UTC", (), (), "utils"), "'utils' is no country"),
    (("UTC", (), (), "registry"), "'registry' is no country"),
    (("UTC", (), (), "DE-ZZ"), "'DE-ZZ' is no part of DE with holidays of its own: BB, BE, .*TH"),
    (("UTC", (), (), "VA-X"), "'VA-X' is no part of VA with holidays of its own: it has none"),
])  # fmt: skip
def test_what_is_not_known_is_named(arguments: tuple[str, tuple[str, ...], tuple[str, ...], str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calendar_of(*arguments)


def test_weekdays() -> None:
    check_weekdays(["mon", "sun"])
    with pytest.raises(ValueError, match="'Sunday' is no weekday"):
        check_weekdays(["Sunday"])
