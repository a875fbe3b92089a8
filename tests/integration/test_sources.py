"""The client against a real Prometheus: what it gives, what it refuses, and its way back after a stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import cramjam
import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from connectors.codec.encode import encode_write_request
from connectors.errors import SourceRefused, SourceUnreachable
from connectors.sources.address import AddressPolicy
from connectors.sources.client import Endpoint, SourceClient
from connectors.sources.pieces import Range
from connectors.sources.prometheus import PrometheusApi
from connectors.sources.retry import ONCE
from flows.promql import NO_LABELS, Vector
from tests.prometheus import Exporter, Prometheus, missing_prometheus
from tests.queries import vectors, words

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

POINTS = 12_000
"""More than Prometheus gives at once."""


@pytest.fixture(scope="module")
def begin_ms() -> int:
    return (int(time.time()) - POINTS - 60) * 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, begin_ms: int) -> Iterator[Prometheus]:
    """It has ``ramp`` of the last hours, a sample a second."""
    flags = ["--web.enable-remote-write-receiver"]
    with (
        Exporter(lambda: "# TYPE up_time gauge\n# HELP up_time since start\n# EOF\n") as exporter,
        Prometheus(tmp_path_factory.mktemp("prometheus"), exporter.port, None, "1h", flags) as running,
    ):
        samples = [(begin_ms + 1000 * at, float(at)) for at in range(POINTS)]
        body = encode_write_request([({"__name__": "ramp", "job": "a"}, samples)])
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        packed = bytes(cramjam.snappy.compress_raw(body))
        assert httpx.post(f"{running.url}/api/v1/write", content=packed, headers=headers, verify=False).is_success
        yield running


@asynccontextmanager
async def api_of(url: str) -> AsyncIterator[PrometheusApi]:
    async with SourceClient(Endpoint(url), AddressPolicy(), ONCE) as client:
        yield PrometheusApi(client)


def test_a_range_beyond_the_limit_is_whole(server: Prometheus, begin_ms: int) -> None:
    async def main() -> None:
        async with api_of(server.url) as api:
            (ramp,) = await api.query_range(Range("ramp", begin_ms, begin_ms + 1000 * (POINTS - 1), 1000))
            assert ramp.labels == (("__name__", "ramp"), ("job", "a"))
            assert ramp.values.tolist() == [float(at) for at in range(POINTS)]
            assert ramp.times_ms.tolist() == [begin_ms + 1000 * at for at in range(POINTS)]
            assert await api.query_range(Range("nothing", begin_ms, begin_ms + 1000, 1000)) == []

    asyncio.run(main())


def test_questions_about_series_and_the_server(server: Prometheus, begin_ms: int) -> None:
    async def main() -> None:
        async with api_of(server.url) as api:
            await api.check()
            assert (await api.build_info()).version.startswith(("2.", "3."))
            assert await api.series(["ramp"], begin_ms, begin_ms + 1000) == [(("__name__", "ramp"), ("job", "a"))]
            assert await api.labels(['{job="a"}'], begin_ms, begin_ms + 1000) == ["__name__", "job"]
            assert await api.metadata("nothing") == {}
            (point,) = await api.query("ramp", begin_ms + 5000)
            assert (point.time_ms, point.value) == (begin_ms + 5000, 5.0)
            with pytest.raises(SourceRefused, match=r"answered 400: .*parse error"):
                await api.query("rate(ramp)")
            with pytest.raises(SourceRefused, match="answered 404"):
                async with api_of(f"{server.url}/elsewhere") as other:
                    await other.check()

    asyncio.run(main())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(vector=vectors(words.filter(lambda name: name.lower() not in NO_LABELS)))
def test_whatever_is_built_is_taken(server: Prometheus, vector: Vector) -> None:
    form = {"query": str(vector)}
    answer = httpx.post(f"{server.url}/api/v1/query", data=form, verify=False, trust_env=False)
    # it is read; how it is carried out is another question
    assert "parse error" not in answer.text
    assert answer.status_code == 200


def test_it_is_told_while_it_is_stopped_and_found_again(server: Prometheus, begin_ms: int) -> None:
    """The last test of this file: it stops the server that the others share, and starts it again."""

    async def ask(api: PrometheusApi) -> float:
        return (await api.query("ramp", begin_ms + 5000))[0].value

    async def main() -> None:
        async with api_of(server.url) as api:
            assert await ask(api) == 5.0
            await asyncio.to_thread(server.stop)
            with pytest.raises(SourceUnreachable, match=r"cannot reach http://127\.0\.0\.1"):
                await ask(api)
            await asyncio.to_thread(server.start)
            assert await ask(api) == 5.0

    asyncio.run(main())
