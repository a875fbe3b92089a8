"""Data sources and collectors of the store, read for all who ask at a time."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from api import collector_table, source_table
from api.collector_table import CollectorConfig
from api.meters import ApiMeters
from api.problems import ApiError
from api.source_config import SourceConfig, SourceKind
from api.source_table import DataSource
from api.store import Store
from api.stored_sources import StoredSources

NOW_MS = 1_700_000_000_000


def source(source_id: str, revision: int = 1) -> DataSource:
    config = SourceConfig.model_validate(
        {"name": source_id, "kind": SourceKind.PROMETHEUS, "url": "http://a", "headers": {"X-Key": "of-mine"}}
    )
    return DataSource(id=source_id, revision=revision, config=config, created_ms=1, updated_ms=revision)


def reads(store: Store) -> list[float]:
    """How often it was read, as ``/metrics`` has it."""
    text = store._meters.store.seconds.labels("read")
    return [one.value for one in text.collect()[0].samples if one.name.endswith("_count")]


def test_what_others_change_is_seen_and_what_stays_is_not_made_anew(tmp_path: Path) -> None:
    async def main() -> None:
        ours, theirs = (Store(f"sqlite:///{tmp_path / 'store.sqlite'}", ApiMeters()) for _ in range(2))
        stored = StoredSources(ours, lambda: NOW_MS)
        for one in ("s-b", "s-a"):
            await theirs.write(partial(source_table.create, source=source(one)))
        first = await stored.sources()
        assert list(first) == ["s-a", "s-b"]
        assert orjson.loads(first["s-a"].text) == orjson.loads(source("s-a").encode())
        assert b"of-mine" not in first["s-a"].text
        assert await theirs.write(partial(source_table.replace, source=source("s-a", 2), base=1))
        second = await stored.sources()
        assert (second["s-a"].source.revision, b'"revision":2' in second["s-a"].text) == (2, True)
        assert second["s-b"] is first["s-b"]
        assert await theirs.write(partial(source_table.remove, source_id="s-b", base=1))
        with pytest.raises(ApiError, match="data source 's-b' does not exist"):
            await stored.source("s-b")
        for store in (ours, theirs):
            await store.stop()

    asyncio.run(main())


def test_all_who_ask_at_a_time_wait_for_one_read(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", ApiMeters())
        stored = StoredSources(store, lambda: NOW_MS)
        config = CollectorConfig(name="up", query="up")
        for one in ("s-a", "s-b"):
            await store.write(partial(source_table.create, source=source(one)))
        create: Any = partial(collector_table.create, config=config, now_ms=NOW_MS)
        await store.write(partial(create, collector_id="c", source_id="s-a"))
        before = reads(store)
        await asyncio.gather(*(stored.source("s-a") for _ in range(20)), *(stored.collectors() for _ in range(20)))
        assert [now - then for now, then in zip(reads(store), before, strict=True)] == [2.0]
        found = await stored.collectors()
        (collector,) = orjson.loads(found.text("s-a"))
        assert (collector["id"], collector["source"], collector["config"]["query"]) == ("c", "s-a", "up")
        assert found.text("s-b") == b"[]"
        with pytest.raises(ApiError, match="data source 's-c' does not exist"):
            found.text("s-c")
        await store.stop()

    asyncio.run(main())
