"""Data sources in the store, with their secrets, which stand nowhere else. Each function is work in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.problems import ApiError, Code
from api.source_config import SourceConfig
from api.store_tables import collectors, sources
from connectors.messages import Message

MAX_SOURCES = 200


class DataSource(Message):
    """A data source as it is answered: secrets are stars."""

    id: str
    revision: Annotated[int, Field(description="also its ETag")]
    config: SourceConfig
    created_ms: int
    updated_ms: int


class StoredSource(NamedTuple):
    """What stands in a row, and what is made of it."""

    row: tuple[object, ...]
    source: DataSource
    text: bytes
    """as it is answered"""


def everything(connection: Connection, known: Mapping[str, StoredSource]) -> dict[str, StoredSource]:
    """All sources, ordered by id; of ``known`` what still stands as it did."""
    found = {}
    for row in connection.execute(select(sources).order_by(sources.c.id)):
        before = known.get(row.id)
        found[row.id] = before if before is not None and before.row == tuple(row) else _stored(row)
    return found


def create(connection: Connection, source: DataSource) -> None:
    """Keep a new source; raises ``ApiError`` for a name that another has, and for one too many."""
    if (connection.scalar(select(func.count()).select_from(sources)) or 0) >= MAX_SOURCES:
        message = f"there are {MAX_SOURCES} data sources; delete one first"
        raise ApiError(Code.SOURCE_LIMIT, message)
    _refuse_twin(connection, source)
    try:
        connection.execute(insert(sources).values(id=source.id, created_ms=source.created_ms, **_columns(source)))
    except IntegrityError as error:  # another replica was faster
        raise _twin(source) from error


def replace(connection: Connection, source: DataSource, base: int) -> bool:
    """Let it stand in place of revision ``base``; False if that is not the one that stands."""
    _refuse_twin(connection, source)
    wanted = update(sources).where(sources.c.id == source.id, sources.c.revision == base).values(**_columns(source))
    try:
        return connection.execute(wanted).rowcount == 1
    except IntegrityError as error:
        raise _twin(source) from error


def remove(connection: Connection, source_id: str, base: int) -> bool:
    """Delete it with its secrets and collectors; False if that revision is not the one that stands."""
    wanted = delete(sources).where(sources.c.id == source_id, sources.c.revision == base)
    if connection.execute(wanted).rowcount != 1:
        return False
    connection.execute(delete(collectors).where(collectors.c.source == source_id))
    return True


def no_source(source_id: str) -> ApiError:
    """What is answered for a source that is not there."""
    return ApiError(Code.NOT_FOUND, f"data source {source_id!r} does not exist")


def _columns(source: DataSource) -> dict[str, object]:
    config = source.config
    return {"name": config.name, "kind": config.kind.value, "revision": source.revision, "config": config.revealed(),
            "updated_ms": source.updated_ms}  # fmt: skip


def _stored(row: Row[tuple[object, ...]]) -> StoredSource:
    source = _of(row)
    return StoredSource(tuple(row), source, source.encode())


def _of(row: Row[tuple[object, ...]]) -> DataSource:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return DataSource(
        id=found["id"],
        revision=found["revision"],
        config=SourceConfig.model_validate_json(found["config"]),
        created_ms=found["created_ms"],
        updated_ms=found["updated_ms"],
    )


def _refuse_twin(connection: Connection, source: DataSource) -> None:
    wanted = select(sources.c.id).where(sources.c.name == source.config.name, sources.c.id != source.id)
    if connection.execute(wanted).first() is not None:
        raise _twin(source)


def _twin(source: DataSource) -> ApiError:
    return ApiError(Code.DUPLICATE_SOURCE, f"another data source is called {source.config.name!r} already")
