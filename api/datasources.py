"""``/api/datasources``: add, test, list, read, replace and delete data sources, ask one, and how it is doing."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated

from fastapi import Query, Response
from orjson import dumps
from pydantic import Field

from api import source_table
from api.holding import Holding
from api.if_match import IfMatch, base_revision, etag, is_anything, overtaken, tagged
from api.json_route import JSON, JsonRoute
from api.numbers import numbers_of
from api.router import Router
from api.source_config import NO_NUL, NumbersQuery, SourceConfig, SourceId, SourceKind
from api.source_history import Span
from api.source_table import DataSource
from api.sources import SourceHealth, SourceTest
from api.trial_samples import MAX_SAMPLES, MAX_SERIES
from connectors.messages import Message
from connectors.sources.decode import SourceSeries
from flows.validator import ConfigError

router = Router(prefix="/api/datasources", tags=["data sources"], route_class=JsonRoute)

WHAT = "data source"
ID_BYTES = 6
MAX_TRIES = 10
"""How often a change of whatever holds (``If-Match: *``) is tried anew after others were faster."""


class SourcePage(Message):
    """Some of the data sources, ordered by id."""

    datasources: list[DataSource]
    next: Annotated[str | None, Field(description="give it as ``after`` to get the following page; null at the end")]


class SourceQuery(Span):
    """A question for numbers, as a plot or a preview needs them."""

    query: NumbersQuery


class FoundSeries(Message):
    """One series of an answer."""

    labels: dict[str, str]
    times_ms: list[int]
    values: Annotated[list[float | None], Field(description="null for what is no number")]


class Found(Message):
    """All that came of a question."""

    series: list[FoundSeries]


@router.get("", response_model=SourcePage)
async def list_sources(
    context: Holding,
    limit: Annotated[int, Query(ge=1, le=1000, description="data sources on a page")] = 100,
    after: Annotated[str, Query(max_length=64, pattern=NO_NUL, description="``next`` of the page before")] = "",
    kind: Annotated[SourceKind | None, Query(description="prometheus or loki")] = None,
) -> Response:
    """Data sources ordered by id; their secrets are stars."""
    found = [
        one
        for source_id, one in (await context.stored.sources()).items()
        if source_id > after and kind in (None, one.source.config.kind)
    ]
    following = dumps(found[limit - 1].source.id) if len(found) > limit else b"null"
    texts = b",".join(one.text for one in found[:limit])
    return Response(b'{"datasources":[%s],"next":%s}' % (texts, following), media_type=JSON)


@router.post("", status_code=201)
async def create_source(config: SourceConfig, context: Holding, response: Response) -> DataSource:
    """Keep a data source; whether it answers is asked by ``test``."""
    now_ms = context.now_ms()
    made = DataSource(
        id=f"s-{secrets.token_hex(ID_BYTES)}",
        revision=1,
        config=config.proposed(None),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    await context.store.write(partial(source_table.create, source=made))
    response.headers["Location"] = f"/api/datasources/{made.id}"
    return tagged(made, response)


@router.post("/test")
async def test_config(config: SourceConfig, context: Holding) -> SourceTest:
    """Ask a data source that is not kept yet whether it answers."""
    return await context.sources.test(config.proposed(None))


@router.get("/{source_id}", response_model=DataSource)
async def read_source(source_id: SourceId, context: Holding) -> Response:
    """One data source with its revision, which is also its ETag; its secrets are stars."""
    found = await context.stored.source(source_id)
    return Response(found.text, media_type=JSON, headers={"ETag": etag(found.source)})


@router.put("/{source_id}")
async def replace_source(
    source_id: SourceId, config: SourceConfig, context: Holding, response: Response, if_match: IfMatch = None
) -> DataSource:
    """Replace the whole config; secrets that are null or stars stay, unless the address is another server's."""
    for _ in range(MAX_TRIES if is_anything(if_match) else 1):
        stored = await context.sources.read(source_id)
        base = base_revision(stored, if_match, WHAT)
        known = config.proposed(stored.config)
        if known == stored.config:
            return tagged(stored, response)
        changes = {"revision": base + 1, "config": known, "updated_ms": context.now_ms()}
        made = stored.model_copy(update=changes)
        if await context.store.write(partial(source_table.replace, source=made, base=base)):
            context.sources.forget(source_id, made.revision)
            return tagged(made, response)
    raise overtaken(WHAT, source_id)


@router.delete("/{source_id}", status_code=204, response_class=Response)
async def delete_source(source_id: SourceId, context: Holding, if_match: IfMatch = None) -> None:
    """Delete a data source and its secrets."""
    for _ in range(MAX_TRIES if is_anything(if_match) else 1):
        base = base_revision(await context.sources.read(source_id), if_match, WHAT)
        if await context.store.write(partial(source_table.remove, source_id=source_id, base=base)):
            context.sources.forget(source_id, base + 1)
            return
    raise overtaken(WHAT, source_id)


@router.post("/{source_id}/test")
async def test_source(source_id: SourceId, context: Holding) -> SourceTest:
    """Ask a data source, once, what every such server can answer."""
    return await context.sources.test((await context.sources.read(source_id)).config)


@router.get("/{source_id}/health")
async def read_health(source_id: SourceId, context: Holding) -> SourceHealth:
    """Whether it answers now, when it last did, and how often answers came from memory."""
    return await context.sources.health(await context.sources.read(source_id))


@router.post("/{source_id}/query")
async def query_source(source_id: SourceId, asked: SourceQuery, context: Holding) -> Found:
    """The numbers of a range: up to 100 series and 100,000 points."""
    source = await context.sources.read(source_id)
    wanted = asked.range_of(asked.query)
    async with context.sources.asking(source) as api:
        found = await api.query_range(wanted, MAX_SAMPLES)
    if len(found) > MAX_SERIES:
        expected = f"at most {MAX_SERIES} series, and this gives {len(found)}: ask for fewer, or add them up"
        raise ConfigError(field="query", value=asked.query, expected=expected)
    return Found(series=[_shown(series) for series in found])


def _shown(series: SourceSeries) -> FoundSeries:
    values = numbers_of(series.values)
    return FoundSeries(labels=dict(series.labels), times_ms=series.times_ms.tolist(), values=values)
