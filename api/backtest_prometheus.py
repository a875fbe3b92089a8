"""A range of a Prometheus as frames, read over its HTTP API in pieces that it is willing to answer.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

import httpx
import numpy as np

from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.errors import Rejected, Unavailable
from connectors.messages import DEFAULT_TENANT, MAX_TIME_MS
from flows.frame import Frame
from flows.selector import NAME_LABEL

POINTS_PER_REQUEST = 10_000
"""Prometheus refuses more than 11,000 points per series (``maxPointsPerTS`` in its web/api/v1)."""
MAX_POINTS = 20_000_000
"""Bound of all points held: 16 bytes each, and their text while an answer is read."""
TIMEOUT_S = 60.0
MAX_NAME = 100
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")


class Range(NamedTuple):
    """Which samples: a PromQL expression at ``start_ms``, every ``step_ms``, until ``end_ms`` at the latest."""

    query: str
    start_ms: int
    end_ms: int
    step_ms: int

    def parts(self) -> Iterator[tuple[int, int]]:
        """Consecutive ranges with few enough points, both ends included."""
        length_ms = (POINTS_PER_REQUEST - 1) * self.step_ms
        for start_ms in range(self.start_ms, self.end_ms + 1, length_ms + self.step_ms):
            yield start_ms, min(start_ms + length_ms, self.end_ms)


class Parts(NamedTuple):
    """What came of one series: its labels, and times and values of each answer."""

    labels: dict[str, str]
    times_ms: list[int]
    values: list[float]


def make_range(query: str, start: str | None, end: str | None, step: str, now_ms: int) -> Range:
    """Check what the user wrote; the last day by default. Raises ``Rejected``."""
    end_ms = now_ms if end is None else parse_time_ms("--end", end)
    start_ms = end_ms - UNITS_MS["d"] if start is None else parse_time_ms("--start", start)
    if start_ms > end_ms:
        _refuse("--start", start, "expected a time before --end")
    return Range(query, start_ms, end_ms, parse_duration_ms("--step", step))


def parse_time_ms(field: str, text: str) -> int:
    """Seconds since 1970, or RFC 3339; without an offset it is UTC."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            _refuse(field, text, "expected seconds since 1970 or a time like 2026-01-31T12:00:00Z")
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not (math.isfinite(seconds) and 0 <= seconds * 1000 <= MAX_TIME_MS):
        _refuse(field, text, "expected a time from 1970 to 2100")
    return round(seconds * 1000)


def parse_duration_ms(field: str, text: str) -> int:
    """``15s``, ``1m``, ``0.5h``; without a unit seconds."""
    found = _DURATION.fullmatch(text)
    length_ms = round(float(found[1]) * UNITS_MS[found[2] or "s"]) if found else 0
    if length_ms < 1:
        _refuse(field, text, "expected a duration of at least 1ms, like 15s or 1m")
    return length_ms


def read_range(client: httpx.Client, address: str, wanted: Range) -> Iterator[tuple[str, Frame]]:
    """A file name and a frame per series of the answer; raises ``Rejected`` or ``Unavailable``."""
    found: dict[bytes, Parts] = {}
    points = 0
    for start_ms, end_ms in wanted.parts():
        query = {"query": wanted.query, "start": _seconds(start_ms), "end": _seconds(end_ms)}
        for series in _ask(client, address, {**query, "step": _seconds(wanted.step_ms)}):
            labels = dict(series["metric"])
            parts = found.setdefault(encode_labels(labels), Parts(labels, [], []))
            points += len(series["values"])
            if points > MAX_POINTS:
                _refuse("--query", wanted.query, f"expected at most {MAX_POINTS} points in all: shorten the range")
            parts.times_ms.extend(round(time_s * 1000) for time_s, _ in series["values"])
            parts.values.extend(float(value) for _, value in series["values"])
    if not found:
        _refuse("--query", wanted.query, f"{address} has nothing for it from {wanted.start_ms} to {wanted.end_ms} ms")
    for key in sorted(found):
        yield file_name(found[key].labels), _frame(found[key])


def file_name(labels: dict[str, str]) -> str:
    """The series in letters that every file system takes, and 8 digits of its hash, so that no two are alike."""
    text = "-".join(
        [labels.get(NAME_LABEL, "series"), *(labels[name] for name in sorted(labels) if name != NAME_LABEL)]
    )
    plain = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")[:MAX_NAME]
    return f"{plain}-{series_hash(encode_labels(labels), DEFAULT_TENANT) >> 32:08x}"


def _frame(parts: Parts) -> Frame:
    labels = {NAME_LABEL: "series", **parts.labels}
    values = np.array(parts.values, np.float64)[:, None]
    return Frame(np.array(parts.times_ms, np.int64), values, np.ones(values.shape, np.bool_), [labels])


def _ask(client: httpx.Client, address: str, query: dict[str, str]) -> list[Any]:
    """One range query; gives the series of its matrix."""
    url = f"{address.rstrip('/')}/api/v1/query_range"
    try:
        answer = client.post(url, data=query, timeout=TIMEOUT_S)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"cannot reach {address}: {error}"
        raise Unavailable(message) from error
    except ValueError as error:
        message = f"{url} answered {answer.status_code} without JSON: is this the address of a Prometheus?"
        raise Rejected(reason="not_prometheus", message=message) from error
    if not isinstance(body, dict) or body.get("status") != "success":
        told = body.get("error", body) if isinstance(body, dict) else body
        message = f"{address} refused {query['query']!r}: {str(told)[:500]}"
        raise Rejected(reason="bad_query", message=message)
    series: list[Any] = body["data"]["result"]
    return series


def _seconds(time_ms: int) -> str:
    return f"{time_ms // 1000}.{time_ms % 1000:03}"


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    message = f"{field} = {value!r}: {expected}"
    raise Rejected(reason="bad_range", message=message)
