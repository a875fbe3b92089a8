from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from connectors.errors import SourceRefused, TooLarge
from connectors.sources import loki as loki_module
from connectors.sources.client import Endpoint, SourceClient
from connectors.sources.decode import Entry
from connectors.sources.loki import LokiApi
from connectors.sources.retry import ONCE
from tests.lokis import FakeLoki, Line

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9
SHOP, DB = {"app": "shop"}, {"app": "db"}


def lines_of(server: FakeLoki, query: str, start_ns: int, end_ns: int, limit: int = 5) -> tuple[list[Entry], LokiApi]:
    async def main() -> tuple[list[Entry], LokiApi]:
        async with SourceClient(Endpoint(server.url), retry=ONCE) as client:
            api = LokiApi(client)
            pages = [page async for page in api.lines(query, start_ns, end_ns, limit)]
        assert all(0 < len(page) <= limit for page in pages)
        return [entry for page in pages for entry in page], api

    return asyncio.run(main())


def entries(lines: Sequence[Line]) -> list[Entry]:
    return [Entry(line.time_ns, line.line, tuple(sorted(line.labels.items()))) for line in lines]


def test_all_lines_come_once_whatever_the_limit_cuts() -> None:
    """Streams that share times, a nanosecond with almost as many lines as a page, and days without any."""
    times = [0, 1, 1, 2, 5, 5, 5, 5, 6, *range(10, 25), 30 * HOUR, 30 * HOUR, 100 * HOUR]
    kept = [Line(T0 + at, f"line {n}", SHOP if n % 3 else DB) for n, at in enumerate(times)]
    with FakeLoki(kept, max_entries=5, max_query_ns=24 * HOUR) as server:
        found, api = lines_of(server, '{app=~"shop|db"}', T0, T0 + 101 * HOUR)
        assert sorted(found, key=lambda entry: int(entry.line.split()[1])) == entries(kept)
        assert [entry.time_ns for entry in found] == sorted(entry.time_ns for entry in found)
        assert api.cut_total == 0
        only, _ = lines_of(server, '{app="db"} |= "line 1"', T0, T0 + 6)
        assert only == []
        late, _ = lines_of(server, '{app=~"shop|db"}', T0 + 30 * HOUR, T0 + 100 * HOUR)
        assert [entry.time_ns for entry in late] == [T0 + 30 * HOUR] * 2
    assert {query["direction"] for query in server.asked} == {"forward"}


def test_a_nanosecond_with_too_many_lines_is_counted_and_passed() -> None:
    kept = [*(Line(T0, f"burst {n}", SHOP) for n in range(9)), Line(T0 + 1, "after", SHOP)]
    with FakeLoki(kept, max_entries=5) as server:
        found, api = lines_of(server, '{app="shop"}', T0, T0 + HOUR)
    assert [entry.line for entry in found] == [*(f"burst {n}" for n in range(5)), "after"]
    assert api.cut_total == 1


def test_with_long_lines_fewer_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loki_module, "PAGE_BYTES", 250)
    kept = [Line(T0 + n, "x" * 100, SHOP) for n in range(9)]
    with FakeLoki(kept) as server:
        found, _ = lines_of(server, '{app="shop"}', T0, T0 + HOUR)
        assert found == entries(kept)
        assert {int(query["limit"]) for query in server.asked} == {5, 2}
        monkeypatch.setattr(loki_module, "PAGE_BYTES", 50)
        with pytest.raises(TooLarge, match="50 bytes of log lines"):
            lines_of(server, '{app="shop"}', T0, T0 + HOUR)


@pytest.mark.parametrize("astray_ns", [-1, 10])
def test_a_server_that_does_not_keep_to_the_range_is_refused(monkeypatch: pytest.MonkeyPatch, astray_ns: int) -> None:
    kept = [Line(T0, "in time", SHOP), Line(T0 + astray_ns, "astray", SHOP)]
    with FakeLoki(kept) as server:
        monkeypatch.setattr(server, "_within", lambda _query: kept)
        with pytest.raises(SourceRefused, match=rf"a line of {T0 + astray_ns} ns, outside .* {T0} to before"):
            lines_of(server, '{app="shop"}', T0, T0 + 10)


def test_what_loki_says_is_told() -> None:
    with FakeLoki([], max_entries=5) as server:
        with pytest.raises(SourceRefused, match="answered 400: parse error at line 1"):
            lines_of(server, "{app=", T0, T0 + 1)
        with pytest.raises(SourceRefused, match="answered 400: max entries limit per query exceeded"):
            lines_of(server, '{app="a"}', T0, T0 + 1, limit=6)


def test_questions_about_streams_and_the_server() -> None:
    kept = [Line(T0, "a", SHOP), Line(T0 + 5, "b", {"app": "db", "pod": "x"})]
    with FakeLoki(kept, tenant="team") as server:

        async def main() -> None:
            t0_ms = T0 // 10**6
            async with SourceClient(Endpoint(server.url, headers={"X-Scope-OrgID": "team"}), retry=ONCE) as client:
                api = LokiApi(client)
                assert await api.labels(t0_ms, t0_ms + 1) == ["app", "pod"]
                assert await api.labels(t0_ms + 1, t0_ms + 2) == []
                found = await api.series(['{app=~".+"}'], t0_ms, t0_ms + 1)
                assert sorted(found) == [(("app", "db"), ("pod", "x")), (("app", "shop"),)]
                assert (await api.build_info()).version == "3.5.0"
                await api.check()
            async with SourceClient(Endpoint(server.url), retry=ONCE) as client:
                with pytest.raises(SourceRefused, match="answered 401: no org id"):
                    await LokiApi(client).check()

        asyncio.run(main())
