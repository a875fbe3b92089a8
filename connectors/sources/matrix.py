"""Series over a range of time, which Prometheus and Loki are asked for and answer in the same way."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import ClassVar

from connectors.clock import wall_clock_ms
from connectors.errors import TooLarge
from connectors.sources.asked import as_asked
from connectors.sources.cache import ResultCache
from connectors.sources.client import SourceClient
from connectors.sources.decode import Columns, Matrix, MatrixSink, SourceSeries
from connectors.sources.pieces import MAX_POINTS, Range, seconds


class MatrixApi:
    """One source. ``key`` names it in the cache, which several may share; ``tell`` hears of samples amended."""

    method: ClassVar[str]
    path: ClassVar[str]
    """Of a question for a range"""
    longest_ms: ClassVar[int | None] = None
    """Of a range that the server answers at once, however few its points are; None: any"""

    def __init__(
        self,
        client: SourceClient,
        cache: ResultCache | None = None,
        key: Hashable = "",
        now_ms: Callable[[], int] = wall_clock_ms,
        tell: Callable[[str, int], None] = lambda _reason, _samples: None,
    ) -> None:
        self.client = client
        self._cache = ResultCache() if cache is None else cache
        self._key = key
        self._now_ms = now_ms
        self._tell = tell

    async def query_range(self, wanted: Range, most_points: int = MAX_POINTS) -> list[SourceSeries]:
        """All series of a range, ordered by their labels, or as they were a moment ago.

        Whatever the server does, samples lie in the range and ascend in time: nothing is learned or judged twice.
        """
        place = (self._key, self.path, wanted)
        known: list[SourceSeries] | None = self._cache.get(place)
        if known is None:
            # how long it holds is told by the time at which it was asked, not at which the answer came
            ttl_s = wanted.ttl_s(self._now_ms(), self._cache.ttl_s)
            known = await self.fresh_range(wanted, most_points)
            self._cache.put(place, known, sum(series.size_bytes for series in known), ttl_s)
        points = sum(len(series.times_ms) for series in known)
        if points > most_points:
            message = (
                f"{points} points, at most {most_points}: shorten the range, or take a longer step or fewer series"
            )
            raise TooLarge(reason="points", message=message)
        return known

    async def fresh_range(self, wanted: Range, most_points: int = MAX_POINTS) -> list[SourceSeries]:
        """The same for who asks for each range once: nothing is remembered."""
        return self._finished(await self._pieces(wanted, most_points), wanted)

    async def _pieces(self, wanted: Range, most_points: int) -> Matrix:
        found: Matrix = {}
        left = most_points
        for start_ms, end_ms in wanted.parts(self.longest_ms):
            form = [("query", wanted.query), ("start", seconds(start_ms)), ("end", seconds(end_ms)),
                    ("step", seconds(wanted.step_ms))]  # fmt: skip
            piece = await self.client.fetch(self.method, self.path, form, partial(MatrixSink, left))
            for labels, columns in piece.items():
                all_of_it = found.setdefault(labels, Columns.empty())
                all_of_it.times_ms.extend(columns.times_ms)
                all_of_it.values.extend(columns.values)
                left -= len(columns.times_ms)
        return found

    def _finished(self, found: Matrix, wanted: Range) -> list[SourceSeries]:
        series = []
        for labels in sorted(found):
            # the columns are given back one by one, not held twice
            one, amended = as_asked(found.pop(labels).finished(labels), wanted.start_ms, wanted.end_ms)
            one.times_ms.flags.writeable = one.values.flags.writeable = False  # the cache shares them
            series.append(one)
            for reason, samples in amended._asdict().items():
                if samples:
                    self._tell(reason, samples)
        return series
