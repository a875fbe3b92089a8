"""The cursor of a list of anomalies: where a page ended, as text that fits into an address."""

from __future__ import annotations

import math
import re
from typing import Any

from api.history_wanted import Sort
from api.problems import ApiError, Code

SHAPES = {
    "time": re.compile(r"(-?\d{1,18})-([0-9a-f]{32})"),
    "severity": re.compile(r"([0-2])-(-?\d{1,18})-([0-9a-f]{32})"),
    "surprise": re.compile(r"(-?0x[01]\.[0-9a-f]{1,13}p[+-]?\d{1,4})-([0-9a-f]{32})"),
}


def place_text(place: tuple[Any, ...]) -> str:
    """What the order compares, the id last."""
    *leading, anomaly = place
    return "-".join([*map(_part_text, leading), anomaly.hex()])


def parse_place(text: str, sort: Sort) -> tuple[Any, ...]:
    """The place again; raises ``ApiError`` for what is no ``next`` of this order."""
    name = sort.value.lstrip("-")
    match = SHAPES[name].fullmatch(text)
    if match is None:
        message = f"before: {text[:100]!r}: expected the next of a page with sort={sort}"
        raise ApiError(Code.BAD_REQUEST, message)
    *leading, anomaly = match.groups()
    if name != "surprise":
        return (*map(int, leading), bytes.fromhex(anomaly))
    surprise = float.fromhex(leading[0]) if _is_finite(leading[0]) else math.inf
    return surprise, bytes.fromhex(anomaly)


def _part_text(part: float) -> str:
    """A number without the sign that means a blank in an address."""
    return part.hex().replace("+", "") if isinstance(part, float) else str(part)


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float.fromhex(text))
    except OverflowError:
        return False
