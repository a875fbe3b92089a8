"""Prometheus' query API, which Thanos, Mimir, VictoriaMetrics and others speak too.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from connectors.clock import wall_clock_ms
from connectors.errors import SourceRefused, TooLarge
from connectors.sources.cache import ResultCache
from connectors.sources.client import SourceClient
from connectors.sources.decode import BuildInfo, Columns, JsonSink, Labels, Matrix, MatrixSink, SourceSeries, labels_of
from connectors.sources.pieces import MAX_POINTS, Range, seconds

API = "/api/v1"
MATRIX_PATH = f"{API}/query_range"


class Point(NamedTuple):
    """One value of an instant query; a scalar has no labels."""

    labels: Labels
    time_ms: int
    value: float


class PointsSink(JsonSink):
    """The points of an instant query."""

    def __init__(self, expression: str) -> None:
        super().__init__()
        self._expression = expression

    def end(self) -> list[Point]:
        """Raises ``SourceRefused`` for what has no single value, and what indexing raises for what is no answer."""
        data = super().end()
        if data["resultType"] == "scalar":
            return [_point((), data["result"])]
        if data["resultType"] != "vector":
            message = f"{self._expression[:200]!r} gives a {data['resultType']}: ask for an instant vector or a scalar"
            raise SourceRefused(reason="bad_query", message=message)
        return [_point(labels_of(one["metric"]), one["value"]) for one in data["result"] if "value" in one]


class PrometheusApi:
    """The questions that Tocsin asks. ``key`` names the source in the cache, which several may share."""

    def __init__(
        self,
        client: SourceClient,
        cache: ResultCache | None = None,
        key: Hashable = "",
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.client = client
        self._cache = ResultCache() if cache is None else cache
        self._key = key
        self._now_ms = now_ms

    async def query(self, expression: str, time_ms: int | None = None) -> list[Point]:
        """The value of an expression at one time, now unless told otherwise."""
        form = [("query", expression), *([("time", seconds(time_ms))] if time_ms is not None else [])]
        return await self.client.fetch("POST", f"{API}/query", form, lambda: PointsSink(expression))

    async def query_range(self, wanted: Range, most_points: int = MAX_POINTS) -> list[SourceSeries]:
        """All series of a range, ordered by their labels."""
        return await read_matrix(
            self.client, "POST", MATRIX_PATH, wanted, most_points, self._cache, self._key, self._now_ms
        )

    async def fresh_range(self, wanted: Range, most_points: int = MAX_POINTS) -> list[SourceSeries]:
        """The same for who asks for each range once: nothing is remembered."""
        return await fetch_matrix(self.client, "POST", MATRIX_PATH, wanted, most_points)

    async def series(self, selectors: Sequence[str], start_ms: int, end_ms: int) -> list[Labels]:
        """Labels of the series that any of the selectors takes."""
        data = await self._listed("series", selectors, start_ms, end_ms)
        return [labels_of(one) for one in data]

    async def labels(self, selectors: Sequence[str] = (), start_ms: int = 0, end_ms: int | None = None) -> list[str]:
        """Names of the labels of these series."""
        return [str(name) for name in await self._listed("labels", selectors, start_ms, end_ms)]

    async def metadata(self, family: str | None = None) -> Mapping[str, list[Mapping[str, str]]]:
        """Type, help and unit of a metric family, or of all; several where targets disagree."""
        form = [("metric", family)] if family is not None else []
        data: dict[str, list[Mapping[str, str]]] = await self.client.fetch("GET", f"{API}/metadata", form, JsonSink)
        return data

    async def build_info(self) -> BuildInfo:
        """Version of the server; empty where it has none to tell."""
        try:
            return BuildInfo.of(await self.client.fetch("GET", f"{API}/status/buildinfo", [], JsonSink))
        except SourceRefused:  # not every server that speaks this API has it
            return BuildInfo()

    async def check(self) -> None:
        """Ask what every such server can answer."""
        await self.query("vector(1)")

    async def _listed(self, what: str, selectors: Sequence[str], start_ms: int, end_ms: int | None) -> list[Any]:
        bounds = [("start", seconds(start_ms)), *([("end", seconds(end_ms))] if end_ms is not None else [])]
        form = [*(("match[]", selector) for selector in selectors), *bounds]
        data: list[Any] = await self.client.fetch("POST", f"{API}/{what}", form, JsonSink)
        return data


async def read_matrix(
    client: SourceClient,
    method: str,
    path: str,
    wanted: Range,
    most_points: int,
    cache: ResultCache,
    key: Hashable,
    now_ms: Callable[[], int],
) -> list[SourceSeries]:
    """The series of a range, piece by piece, or as they were a moment ago."""
    place = (key, path, wanted)
    known: list[SourceSeries] | None = cache.get(place)
    if known is None:
        # how long it holds is told by the time at which it was asked, not at which the answer came
        ttl_s = wanted.ttl_s(now_ms(), cache.ttl_s)
        known = await fetch_matrix(client, method, path, wanted, most_points)
        cache.put(place, known, sum(series.size_bytes for series in known), ttl_s)
    points = sum(len(series.times_ms) for series in known)
    if points > most_points:
        message = f"{points} points, at most {most_points}: shorten the range, or take a longer step or fewer series"
        raise TooLarge(reason="points", message=message)
    return known


async def fetch_matrix(
    client: SourceClient, method: str, path: str, wanted: Range, most_points: int
) -> list[SourceSeries]:
    """The series of a range, piece by piece."""
    return _finished(await _pieces(client, method, path, wanted, most_points))


async def _pieces(client: SourceClient, method: str, path: str, wanted: Range, most_points: int) -> Matrix:
    found: Matrix = {}
    left = most_points
    for start_ms, end_ms in wanted.parts():
        form = [("query", wanted.query), ("start", seconds(start_ms)), ("end", seconds(end_ms)),
                ("step", seconds(wanted.step_ms))]  # fmt: skip
        piece: Matrix = await client.fetch(method, path, form, lambda most=left: MatrixSink(most))  # type: ignore[misc]
        for labels, columns in piece.items():
            all_of_it = found.setdefault(labels, Columns.empty())
            all_of_it.times_ms.extend(columns.times_ms)
            all_of_it.values.extend(columns.values)
            left -= len(columns.times_ms)
    return found


def _finished(found: Matrix) -> list[SourceSeries]:
    series = []
    for labels in sorted(found):
        one = found.pop(labels).finished(labels)  # the columns are given back one by one, not held twice
        one.times_ms.flags.writeable = one.values.flags.writeable = False  # the cache shares them
        series.append(one)
    return series


def _point(labels: Labels, value: Sequence[Any]) -> Point:
    return Point(labels, round(float(value[0]) * 1000), float(value[1]))
