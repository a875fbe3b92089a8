"""A range of a Prometheus as frames, for ``tocsin backtest``."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NoReturn

import httpx

from api.source_history import frame_of
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.errors import Rejected
from connectors.messages import DEFAULT_TENANT, MAX_TIME_MS
from connectors.sources.client import Endpoint, SourceClient
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range
from connectors.sources.prometheus import PrometheusApi
from flows.frame import Frame
from flows.selector import NAME_LABEL

TIMEOUT_S = 60.0
MAX_NAME = 100
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")


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


def read_range(
    address: str, wanted: Range, transport: httpx.AsyncBaseTransport | None = None
) -> Iterator[tuple[str, Frame]]:
    """A file name and a frame per series of the answer; raises ``Rejected`` or ``Unavailable``."""
    found = asyncio.run(_read(address, wanted, transport))
    if not found:
        _refuse("--query", wanted.query, f"{address} has nothing for it from {wanted.start_ms} to {wanted.end_ms} ms")
    for series in found:
        yield file_name(dict(series.labels)), frame_of(series)


async def _read(address: str, wanted: Range, transport: httpx.AsyncBaseTransport | None) -> list[SourceSeries]:
    async with SourceClient(Endpoint(address, timeout_s=TIMEOUT_S), transport=transport) as client:
        return await PrometheusApi(client).query_range(wanted)


def file_name(labels: dict[str, str]) -> str:
    """The series in letters that every file system takes, and 8 digits of its hash, so that no two are alike."""
    text = "-".join(
        [labels.get(NAME_LABEL, "series"), *(labels[name] for name in sorted(labels) if name != NAME_LABEL)]
    )
    plain = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")[:MAX_NAME]
    return f"{plain}-{series_hash(encode_labels(labels), DEFAULT_TENANT) >> 32:08x}"


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    message = f"{field} = {value!r}: {expected}"
    raise Rejected(reason="bad_range", message=message)
