"""``/api/datasources/{id}/collectors``: queries that are asked again and again, and how far each has come."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated

from fastapi import Path, Response
from pydantic import Field

from api import collector_table
from api.collector_table import Collector, CollectorConfig
from api.context import Context
from api.holding import Holding
from api.if_match import IfMatch, base_revision, overtaken, tagged
from api.json_route import JSON, JsonRoute
from api.router import Router
from api.source_config import NO_NUL, SourceId
from connectors.messages import Message

router = Router(prefix="/api/datasources/{source_id}/collectors", tags=["data sources"], route_class=JsonRoute)

CollectorId = Annotated[str, Path(max_length=64, pattern=NO_NUL, description="of a collector")]
WHAT = "collector"
ID_BYTES = 6


class CollectorList(Message):
    """All collectors of a data source, ordered by id: there are 200 at most of all sources."""

    collectors: list[Collector]
    running: Annotated[bool, Field(description="false: this process was not told an ingest (TOCSIN_API_INGEST)")]


@router.get("", response_model=CollectorList)
async def list_collectors(source_id: SourceId, context: Holding) -> Response:
    """The collectors of a data source with their status."""
    found = (await context.stored.collectors()).text(source_id)
    running = b"true" if context.settings.api_ingest else b"false"
    return Response(b'{"collectors":%s,"running":%s}' % (found, running), media_type=JSON)


@router.post("", status_code=201)
async def create_collector(
    source_id: SourceId, config: CollectorConfig, context: Holding, response: Response
) -> Collector:
    """Let a query be asked again and again, from now on."""
    collector_id = f"c-{secrets.token_hex(ID_BYTES)}"
    now_ms = context.now_ms()
    create = partial(
        collector_table.create, collector_id=collector_id, source_id=source_id, config=config, now_ms=now_ms
    )
    await context.store.write(create)
    response.headers["Location"] = f"/api/datasources/{source_id}/collectors/{collector_id}"
    return tagged(await _existing(context, source_id, collector_id), response)


@router.get("/{collector_id}")
async def read_collector(
    source_id: SourceId, collector_id: CollectorId, context: Holding, response: Response
) -> Collector:
    """One collector: how far it has come, and what went wrong in its last run."""
    return tagged(await _existing(context, source_id, collector_id), response)


@router.put("/{collector_id}")
async def replace_collector(
    source_id: SourceId,
    collector_id: CollectorId,
    config: CollectorConfig,
    context: Holding,
    response: Response,
    if_match: IfMatch = None,
) -> Collector:
    """Replace the whole config; it goes on from where it is."""
    base = base_revision(await _existing(context, source_id, collector_id), if_match, WHAT)
    replace = partial(
        collector_table.replace, collector_id=collector_id, base=base, config=config, now_ms=context.now_ms()
    )
    if not await context.store.write(replace):
        raise overtaken(WHAT, collector_id)
    return tagged(await _existing(context, source_id, collector_id), response)


@router.delete("/{collector_id}", status_code=204, response_class=Response)
async def delete_collector(
    source_id: SourceId, collector_id: CollectorId, context: Holding, if_match: IfMatch = None
) -> None:
    """Delete a collector; what it has collected stays."""
    base = base_revision(await _existing(context, source_id, collector_id), if_match, WHAT)
    if not await context.store.write(partial(collector_table.remove, collector_id=collector_id, base=base)):
        raise overtaken(WHAT, collector_id)


async def _existing(context: Context, source_id: SourceId, collector_id: str) -> Collector:
    read = partial(collector_table.read, source_id=source_id, collector_id=collector_id, now_ms=context.now_ms())
    return await context.store.read(read)
