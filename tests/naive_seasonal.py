"""Slow, obvious twin of ``flows.detectors.seasonal``: real dates, one dictionary of cells, whole visits kept in lists.

A period is given or there is none: how one is found has its own twin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from tests.naive import BAND_Z, NO_VERDICT, Hold, Verdict, surprise
from tests.naive_forecast import bounded, clipped

Key = tuple[object, ...]


@dataclass
class Cell:
    centre: float = 0.0
    spread: float = 0.0
    visits: int = 0


@dataclass
class Clock:
    """Where it is, what was seen there, and how many samples the visit before had."""

    moment: object = None
    key: Key | None = None
    seen: list[float] = field(default_factory=list)
    size: int = 0


def keys(time_ms: int, zone: ZoneInfo, weekend: Sequence[int], holidays: set[date]) -> tuple[object, Key, Key | None]:
    """Which hour it is, its cell by kind of day, and its cell in the week."""
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).astimezone(zone)
    holiday = there.date() in holidays
    off = holiday or there.weekday() in weekend
    hour = (there.date(), there.hour)
    return hour, ("day", off, there.hour), None if holiday else ("week", there.weekday(), there.hour)


def seasonal(
    values: Sequence[float], times_ms: Sequence[int], zone: ZoneInfo, weekend: Sequence[int], holidays: set[date],
    period_ms: int, memory: int, warmup: int, floor_ratio: float, hold: Hold | None = None,
) -> list[Verdict]:  # fmt: skip
    hold = hold or Hold()
    cells: dict[Key, Cell] = {}
    clocks = {"day": Clock(), "week": Clock()} if not period_ms else {"phase": Clock()}
    warm: list[float] = []
    origin = level = variance = 0.0
    out = []
    for value, time_ms in zip(values, times_ms, strict=True):
        if not math.isfinite(value):
            out.append(NO_VERDICT)
            continue
        if len(warm) < warmup:
            warm.append(value)
            origin = warm[0] + float(np.mean(np.array(warm) - warm[0]))
            variance = float(np.var(np.array(warm) - warm[0]))
            out.append(NO_VERDICT)
            continue
        x = float(np.float32(value - origin))
        if period_ms:
            moment = time_ms * 48 // period_ms
            turn(cells, clocks["phase"], moment, ("phase", moment % 48), memory)
        else:
            hour, day_key, week_key = keys(time_ms, zone, weekend, holidays)
            turn(cells, clocks["day"], hour, day_key, memory)
            turn(cells, clocks["week"], hour, week_key, memory)
        known = [(cells[c.key], c.size) for c in clocks.values() if c.key and believed(cells, c)]
        centre, spread, freedom = level, math.sqrt(variance), math.inf
        if known:
            cell, size = known[-1]
            centre, spread, freedom = cell.centre, cell.spread, min(cell.visits, memory) * min(size, 12) - 1
        scale = spread or floor_ratio * abs(centre + origin)
        t = abs(x - centre) / scale if scale else (math.inf if x != centre else 0.0)
        z, edge = (t, BAND_Z) if math.isinf(freedom) else (gaussian_of(t, freedom), edge_of(freedom))
        middle = centre + origin
        out.append(Verdict(surprise(z), middle, middle - edge * scale, middle + edge * scale))
        if not hold.learns(out[-1].score, time_ms):
            continue
        short = math.sqrt(variance) or floor_ratio * abs(level + origin)
        near = max(level - 30 * short, min(level + 30 * short, x)) if short else x
        for clock in clocks.values():
            attend(cells, clock, near)
        away, scale = x - level, math.sqrt(variance)
        if scale:
            variance *= 1 - 0.05 + 0.05 * bounded(away / scale)
        else:
            variance = 0.05 * away**2
        level += 0.05 * (clipped(away, 2 * scale) if scale else away)
    return out


def gaussian_of(t: float, freedom: float) -> float:
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))


def edge_of(freedom: float) -> float:
    low, high = 0.0, 1e6
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_of(middle, freedom) < BAND_Z else (low, middle)
    return high


def believed(cells: dict[Key, Cell], clock: Clock) -> bool:
    cell = cells.get(clock.key) if clock.key else None
    return cell is not None and cell.visits >= 2 and cell.visits * clock.size >= 8


def turn(cells: dict[Key, Cell], clock: Clock, moment: object, key: Key | None, memory: int) -> None:
    if (moment, key) == (clock.moment, clock.key):
        return
    if clock.seen and clock.key:
        cell = cells.setdefault(clock.key, Cell())
        away = np.array(clock.seen)
        w = 1 / min(cell.visits + 1, memory)
        mean, spread = away[0] + float(np.mean(away - away[0])), float(np.std(away - away[0]))
        squares = spread**2 + mean**2
        cell.spread = float(np.float32(math.sqrt((1 - w) * cell.spread**2 + w * squares) if cell.visits else spread))
        cell.centre = float(np.float32(cell.centre + w * mean))
        cell.visits += 1
        clock.size = len(clock.seen)
    clock.moment, clock.key, clock.seen = moment, key, []


def attend(cells: dict[Key, Cell], clock: Clock, x: float) -> None:
    cell = cells.get(clock.key, Cell()) if clock.key else Cell()
    away = x - cell.centre
    if cell.visits >= 2 and cell.spread:
        away = clipped(away, 3 * cell.spread)
    clock.seen.append(away)
