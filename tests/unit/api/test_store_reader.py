"""What ends the reading of several topics; the reading itself is in tests/integration/test_api_history.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import insert

from api import store_reader as module
from api.history_rows import read_offsets_of
from api.meters import ApiMeters
from api.settings import ApiSettings
from api.store import Store
from api.store_reader import StoreReader
from api.store_tables import read_offsets
from api.stored_topic import Copied, StoredTopic
from connectors.errors import ForeignOffsets, Unavailable
from connectors.received import Received

NAMES = {"a": "cluster/a/1", "b": "cluster/b/1"}


def stored(store: Store, topic: str) -> StoredTopic[Received]:
    return StoredTopic(store, Copied(topic, lambda record: record, lambda *_: {}, lambda _: None))


class Failing:
    """A follower that has ended."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(("topic", "left"), [("a", {"b": {0: 9}}), ("", {})])
def test_a_topic_is_read_anew_without_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topic: str, left: dict[str, dict[int, int]]
) -> None:
    ended: Callable[..., Failing] = lambda *_, **__: Failing(ForeignOffsets("elsewhere", topic))  # noqa: E731
    monkeypatch.setattr(module, "topic_identities", lambda *_: NAMES)
    monkeypatch.setattr(module, "Follower", ended)

    async def main() -> None:
        store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", ApiMeters())
        reader = StoreReader(ApiSettings(), store, stored(store, "a"), stored(store, "b"))
        for name in NAMES.values():
            row = {"topic": name, "partition": 0, "next_offset": 9}
            await store.write(lambda connection, row=row: connection.execute(insert(read_offsets), [row]))  # type: ignore[misc]
        with pytest.raises(Unavailable, match="elsewhere"):
            await reader._follow()
        found = {one: await store.read(partial(read_offsets_of, topic=name)) for one, name in NAMES.items()}
        assert {one: offsets for one, offsets in found.items() if offsets} == left
        await store.stop()

    asyncio.run(main())
