"""Prometheus' query API, which Thanos, Mimir, VictoriaMetrics and others speak too.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from connectors.errors import SourceRefused
from connectors.sources.decode import BuildInfo, JsonSink, Labels, labels_of
from connectors.sources.matrix import MatrixApi
from connectors.sources.pieces import seconds

API = "/api/v1"


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


class PrometheusApi(MatrixApi):
    """The questions that Tocsin asks."""

    method, path = "POST", f"{API}/query_range"

    async def query(self, expression: str, time_ms: int | None = None) -> list[Point]:
        """The value of an expression at one time, now unless told otherwise."""
        form = [("query", expression), *([("time", seconds(time_ms))] if time_ms is not None else [])]
        return await self.client.fetch("POST", f"{API}/query", form, lambda: PointsSink(expression))

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


def _point(labels: Labels, value: Sequence[Any]) -> Point:
    return Point(labels, round(float(value[0]) * 1000), float(value[1]))
