"""What day and hour it is somewhere: offsets of a time zone and days off, resolved to arrays once.

Reads no clock: all times come in, as ms since 1970. Offsets come from the tz database by ``zoneinfo``, public holidays
from the ``holidays`` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Ints

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
YEARS = range(2000, 2101)
"""Years whose changes of offset and holidays are known; before and after them the first and last offset hold."""
OF_THE_MACHINE = ("localtime", "posixrules")
"""Files among those of the tz database that are as each machine is set up."""
EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


class Calendar(NamedTuple):
    """Where a time zone's offsets begin, (m,) each; weekdays, (7,), and other local days, (k,), that are off."""

    starts_ms: Ints
    offsets_ms: Ints
    weekend: NDArray[np.bool_]
    days_off: Ints


@lru_cache(maxsize=256)
def calendar_of(time_zone: str, weekend: tuple[str, ...], dates: tuple[str, ...], country: str) -> Calendar:
    """Resolve a calendar; raises ``ValueError`` that names what is not known."""
    starts, offsets = _offsets(_zone(time_zone))
    days = {_day(_date(one)) for one in dates} | set(_public(country))
    return Calendar(
        np.array(starts, np.int64), np.array(offsets, np.int64),
        np.array([day in weekend for day in WEEKDAYS]), np.array(sorted(days), np.int64),
    )  # fmt: skip


def check_zone(name: str) -> None:
    """Raise ``ValueError`` for what is no time zone, or another one on another machine."""
    if name.lower() in OF_THE_MACHINE:
        message = f"{name!r} is another time zone on each machine: name one, such as Europe/Berlin"
        raise ValueError(message)
    _zone(name)


def check_dates(dates: Sequence[str]) -> None:
    """Raise ``ValueError`` for what is no date."""
    for one in dates:
        _date(one)


def check_country(country: str) -> None:
    """Raise ``ValueError`` for what has no known holidays."""
    _public(country)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{name!r} is no time zone of the tz database, such as Europe/Berlin"
        raise ValueError(message) from error


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is no date, such as 2026-12-24"
        raise ValueError(message) from error


@lru_cache(maxsize=256)
def _public(country: str) -> tuple[int, ...]:
    if not country:
        return ()
    code, _, part = country.partition("-")
    parts = _countries().get(code)
    if parts is None:
        message = f"{country!r} is no country with known holidays, such as DE or US-CA"
        raise ValueError(message)
    import holidays

    try:
        known = holidays.country_holidays(code, subdiv=part or None, years=YEARS)
    except NotImplementedError as error:  # what holidays says of a part that it does not know
        message = f"{country!r} is no part of {code} with holidays of its own: {', '.join(parts) or 'it has none'}"
        raise ValueError(message) from error
    return tuple(_day(one) for one in known)


@lru_cache(maxsize=1)
def _countries() -> dict[str, list[str]]:
    """Codes of countries and of their parts. To learn them takes a second, which only who asks for holidays waits.

    ``country_holidays`` itself takes the names of its own modules, too, and then fails in ways of its own.
    """
    import holidays

    return holidays.list_supported_countries()


def _day(one: date) -> int:
    return one.toordinal() - date(1970, 1, 1).toordinal()


def _offset_ms(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)


def _offsets(zone: ZoneInfo) -> tuple[list[int], list[int]]:
    """When each offset begins and what it is; found day by day, then to the second by halving."""
    first = round(datetime(YEARS.start, 1, 1, tzinfo=UTC).timestamp())
    last = round(datetime(YEARS.stop, 1, 1, tzinfo=UTC).timestamp())
    days = range(first, last + 86_400, 86_400)
    found = [datetime.fromtimestamp(day, zone).utcoffset() for day in days]
    starts, offsets = [-(1 << 62)], [_offset_ms(zone, first)]
    for day, before, after in zip(days, found, found[1:], strict=False):
        if after == before:
            continue
        low, high = day, day + 86_400
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_ms(zone, middle) == offsets[-1] else (low, middle)
        starts.append(1000 * high)
        offsets.append(_offset_ms(zone, high))
    return starts, offsets


def check_weekdays(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for what is no weekday."""
    wrong = [name for name in names if name not in WEEKDAYS]
    if wrong:
        message = f"{wrong[0]!r} is no weekday: {', '.join(WEEKDAYS)}"
        raise ValueError(message)


@njit(cache=True)
def local_ms(calendar: Calendar, time_ms: int) -> int:
    """Wall-clock time there, as if it were UTC."""
    at = calendar.starts_ms.shape[0] - 1
    if at > 0:
        at = np.searchsorted(calendar.starts_ms, time_ms, side="right") - 1
    return time_ms + calendar.offsets_ms[at]


@njit(cache=True, inline="always")
def weekday_of(day: int) -> int:
    """0 for Monday of a local day since 1970."""
    return (day + EPOCH_WEEKDAY) % 7


@njit(cache=True)
def is_holiday(calendar: Calendar, day: int) -> bool:
    """Whether a local day since 1970 is off by date."""
    days = calendar.days_off
    if days.shape[0] == 0:
        return False
    at = np.searchsorted(days, day)
    return at < days.shape[0] and days[at] == day
