"""Data sources and collectors as the store has them: all at once, read for all who ask at a time.

There are some hundred at most, and other replicas change them too, so nothing is answered of before the question. But
what the store has as it had it is neither parsed nor written as JSON again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from api import source_table
from api.collector_table import StoredCollectors
from api.joined import Joined
from api.source_table import StoredSource, no_source
from api.store import Store


class StoredSources:
    """Those of one store. For the loop alone."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store, self._now_ms = store, now_ms
        self._known: Mapping[str, StoredSource] = {}
        self._sources: Joined[Mapping[str, StoredSource]] = Joined()
        self._collectors: Joined[StoredCollectors] = Joined()

    async def sources(self) -> Mapping[str, StoredSource]:
        """All data sources, ordered by id. Raises ``Unavailable``, ``Overloaded``."""
        return await self._sources.answer("", self._read)

    async def source(self, source_id: str) -> StoredSource:
        """One of them; raises ``ApiError`` if there is none."""
        found = (await self.sources()).get(source_id)
        if found is None:
            raise no_source(source_id)
        return found

    async def collectors(self) -> StoredCollectors:
        """The collectors of all sources."""
        reading = partial(StoredCollectors.read, now_ms=self._now_ms())
        return await self._collectors.answer("", partial(self._store.read, reading))

    async def _read(self) -> Mapping[str, StoredSource]:
        self._known = await self._store.read(partial(source_table.everything, known=self._known))
        return self._known
