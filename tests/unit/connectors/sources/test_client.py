"""What is tried again, what is told, and how much is held; tests/integration/test_sources.py asks real servers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import numpy as np
import pytest

from connectors.errors import Rejected, SourceRefused, SourceUnreachable, TooLarge
from connectors.sources import client as client_module
from connectors.sources import decode as decode_module
from connectors.sources.cache import ResultCache
from connectors.sources.client import CHUNK_BYTES, Endpoint, SourceClient
from connectors.sources.decode import HEAD_BYTES, Labels, MatrixSink, SourceSeries
from connectors.sources.pieces import POINTS_PER_REQUEST, Range
from connectors.sources.prometheus import PrometheusApi
from connectors.sources.retry import Retry

URL = "http://prometheus.example:9090/base/"
HERE = Endpoint(URL)
Answer = httpx.Response | Exception


def matrix(*series: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


ONE = {"metric": {"__name__": "up", "job": "a"}, "values": [[1, "1"], [2.5, "NaN"]]}


class Server:
    """Gives the answers in their order, and the last one for ever; ``waits`` are those of the client."""

    def __init__(self, answers: Iterable[Answer], endpoint: Endpoint = HERE) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        retry = Retry(tries=4, first_s=1.0, sleep=self._sleep, draw=lambda: 1.0)
        self.client = SourceClient(endpoint, retry=retry, transport=httpx.MockTransport(self._answer))

    async def _sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)

    def ask(self) -> dict[Labels, list[float]]:
        return {series.labels: series.values.tolist() for series in self.ask_raw()}

    def ask_raw(self) -> list[SourceSeries]:
        async def main() -> list[SourceSeries]:
            try:
                return await PrometheusApi(self.client).query_range(Range("up", 0, 10_000, 1000))
            finally:
                await self.client.close()

        return asyncio.run(main())


def test_a_range_is_asked_for_and_read() -> None:
    server = Server([matrix(ONE)])
    np.testing.assert_equal(server.ask(), {(("__name__", "up"), ("job", "a")): [1.0, np.nan]})
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", "http://prometheus.example:9090/base/api/v1/query_range")
    assert request.content == b"query=up&start=0.000&end=10.000&step=1.000"


@pytest.mark.parametrize(
    "failure",
    [
        *(httpx.Response(status) for status in (429, 499, 502, 503, 504)),
        httpx.Response(
            422, json={"status": "error", "errorType": "execution", "error": "expanding series: context canceled"}
        ),
        httpx.Response(422, json={"status": "error", "errorType": "execution", "error": "TSDB not ready"}),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
    ],
    ids=str,
)
def test_what_may_be_better_in_a_moment_is_tried_again(failure: Answer) -> None:
    server = Server([failure, failure, matrix(ONE)])
    assert len(server.ask()) == 1
    assert server.waits == [1.0, 2.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 302])
def test_what_is_refused_is_not(status: int) -> None:
    server = Server([httpx.Response(status, json={"status": "error", "error": "parse error: x"})])
    with pytest.raises(SourceRefused, match=str(status)):
        server.ask()
    assert (len(server.requests), server.waits) == (1, [])


@pytest.mark.parametrize("failure", [httpx.Response(500, text="out of memory"), httpx.ReadTimeout("slow")], ids=str)
def test_what_would_only_burden_the_server_is_not(failure: Answer) -> None:
    server = Server([failure])
    with pytest.raises(SourceUnreachable, match=r"out of memory|did not answer within 30 s"):
        server.ask()
    assert len(server.requests) == 1


def test_after_all_tries_it_says_what_the_server_said() -> None:
    body = json.dumps({"status": "error", "errorType": "unavailable", "error": "TSDB is starting"})
    server = Server([httpx.Response(503, text=body, headers={"Retry-After": "2"})])
    with pytest.raises(SourceUnreachable, match="answered 503: TSDB is starting"):
        server.ask()
    assert server.waits == [3.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (httpx.Response(200, text="<html>"), "answered 200 with what is not an answer of this API"),
        (httpx.Response(200, json=[1]), "not an answer of this API: \\[1\\]"),
        (httpx.Response(200, json={"status": "error", "error": "no"}), "not an answer of this API: no"),
        (httpx.Response(200, json={"status": "success", "data": {"result": [1]}}), "an item of the result is '1'"),
        (httpx.Response(200, json={"status": "success", "data": {"result": [{"a": 1}]}}), "an item of the result"),
        (matrix({"metric": {"a": "b"}, "value": [1, "1"]}), "an item of the result is \"{'metric'"),
        (httpx.Response(200, json={"status": "success", "data": {"result": "x"}}), "its data has no list of series"),
        (httpx.Response(200, json={"status": "success", "data": {}}), "its data has no list of series: {}"),
        (httpx.Response(200, json={"status": "success", "data": []}), "its data has no list of series"),
        (httpx.Response(200, text=json.dumps({"status": "success", "data": {"result": [ONE]}})[:-2]), "not an answer"),
        (httpx.Response(301, headers={"Location": "https://u:p@elsewhere/x?token=a"}), "sends to https://elsewhere/x:"),
    ],
)
def test_nonsense_is_refused(response: httpx.Response, problem: str) -> None:
    with pytest.raises(SourceRefused, match=problem):
        Server([response]).ask()


def test_secrets_go_to_the_server_and_nowhere_else() -> None:
    endpoint = Endpoint(URL, headers={"X-Scope-OrgID": "team-a", "X-Key": "key-of-mine"}, basic=("me", "pass-word"))
    server = Server([httpx.Response(403, text="pass-word of me with key-of-mine is wrong")], endpoint)
    with pytest.raises(SourceRefused, match="answered 403: \\*\\*\\* of me with \\*\\*\\* is wrong"):
        server.ask()
    sent = server.requests[0].headers
    assert (sent["x-scope-orgid"], sent["x-key"]) == ("team-a", "key-of-mine")
    assert sent["authorization"] == "Basic bWU6cGFzcy13b3Jk"
    assert "word" not in repr(endpoint)
    bearer = Server([matrix(ONE)], Endpoint(URL, bearer="abc.def"))
    bearer.ask()
    assert bearer.requests[0].headers["authorization"] == "Bearer abc.def"


def test_a_password_in_the_address_is_not_told() -> None:
    server = Server([httpx.ConnectError("no route")], Endpoint("http://me:secret@somewhere:1"))
    with pytest.raises(SourceUnreachable) as caught:
        server.ask()
    assert str(caught.value) == "cannot reach http://somewhere:1: no route"


def test_an_answer_that_breaks_off_is_read_anew_from_its_begin() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield json.dumps({"status": "success", "data": {"result": [ONE, ONE]}}).encode()[:120]
            message = "reset"
            raise httpx.ReadError(message)

    server = Server([httpx.Response(200, stream=Broken()), matrix(ONE)])
    assert [len(values) for values in server.ask().values()] == [2]


def test_the_parts_of_a_range_hold_every_step_once() -> None:
    wanted = Range("up", 500, 500 + 15_000 * 25_000, 15_000)
    steps = [time_ms for start, end in wanted.parts() for time_ms in range(start, end + 1, 15_000)]
    assert steps == list(range(500, wanted.end_ms + 1, 15_000))
    assert all((end - start) // 15_000 < POINTS_PER_REQUEST for start, end in wanted.parts())
    for longest_ms in (40_000, 7):
        parts = list(wanted.parts(longest_ms))
        assert [time_ms for start, end in parts for time_ms in range(start, end + 1, 15_000)] == steps
        assert max(end - start for start, end in parts) <= longest_ms


def test_a_second_question_is_answered_from_memory_unless_it_reaches_to_now() -> None:
    server, clock, now_s = Server([matrix(ONE)]), [100_000], [0.0]
    api = PrometheusApi(server.client, ResultCache(now_s=lambda: now_s[0]), "a", lambda: clock[0])
    other = PrometheusApi(server.client, api._cache, "b", lambda: clock[0])
    past, recent = Range("up", 0, 10_000, 1000), Range("up", 0, 99_500, 1000)

    async def main() -> list[int]:
        asked = []
        for source, wanted, at_s in [(api, past, 0), (api, past, 299), (other, past, 299), (api, past, 301),
                                     (api, recent, 301), (api, recent, 301.9), (api, recent, 302)]:  # fmt: skip
            now_s[0] = at_s
            await source.query_range(wanted)
            asked.append(len(server.requests))
        return asked

    assert asyncio.run(main()) == [1, 1, 2, 3, 4, 4, 5]


def test_too_many_points_are_refused_fresh_and_from_memory() -> None:
    server = Server([matrix(ONE)])
    api = PrometheusApi(server.client)

    async def main(most: int) -> None:
        await api.query_range(Range("up", 0, 10_000, 1000), most)

    with pytest.raises(TooLarge, match="more than 1 points"):
        asyncio.run(main(1))
    asyncio.run(main(2))
    with pytest.raises(TooLarge, match="2 points, at most 1"):
        asyncio.run(main(1))


def test_an_answer_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 50)
    with pytest.raises(TooLarge, match="more than 50 bytes"):
        Server([matrix(ONE)]).ask()


@pytest.mark.parametrize("begin", [b"[" * 100_000, b'{"data":{"result":[' + b'{"a":' * 100_000])
def test_an_answer_that_nests_without_end_is_refused_before_it_is_parsed(begin: bytes) -> None:
    """The parser keeps the whole way to where it is: 100,000 levels took 30 GB."""
    with pytest.raises(SourceRefused, match="nests deeper than 32 levels"):
        Server([httpx.Response(200, content=begin)]).ask()


def test_a_series_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_ITEM_BYTES", 200_000)
    one = {"metric": {"a": "b"}, "values": [[at, "1.5"] for at in range(10_000)]}
    assert len(Server([matrix(one, {**one, "metric": {"a": "c"}})]).ask()) == 2
    long = {"metric": {"a": "b"}, "values": [[at, "1.5"] for at in range(20_000)]}
    with pytest.raises(TooLarge, match="more than 200000 bytes of one series"):
        Server([matrix(long)]).ask()


def test_others_have_their_turn_while_a_bomb_goes_off() -> None:
    """Some kilobytes on the wire are 30 MB of blanks: the loop is not held for longer than a piece takes."""
    inside = b'{"status":"success","data":{"resultType":"matrix","result":[' + b" " * 30_000_000
    packed = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(gzip.compress(inside)))
    turns = 0

    async def main() -> None:
        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        with pytest.raises(SourceRefused, match="not an answer of this API"):
            await PrometheusApi(Server([packed]).client).query_range(Range("up", 0, 10_000, 1000))
        counting.cancel()

    asyncio.run(main())
    assert turns > 30_000_000 / CHUNK_BYTES


def test_a_long_answer_is_not_held_as_text() -> None:
    """Of 30 series of 1,000 points, those that have come are columns already, and the rest is not asked for yet."""
    values = ",".join(f'[{1_700_000_000 + 15 * at}.123,"{at}.123456789012345"]' for at in range(1000))
    texts = [f'{"," if at else ""}{{"metric":{{"n":"{at}"}},"values":[{values}]}}'.encode() for at in range(30)]
    sinks: list[MatrixSink] = []
    seen: list[int] = []

    class Long(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"status":"success","data":{"resultType":"matrix","result":['
            for text in texts:
                yield text
                seen.append(len(sinks[0]._matrix))
                assert len(sinks[0]._head) <= HEAD_BYTES
            yield b"]}}"

    def make_sink() -> MatrixSink:
        sinks.append(MatrixSink(30_000))
        return sinks[-1]

    server = Server([httpx.Response(200, stream=Long())])
    found = asyncio.run(server.client.fetch("POST", "/api/v1/query_range", [], make_sink))
    assert sum(len(columns.times_ms) for columns in found.values()) == 30_000
    assert all(at - 2 <= series <= at for at, series in enumerate(seen, 1))  # a chunk holds one and a half of them


def test_questions_about_series_and_the_server() -> None:
    asked: list[tuple[str, str, bytes]] = []
    answers: dict[str, Any] = {
        "/base/api/v1/series": [{"__name__": "up", "job": "a"}],
        "/base/api/v1/labels": ["__name__", "job"],
        "/base/api/v1/metadata": {"up": [{"type": "gauge", "help": "", "unit": ""}]},
        "/base/api/v1/query": {"resultType": "scalar", "result": [1.5, "+Inf"]},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.query.decode(), request.content))
        data = answers.get(request.url.path)
        text = json.dumps({"status": "success", "data": data})
        return httpx.Response(404 if data is None else 200, stream=httpx.ByteStream(text.encode()))

    async def main() -> list[Any]:
        api = PrometheusApi(SourceClient(Endpoint(URL), transport=httpx.MockTransport(answer)))
        return [
            await api.series(["up", '{a="b"}'], 0, 1000),
            await api.labels(),
            await api.metadata("up"),
            await api.query("1", 1500),
            (await api.build_info()).version,
        ]

    series, labels, metadata, points, version = asyncio.run(main())
    assert series == [(("__name__", "up"), ("job", "a"))]
    assert (labels, metadata["up"][0]["type"], points, version) == (
        ["__name__", "job"],
        "gauge",
        [((), 1500, np.inf)],
        "",
    )
    assert asked[0] == ("POST", "", b"match%5B%5D=up&match%5B%5D=%7Ba%3D%22b%22%7D&start=0.000&end=1.000")
    assert asked[2][:2] == ("GET", "metric=up")


VECTOR: dict[str, Any] = {"resultType": "vector"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "x",
        VECTOR,
        {**VECTOR, "result": [{"metric": {}, "value": ["x", "1"]}]},
        {**VECTOR, "result": [{"metric": {}, "value": [1e400, "1"]}]},
        {"resultType": "scalar", "result": 5},
    ],
)
def test_nonsense_of_an_instant_query_is_refused(data: object) -> None:
    body = json.dumps({"status": "success", "data": data}).replace("Infinity", "1e400")
    server = Server([httpx.Response(200, text=body)])

    async def main() -> None:
        await PrometheusApi(server.client).check()

    with pytest.raises(SourceRefused, match="not an answer of this API"):
        asyncio.run(main())


def test_a_header_that_is_echoed_shows_no_secret() -> None:
    server = Server([httpx.Response(403, text="Basic YW5uOnNlY3JldHM=")], Endpoint(URL, basic=("ann", "secrets")))
    with pytest.raises(SourceRefused) as refused:
        server.ask()
    assert "YW5u" not in str(refused.value)


def test_a_secret_that_is_quoted_as_python_does_is_not_told() -> None:
    """The library that refuses ``b'Bearer key\\\\of-mine '`` says so with the backslash twice."""
    sent = "key\\of-mine "
    with pytest.raises(SourceRefused, match=r"Illegal header value b'Bearer \*\*\*'$"):
        Server([httpx.Response(400, text=f"Illegal header value {sent.encode()!r}".replace("b'", "b'Bearer "))],
               Endpoint(URL, bearer=sent)).ask()  # fmt: skip


def test_a_range_vector_is_no_answer_to_an_instant_query() -> None:
    answer = httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": []}})
    with pytest.raises(Rejected, match="ask for an instant vector"):
        asyncio.run(PrometheusApi(Server([answer]).client).query("up[5m]"))
