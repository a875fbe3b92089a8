"""Collectors in the store: what they are to fetch, how far they have come, and which process runs each.

A process that runs one holds a lease on it for as long: of several replicas one collects, and when it is killed over
it another goes on after the lease. Each function is work in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from api.problems import ApiError, Code
from api.source_config import NumbersQuery
from api.source_table import no_source
from api.store_tables import collectors, sources
from connectors.messages import DEFAULT_TENANT, TENANT_RULE, Message, is_tenant
from flows.transform import MAX_TRANSFORMS, Transform

MAX_COLLECTORS = 200


def _tenant(name: str) -> str:
    if not is_tenant(name):
        raise ValueError(TENANT_RULE)
    return name


class CollectorConfig(Message):
    """A query that is asked again and again; what it gives becomes samples like those of remote write."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="for people")]
    query: NumbersQuery
    step_s: Annotated[int, Field(ge=1, le=3600, description="a sample every so many seconds")] = 15
    delay_s: Annotated[
        int, Field(ge=0, le=3600, description="how old a step must be: by then its source has all of it")
    ] = 10
    tenant: Annotated[str, Field(description="whose series they become"), AfterValidator(_tenant)] = DEFAULT_TENANT
    transforms: Annotated[
        tuple[Transform, ...], Field(max_length=MAX_TRANSFORMS, description="what happens to the series, in order")
    ] = ()
    enabled: Annotated[bool, Field(strict=True, description="false: it rests")] = True


class CollectorStatus(Message):
    """How far it has come."""

    collected_to_ms: Annotated[int | None, Field(description="last step that Kafka has confirmed; null: none yet")]
    lag_s: Annotated[float, Field(description="how far that is behind the latest step that it could have")]
    last_run_ms: int | None
    samples: Annotated[int, Field(description="confirmed by Kafka, in all")]
    errors: Annotated[int, Field(description="runs that failed, in all")]
    left_out: Annotated[int, Field(description="series without a name or told twice, in all")]
    skipped_s: Annotated[float, Field(description="given up in all, because it was too long ago")]
    last_error: Annotated[str, Field(description="of the last run; empty if it went well")]


class Collector(Message):
    """A collector as it is answered."""

    id: str
    source: str
    revision: Annotated[int, Field(description="also its ETag")]
    config: CollectorConfig
    created_ms: int
    updated_ms: int
    status: CollectorStatus


class Claimed(NamedTuple):
    """One that this process is to run now."""

    id: str
    source: str
    revision: int
    config: CollectorConfig
    next_ms: int


class Outcome(NamedTuple):
    """What came of a run."""

    next_ms: int
    due_ms: int
    samples: int = 0
    left_out: int = 0
    skipped_ms: int = 0
    error: str = ""


class StoredCollectors:
    """All collectors of a moment, by source; each source's are written as JSON when they are first asked for."""

    def __init__(self, rows: Mapping[str, Sequence[Row[tuple[object, ...]]]], now_ms: int) -> None:
        self._rows, self._now_ms = rows, now_ms
        self._texts: dict[str, bytes] = {}

    @classmethod
    def read(cls, connection: Connection, now_ms: int) -> Self:
        """Of each source those that it has, ordered by id."""
        found: dict[str, list[Row[tuple[object, ...]]]] = {one: [] for one in connection.scalars(select(sources.c.id))}
        for row in connection.execute(select(collectors).order_by(collectors.c.id)):
            if row.source in found:  # else it was deleted in between
                found[row.source].append(row)
        return cls(found, now_ms)

    def text(self, source_id: str) -> bytes:
        """Those of a source as a list of JSON; raises ``ApiError`` if there is no such source."""
        if source_id not in self._rows:
            raise no_source(source_id)
        if source_id not in self._texts:
            some = (_of(row, self._now_ms).encode() for row in self._rows[source_id])
            self._texts[source_id] = b"[%s]" % b",".join(some)
        return self._texts[source_id]


def read(connection: Connection, source_id: str, collector_id: str, now_ms: int) -> Collector:
    """One collector; raises ``ApiError`` if there is none."""
    wanted = select(collectors).where(collectors.c.id == collector_id, collectors.c.source == source_id)
    row = connection.execute(wanted).first()
    if row is None:
        message = f"data source {source_id!r} has no collector {collector_id!r}"
        raise ApiError(Code.NOT_FOUND, message)
    return _of(row, now_ms)


def create(connection: Connection, collector_id: str, source_id: str, config: CollectorConfig, now_ms: int) -> None:
    """Keep a new collector, from the latest step on; raises ``ApiError`` without its source, and for one too many.

    Whoever deletes the source at this moment waits until the collector is there, and takes it away too.
    """
    standing = select(sources.c.id).where(sources.c.id == source_id).with_for_update(read=True, key_share=True)
    if connection.execute(standing).first() is None:
        raise no_source(source_id)
    if (connection.scalar(select(func.count()).select_from(collectors)) or 0) >= MAX_COLLECTORS:
        message = f"there are {MAX_COLLECTORS} collectors; delete one first"
        raise ApiError(Code.SOURCE_LIMIT, message)
    begin_ms = latest_step_ms(config, now_ms)
    values = {"revision": 1, "config": config.encode().decode(), "created_ms": now_ms, "updated_ms": now_ms}
    connection.execute(
        insert(collectors).values(
            id=collector_id, source=source_id, next_ms=begin_ms, begin_ms=begin_ms, due_ms=now_ms, **values
        )
    )


def replace(connection: Connection, collector_id: str, base: int, config: CollectorConfig, now_ms: int) -> bool:
    """Let another config stand in place of revision ``base``; it goes on from where it is."""
    wanted = update(collectors).where(collectors.c.id == collector_id, collectors.c.revision == base)
    changes = {"revision": base + 1, "config": config.encode().decode(), "updated_ms": now_ms, "due_ms": now_ms}
    return connection.execute(wanted.values(**changes)).rowcount == 1


def remove(connection: Connection, collector_id: str, base: int) -> bool:
    """Delete it; False if that revision is not the one that stands."""
    wanted = delete(collectors).where(collectors.c.id == collector_id, collectors.c.revision == base)
    return connection.execute(wanted).rowcount == 1


def any_due(connection: Connection, now_ms: int) -> bool:
    """Whether it is worth to claim: looking takes no lock."""
    return connection.execute(select(collectors.c.id).where(collectors.c.due_ms <= now_ms).limit(1)).first() is not None


def claim(connection: Connection, owner: str, now_ms: int, lease_ms: int, most: int) -> list[Claimed]:
    """Take what is due and held by nobody else, and hold it for the lease."""
    free = or_(collectors.c.owner == owner, collectors.c.lease_ms <= now_ms)
    wanted = select(collectors).where(collectors.c.due_ms <= now_ms, free).order_by(collectors.c.due_ms).limit(most)
    claimed = []
    for row in connection.execute(wanted).all():
        taking = update(collectors).where(collectors.c.id == row.id, free, collectors.c.due_ms == row.due_ms)
        # due again only when the lease has run out, so that no second look takes it while it runs
        values = {"owner": owner, "lease_ms": now_ms + lease_ms, "due_ms": now_ms + lease_ms}
        if connection.execute(taking.values(**values)).rowcount == 1:
            config = CollectorConfig.decode(row.config.encode())
            claimed.append(Claimed(row.id, row.source, row.revision, config, row.next_ms))
    return claimed


def settle(connection: Connection, owner: str, claimed: Claimed, outcome: Outcome, now_ms: int) -> bool:
    """Note what came of a run, unless another process has taken over or the config has changed meanwhile."""
    c = collectors.c
    wanted = update(collectors).where(c.id == claimed.id, c.owner == owner, c.revision == claimed.revision)
    error = outcome.error[:500].replace("\0", "")  # which PostgreSQL keeps in no text
    values = {
        "next_ms": outcome.next_ms, "due_ms": outcome.due_ms, "last_run_ms": now_ms, "last_error": error,
        "lease_ms": 0,
        "samples": c.samples + outcome.samples, "left_out": c.left_out + outcome.left_out,
        "skipped_ms": c.skipped_ms + outcome.skipped_ms, "errors": c.errors + int(outcome.error != ""),
    }  # fmt: skip
    return connection.execute(wanted.values(**values)).rowcount == 1


def latest_step_ms(config: CollectorConfig, now_ms: int) -> int:
    """The latest step that is old enough."""
    step_ms = 1000 * config.step_s
    return (now_ms - 1000 * config.delay_s) // step_ms * step_ms


def _of(row: Row[tuple[object, ...]], now_ms: int) -> Collector:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    config = CollectorConfig.decode(found["config"].encode())
    latest_ms = latest_step_ms(config, now_ms)
    begun = found["next_ms"] > found["begin_ms"]
    status = CollectorStatus(
        collected_to_ms=found["next_ms"] - 1000 * config.step_s if begun else None,
        lag_s=max(0.0, (latest_ms - found["next_ms"]) / 1000 + config.step_s) if config.enabled else 0.0,
        last_run_ms=found["last_run_ms"],
        samples=found["samples"],
        errors=found["errors"],
        left_out=found["left_out"],
        skipped_s=found["skipped_ms"] / 1000,
        last_error=found["last_error"],
    )
    columns = ("id", "source", "revision", "created_ms", "updated_ms")
    return Collector(config=config, status=status, **{name: found[name] for name in columns})
