"""The store on a real SQLite and a real PostgreSQL: tables, transactions, deadlines, and what a dead database costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from api import store as module
from api import store_engine
from api.meters import ApiMeters
from api.store import Store
from api.store_engine import shown, store_url
from api.store_steps import STEPS, upgrade
from api.store_tables import BY_SURPRISE, versions
from connectors.errors import Overloaded, Unavailable
from connectors.probes import Status
from tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.integration

NUMBERS = Table("numbers_of_tests", MetaData(), Column("number", Integer, primary_key=True))


def put(number: int) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        NUMBERS.create(connection, checkfirst=True)
        connection.execute(insert(NUMBERS).values(number=number))

    return work


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(NUMBERS)) or 0


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(url, ApiMeters())
    try:
        yield store
    finally:
        await store.stop()


def with_store(url: str, main: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(url) as store:
            await main(store)

    asyncio.run(run())


def test_what_is_written_stays_and_what_fails_does_not(store_url: str) -> None:
    async def main(store: Store) -> None:
        await store.write(put(1))
        with pytest.raises(IntegrityError):
            await store.write(lambda connection: (put(2)(connection), put(1)(connection)))
        assert await store.read(count) == 1

    async def later(store: Store) -> None:
        assert await store.read(count) == 1

    with_store(store_url, main)
    with_store(store_url, later)


def test_all_replicas_may_make_the_tables_at_once(store_url: str) -> None:
    async def main() -> None:
        async with opened(store_url) as one, opened(store_url) as two, opened(store_url) as three:
            found = await asyncio.gather(*(store.component() for store in (one, two, three)))
            assert [component.status for component in found] == [Status.OK] * 3
            assert await one.read(lambda connection: connection.scalar(select(versions.c.version))) == len(STEPS)

    asyncio.run(main())


def test_each_step_is_taken_once_and_a_newer_database_is_left_alone(store_url: str) -> None:
    taken: list[str] = []
    steps = (*STEPS, lambda _: taken.append("a"), lambda _: taken.append("b"))

    async def main(store: Store) -> None:
        assert await store.write(lambda connection: upgrade(connection, steps[:-1])) == 1
        assert await store.write(lambda connection: upgrade(connection, steps)) == 1
        assert taken == ["a", "b"]

    with_store(store_url, main)

    async def again(store: Store) -> None:
        with pytest.raises(Unavailable, match=f"of version {len(steps)}, this Tocsin knows them up to {len(STEPS)}"):
            await store.read(count)

    with_store(store_url, again)


def test_an_index_of_before_is_made_anew_however_long_that_takes(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a database that has taken the first four steps: its rows stay, and the order of surprise has times."""
    timeout_s, long = 1.0, "SELECT pg_sleep(1.5)"
    if store_url.startswith("sqlite"):
        timeout_s = 0.05
        long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT max(i) FROM n"

    def columns(connection: Connection) -> list[str | None]:
        found = inspect(connection).get_indexes("anomalies")
        return next(one["column_names"] for one in found if one["name"] == "anomalies_by_surprise")

    def as_before(connection: Connection) -> None:
        BY_SURPRISE.drop(connection)
        connection.execute(text("CREATE INDEX anomalies_by_surprise ON anomalies (surprise, id)"))
        connection.execute(update(versions).values(version=4))

    async def main(store: Store) -> None:
        await store.write(as_before)
        assert await store.read(columns) == ["surprise", "id"]

    async def later(store: Store) -> None:
        assert await store.read(columns) == ["surprise", "id", "time_ms"]
        assert await store.read(lambda connection: connection.scalar(select(versions.c.version))) == len(STEPS)
        with pytest.raises(Unavailable, match=r"interrupted|statement timeout"):
            await store.write(lambda connection: connection.execute(text(long)))
        slow = (*STEPS, lambda connection: connection.execute(text(long)))
        assert await store.write(lambda connection: upgrade(connection, slow)) == 1

    with_store(store_url, main)
    monkeypatch.setattr(store_engine, "STATEMENT_TIMEOUT_S", timeout_s)
    with_store(store_url, later)


def test_who_waits_too_long_is_told_and_the_loop_goes_on(store_url: str) -> None:
    async def main(store: Store) -> None:
        await store.component()
        endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await store.read(lambda connection: connection.scalar(endless), 0.2)
        assert (await store.component()).status is Status.OK  # the others have threads of their own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.store_engine.STATEMENT_TIMEOUT_S", 0.5)
        with_store(store_url, main)


def test_more_than_the_store_can_do_is_refused(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MOST", 1)

    async def main(store: Store) -> None:
        slow = asyncio.create_task(store.read(lambda _: time.sleep(0.2)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="1 requests wait"):
            await store.read(count)
        await slow

    with_store(store_url, main)


def test_a_stopped_postgresql_is_named_without_its_password_and_found_again(postgres: Postgres) -> None:
    async def main(store: Store) -> None:
        await store.write(put(1))
        await asyncio.to_thread(postgres.stop)
        with pytest.raises(Unavailable, match=rf"postgresql://127.0.0.1:{postgres.port}/test\d+ \(TOCSIN_API_STORE\)"):
            await store.read(count)
        began_s = time.monotonic()
        component = await store.component()
        assert component.status is Status.DEGRADED
        assert PASSWORD not in component.reason
        assert time.monotonic() - began_s < 0.5
        await asyncio.to_thread(postgres.start)
        await _until(lambda: _is_well(store))
        assert await store.read(count) == 1

    try:
        with_store(postgres.database(), main)
    finally:
        postgres.stop()
        postgres.start()


async def _is_well(store: Store) -> bool:
    return (await store.component()).status is Status.OK


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - a database tells nobody that it is back
            await asyncio.sleep(0.1)


def test_a_folder_that_cannot_be_written_to_is_a_reason_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def main(store: Store) -> None:
        component = await store.component()
        assert component.status is Status.DEGRADED
        assert "TOCSIN_API_STORE" in component.reason

    with_store(f"sqlite:///{tmp_path / 'file' / 'store.sqlite'}", main)


URLS = {
    "sqlite:///a/b.sqlite": "sqlite:///a/b.sqlite",
    "postgres://me:pw@db:5433/tocsin?sslmode=require": "postgresql://db:5433/tocsin",
    "postgresql+psycopg://me:pw@db/tocsin": "postgresql://db/tocsin",
}


@pytest.mark.parametrize(("given", "seen"), URLS.items())
def test_urls_are_shown_without_secrets(given: str, seen: str) -> None:
    assert shown(store_url(given)) == seen


@pytest.mark.parametrize("given", ["mysql://me:pw@db/x", "sqlite://", "sqlite:///:memory:", "pw", "postgresql:/pw@x"])
def test_other_databases_are_refused_without_secrets(given: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///folder") as caught:
        store_url(given)
    assert "pw" not in str(caught.value)
