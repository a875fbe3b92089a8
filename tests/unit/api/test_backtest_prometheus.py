"""Ranges and answers; tests/integration/test_backtest.py asks a real Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import numpy as np
import pytest

from api import backtest_prometheus
from api.backtest_prometheus import (
    POINTS_PER_REQUEST,
    Range,
    file_name,
    make_range,
    parse_duration_ms,
    parse_time_ms,
    read_range,
)
from connectors.errors import Rejected, Unavailable

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


def test_the_parts_hold_every_step_once() -> None:
    wanted = Range("up", 500, 500 + 15_000 * 25_000, 15_000)
    steps = [time_ms for start, end in wanted.parts() for time_ms in range(start, end + 1, 15_000)]
    assert steps == list(range(500, wanted.end_ms + 1, 15_000))
    assert all((end - start) // 15_000 < POINTS_PER_REQUEST for start, end in wanted.parts())


def client_of(answer: Callable[[dict[str, str]], httpx.Response]) -> httpx.Client:
    def handle(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{URL}api/v1/query_range"
        return answer({name: values[0] for name, values in parse_qs(request.content.decode()).items()})

    return httpx.Client(transport=httpx.MockTransport(handle))


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

    with client_of(answer) as client:
        found = dict(read_range(client, URL, Range("up", 0, 12_000_000, 1000)))
    a, b = found[file_name({"job": "a"})], found[file_name({"job": "b"})]
    assert a.times_ms.tolist() == [0, 500, 10_000_000]
    np.testing.assert_array_equal(a.values[:, 0], [1.0, np.nan, np.inf])
    assert b.times_ms.tolist() == [10_000_000]
    assert a.labels == [{"__name__": "series", "job": "a"}]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (httpx.Response(400, json={"status": "error", "error": "parse error: x"}), "refused 'up': parse error: x"),
        (httpx.Response(404, text="<html>"), "answered 404 without JSON: is this the address of a Prometheus?"),
        (httpx.Response(200, json=[1]), "refused 'up'"),
        (matrix(), "has nothing for it"),
    ],
)
def test_refusals(response: httpx.Response, problem: str) -> None:
    with client_of(lambda _: response) as client, pytest.raises(Rejected) as refused:
        list(read_range(client, URL, Range("up", 0, 1000, 1000)))
    assert problem in str(refused.value)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_prometheus, "MAX_POINTS", 2)
    three = matrix({"metric": {}, "values": [[0, "1"], [1, "1"], [2, "1"]]})
    with client_of(lambda _: three) as client, pytest.raises(Rejected, match="at most 2 points"):
        list(read_range(client, URL, Range("up", 0, 2000, 1000)))


def test_a_prometheus_that_is_not_there() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(json.dumps("refused"), request=request)

    with (
        httpx.Client(transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(Unavailable, match="cannot reach"),
    ):
        list(read_range(client, URL, Range("up", 0, 1000, 1000)))


def test_file_names_are_plain_and_differ() -> None:
    names = [file_name({"__name__": "up", "path": path}) for path in ("/a", "/b", "../../etc", "x" * 500, "ü")]
    assert len(set(names)) == 5
    for name in names:
        assert name.replace("-", "").replace("_", "").replace(".", "").isascii()
        assert "/" not in name
        assert len(name) <= 109
        assert not name.startswith(".")
