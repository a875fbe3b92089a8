"""Clients of data sources: none is closed in use, and none stays open, whoever changes or removes them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api import sources as module
from api.meters import ApiMeters
from api.source_config import SourceConfig, SourceKind
from api.source_table import MAX_SOURCES, DataSource
from api.sources import Sources
from api.store import Store
from api.stored_sources import StoredSources
from connectors.sources.address import AddressPolicy
from connectors.sources.client import SourceClient


class Watch(SourceClient):
    """A client of which is known whether it is closed, and that takes its time for it."""

    made: list[Watch]
    may_close: asyncio.Event

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.closed = False
        Watch.made.append(self)

    async def close(self) -> None:
        await Watch.may_close.wait()
        await super().close()
        self.closed = True


def source(revision: int, source_id: str = "s") -> DataSource:
    config = SourceConfig(name=source_id, kind=SourceKind.PROMETHEUS, url="http://127.0.0.1:1")
    return DataSource(id=source_id, revision=revision, config=config, created_ms=1, updated_ms=1)


@asynccontextmanager
async def using(sources: Sources, wanted: DataSource) -> AsyncIterator[Watch]:
    async with sources.asking(wanted) as api:
        assert isinstance(api.client, Watch)
        yield api.client
        assert not api.client.closed, "closed in use"


def with_sources(main: Callable[[Sources], Awaitable[None]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards all clients are closed, and nothing is remembered of them."""

    async def run() -> None:
        Watch.made, Watch.may_close = [], asyncio.Event()
        store = Store(f"sqlite:///{folder / 'store.sqlite'}", ApiMeters())
        sources = Sources(StoredSources(store, lambda: 1), AddressPolicy(), ApiMeters(), lambda: 1)
        await main(sources)
        Watch.may_close.set()
        await sources.stop()
        assert [client.closed for client in Watch.made] == [True] * len(Watch.made)
        await store.stop()

    monkeypatch.setattr(module, "SourceClient", Watch)
    asyncio.run(run())


def test_two_who_ask_a_changed_source_share_its_new_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sources: Sources) -> None:
        async with using(sources, source(1)):
            pass

        async def ask() -> Watch:
            async with using(sources, source(2)) as client:
                await asyncio.sleep(0)
                return client

        asked = asyncio.gather(ask(), ask())
        await asyncio.sleep(0)
        Watch.may_close.set()
        one, other = await asked
        assert one is other

    with_sources(main, tmp_path, monkeypatch)


def test_a_client_that_makes_room_for_another_does_not_take_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is forgotten while the first closes, and asked by who has read it before."""
    monkeypatch.setattr(module, "CLIENTS_MOST", 1)

    async def main(sources: Sources) -> None:
        async with using(sources, source(1, "a")):
            pass
        entered, may_end = asyncio.Event(), asyncio.Event()

        async def ask() -> None:
            async with using(sources, source(1, "b")):
                entered.set()
                await may_end.wait()

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        sources.forget("b", 2)
        Watch.may_close.set()
        await entered.wait()
        may_end.set()
        await asking

    with_sources(main, tmp_path, monkeypatch)


def test_who_comes_late_with_an_old_revision_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(sources: Sources) -> None:
        Watch.may_close.set()
        async with using(sources, source(2)) as new, using(sources, source(1)) as old:
            assert new is not old
        async with using(sources, source(2)) as again:
            assert again is new
        sources.forget("s", 3)
        async with using(sources, source(2)) as late:
            assert late is not new
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [client.closed for client in Watch.made] == [True] * 3
        assert sources._last_ok_ms == {}

    with_sources(main, tmp_path, monkeypatch)


def test_what_is_known_of_sources_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sources: Sources) -> None:
        Watch.may_close.set()
        for at in range(MAX_SOURCES + 5):
            async with using(sources, source(1, f"s{at}")):
                pass
            sources.forget(f"d{at}", 2)
        assert len(sources._last_ok_ms) == len(sources._least) == MAX_SOURCES
        assert len(sources._open) == module.CLIENTS_MOST

    with_sources(main, tmp_path, monkeypatch)
