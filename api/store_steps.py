"""From an empty database to the tables of today, in numbered steps that are taken once and forward only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Index, Table, insert, select, text, update

from api.store_engine import lift_deadline
from api.store_tables import (
    BY_SURPRISE,
    anomalies,
    anomaly_events,
    anomaly_feedback,
    anomaly_labels,
    collectors,
    read_offsets,
    sources,
    versions,
)
from connectors.errors import StoreUnavailable

Step = Callable[[Connection], None]

LOCK = 0x746F6373696E
"""Of all replicas that come to one PostgreSQL, one takes the steps and the others wait; "tocsin" in ASCII."""


def creating(*tables: Table) -> Step:
    """The step that creates these tables with their indexes."""

    def create(connection: Connection) -> None:
        for table in tables:
            table.create(connection, checkfirst=True)

    return create


def making_anew(index: Index) -> Step:
    """The step that puts an index in place of another of its name."""

    def make(connection: Connection) -> None:
        index.drop(connection, checkfirst=True)
        index.create(connection)

    return make


STEPS: tuple[Step, ...] = (
    creating(anomalies, anomaly_events, anomaly_labels, read_offsets),
    creating(sources),
    creating(anomaly_feedback),
    creating(collectors),
    making_anew(BY_SURPRISE),
)
"""Never change or remove one that was released: append."""


def upgrade(connection: Connection, steps: Sequence[Step] = STEPS) -> int:
    """Take the steps that this database lacks; returns how many that were.

    Runs in a transaction that writes, and takes as long as it takes: there may be millions of rows. Raises
    ``Unavailable`` when a newer version of Tocsin has been here.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    versions.create(connection, checkfirst=True)
    found = connection.scalar(select(versions.c.version))
    if found is None:
        connection.execute(insert(versions).values(id=1, version=0))
    taken = found or 0
    if taken > len(steps):
        message = f"its tables are of version {taken}, this Tocsin knows them up to {len(steps)}: run the newer one"
        raise StoreUnavailable(message)
    lift_deadline(connection)
    for step in steps[taken:]:
        step(connection)
    connection.execute(update(versions).values(version=len(steps)))
    return len(steps) - taken
