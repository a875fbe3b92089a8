"""Loki's query API.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from connectors.errors import SourceRefused, TooLarge
from connectors.sources.decode import (
    BareJsonSink,
    BuildInfo,
    Entry,
    JsonSink,
    Labels,
    StreamsSink,
    labels_of,
)
from connectors.sources.matrix import MatrixApi

API = "/loki/api/v1"
MATRIX_PATH = f"{API}/query_range"
ENTRIES_PER_REQUEST = 5_000
"""Loki's ``max_entries_limit_per_query``, unless its operator says otherwise."""
PIECE_NS = 24 * 3_600 * 10**9
"""Loki refuses ranges beyond its ``max_query_length``, 30 days by default; a day is far from it."""
PAGE_BYTES = 64 * 1024 * 1024
"""Of the lines of one answer; with longer ones fewer are asked for at a time."""


class LokiApi(MatrixApi):
    """The questions that Tocsin asks."""

    method, path = "GET", MATRIX_PATH
    longest_ms = 14 * 24 * 3_600_000
    """Numbers too are refused beyond ``max_query_length``, in which Loki counts what lies before the first step."""

    cut_total: int = 0
    """Nanoseconds that bear more lines than Loki gives at once: the others cannot be asked for."""

    async def lines(
        self, query: str, start_ns: int, end_ns: int, most_per_page: int = ENTRIES_PER_REQUEST
    ) -> AsyncIterator[list[Entry]]:
        """Log lines from ``start_ns`` to before ``end_ns``, the oldest first, page by page.

        A page that is full may be cut anywhere, so the next one begins at its last nanosecond, and what is known of
        that is left out. Raises ``SourceUnreachable`` and ``SourceRefused``.
        """
        for piece_ns in range(start_ns, end_ns, PIECE_NS):
            async for page in self._pages(query, piece_ns, min(piece_ns + PIECE_NS, end_ns), most_per_page):
                yield page

    async def series(self, selectors: Sequence[str], start_ms: int, end_ms: int) -> list[Labels]:
        """Labels of the streams that any of the selectors takes."""
        form = [*(("match[]", selector) for selector in selectors), *_bounds(start_ms * 10**6, end_ms * 10**6)]
        return [labels_of(one) for one in await self.client.fetch("GET", f"{API}/series", form, JsonSink) or []]

    async def labels(self, start_ms: int, end_ms: int) -> list[str]:
        """Names of the labels of all streams of a range."""
        found = await self.client.fetch("GET", f"{API}/labels", _bounds(start_ms * 10**6, end_ms * 10**6), _ListSink)
        return [str(name) for name in found]

    async def build_info(self) -> BuildInfo:
        """Version of the server; empty where it has none to tell."""
        try:
            return BuildInfo.of(await self.client.fetch("GET", f"{API}/status/buildinfo", [], BareJsonSink))
        except SourceRefused:  # not every server that speaks this API has it
            return BuildInfo()

    async def check(self) -> None:
        """Ask what every such server can answer."""
        now_ms = self._now_ms()
        await self.labels(now_ms - 60_000, now_ms)

    async def _pages(self, query: str, start_ns: int, end_ns: int, limit: int) -> AsyncIterator[list[Entry]]:
        known = set[Entry]()
        """Entries at ``start_ns`` that were given already."""
        while start_ns < end_ns:
            try:
                page = await self._page(query, start_ns, end_ns, limit)
            except TooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 2)
                continue
            full = len(page) >= limit
            page.sort(key=lambda entry: entry.time_ns)
            last_ns = page[-1].time_ns if page else start_ns
            fresh = [entry for entry in page if entry not in known]
            if fresh:
                yield fresh
            if not full:
                return
            if last_ns == start_ns and not fresh:
                self.cut_total += 1
                start_ns, known = start_ns + 1, set()
                continue
            here = {entry for entry in page if entry.time_ns == last_ns}
            known = known | here if last_ns == start_ns else here
            start_ns = last_ns

    async def _page(self, query: str, start_ns: int, end_ns: int, limit: int) -> list[Entry]:
        form = [("query", query), *_bounds(start_ns, end_ns), ("limit", str(limit)), ("direction", "forward")]
        page = await self.client.fetch("GET", MATRIX_PATH, form, lambda: StreamsSink(PAGE_BYTES))
        astray = next((entry.time_ns for entry in page if not start_ns <= entry.time_ns < end_ns), None)
        if astray is not None:  # where a page ends says where the next one begins: it could go round for ever
            message = f"it gave a line of {astray} ns, outside what was asked for, {start_ns} to before {end_ns} ns"
            raise SourceRefused(reason="not_the_api", message=message)
        return page


class _ListSink(BareJsonSink):
    """``data`` is left out where there is nothing."""

    def end(self) -> Any:
        found = super().end()
        return found if isinstance(found, list) else []


def _bounds(start_ns: int, end_ns: int) -> list[tuple[str, str]]:
    return [("start", str(start_ns)), ("end", str(end_ns))]
