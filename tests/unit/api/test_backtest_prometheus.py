"""Ranges and answers; tests/integration/test_backtest.py asks a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import numpy as np
import pytest

from api.backtest_prometheus import (
    file_name,
    make_range,
    parse_duration_ms,
    parse_time_ms,
    read_range,
)
from connectors.errors import Rejected
from connectors.sources.pieces import Range

NOW_MS = 1_700_000_000_000
URL = "http://prometheus.example:9090/"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.5", 1_700_000_000_500),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
    ],
)
def test_times(text: str, time_ms: int) -> None:
    assert parse_time_ms("--start", text) == time_ms


@pytest.mark.parametrize(("text", "length_ms"), [("15s", 15_000), ("1m", 60_000), ("0.5h", 1_800_000), ("2", 2000)])
def test_durations(text: str, length_ms: int) -> None:
    assert parse_duration_ms("--step", text) == length_ms


@pytest.mark.parametrize(
    ("start", "end", "step", "problem"),
    [
        ("yesterday", None, "15s", "--start = 'yesterday': expected seconds since 1970 or a time like"),
        (None, "nan", "15s", "--end = 'nan': expected a time from 1970 to 2100"),
        ("1700000000", "1600000000", "15s", "--start = '1700000000': expected a time before --end"),
        (None, None, "0s", "--step = '0s': expected a duration"),
        (None, None, "15 seconds", "--step = '15 seconds': expected a duration"),
    ],
)
def test_bad_ranges(start: str | None, end: str | None, step: str, problem: str) -> None:
    with pytest.raises(Rejected) as refused:
        make_range("up", start, end, step, NOW_MS)
    assert str(refused.value).startswith(problem)


def test_the_last_day_is_meant_when_nothing_is_said() -> None:
    assert make_range("up", None, None, "15s", NOW_MS) == Range("up", NOW_MS - 86_400_000, NOW_MS, 15_000)


def transport_of(answer: Callable[[dict[str, str]], httpx.Response]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{URL}api/v1/query_range"
        given = answer({name: values[0] for name, values in parse_qs(request.content.decode()).items()})
        return httpx.Response(given.status_code, headers=given.headers, stream=given.stream)

    return httpx.MockTransport(handle)


def matrix(*series: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


def test_answers_are_joined_per_series() -> None:
    """A gap in the answer stays a gap; NaN and infinities are read."""

    def answer(query: dict[str, str]) -> httpx.Response:
        assert query["query"] == "up"
        assert query["step"] == "1.000"
        begin = float(query["start"])
        if begin < 10_000:
            return matrix({"metric": {"job": "a"}, "values": [[begin, "1"], [begin + 0.5, "NaN"]]})
        tail = {"metric": {"job": "a"}, "values": [[begin, "+Inf"]]}
        return matrix({"metric": {"job": "b"}, "values": [[begin, "2"]]}, tail)

    found = dict(read_range(URL, Range("up", 0, 12_000_000, 1000), transport_of(answer)))
    a, b = found[file_name({"job": "a"})], found[file_name({"job": "b"})]
    assert a.times_ms.tolist() == [0, 500, 10_000_000]
    np.testing.assert_array_equal(a.values[:, 0], [1.0, np.nan, np.inf])
    assert b.times_ms.tolist() == [10_000_000]
    assert a.labels == [{"__name__": "series", "job": "a"}]


def test_nothing_found_is_refused() -> None:
    with pytest.raises(Rejected, match="has nothing for it"):
        list(read_range(URL, Range("up", 0, 1000, 1000), transport_of(lambda _: matrix())))


def test_file_names_are_plain_and_differ() -> None:
    names = [file_name({"__name__": "up", "path": path}) for path in ("/a", "/b", "../../etc", "x" * 500, "ü")]
    assert len(set(names)) == 5
    for name in names:
        assert name.replace("-", "").replace("_", "").replace(".", "").isascii()
        assert "/" not in name
        assert len(name) <= 109
        assert not name.startswith(".")
