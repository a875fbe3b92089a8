"""Results of queries for a while: the least recently used one goes when there are too many, or too many bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_ENTRIES = 1_000
TTL_S = 300.0
MAX_BYTES = 64 * 1024 * 1024
LARGEST_SHARE = 4
"""A result above a fourth of all bytes is not kept: it would push out what is asked for often."""


class Kept(NamedTuple):
    """One result, how large it is, and until when it holds."""

    value: Any
    size_bytes: int
    until_s: float


@dataclass(slots=True)
class CacheFigures:
    """What is counted."""

    hits: int = 0
    misses: int = 0
    evicted: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Share of the questions that were answered from the cache; None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class ResultCache:
    """For one thread or loop; values are shared, so nobody may change them. ``tell`` hears hit, miss and evicted."""

    def __init__(
        self,
        most_entries: int = MAX_ENTRIES,
        ttl_s: float = TTL_S,
        most_bytes: int = MAX_BYTES,
        now_s: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.figures = CacheFigures()
        self.size_bytes = 0
        self.ttl_s = ttl_s
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._now_s = now_s
        self._tell = tell
        self._kept = OrderedDict[Hashable, Kept]()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Any | None:
        """The result, if it still holds."""
        kept = self._kept.get(key)
        if kept is not None and kept.until_s <= self._now_s():
            self._drop(key)
            kept = None
        if kept is None:
            self.figures.misses += 1
            self._tell("miss")
            return None
        self.figures.hits += 1
        self._tell("hit")
        self._kept.move_to_end(key)
        return kept.value

    def put(self, key: Hashable, value: Any, size_bytes: int, ttl_s: float | None = None) -> None:
        """Keep a result for the usual time, or a shorter one."""
        ttl_s = self.ttl_s if ttl_s is None else min(ttl_s, self.ttl_s)
        self._drop(key)
        if ttl_s <= 0 or size_bytes * LARGEST_SHARE > self._most_bytes:
            return
        self._kept[key] = Kept(value, size_bytes, self._now_s() + ttl_s)
        self.size_bytes += size_bytes
        while len(self._kept) > self._most_entries or self.size_bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))
            self.figures.evicted += 1
            self._tell("evicted")

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size_bytes -= kept.size_bytes
