"""What the history forgets: the oldest anomalies, in steps so small that nobody waits for them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, select

from api.history_rows import delete_labels, take_turn
from api.store_tables import anomalies as table
from api.store_tables import anomaly_events as events
from api.store_tables import anomaly_feedback

STEP_ROWS = 500
DAY_MS = 86_400_000


class Place(NamedTuple):
    """Where an anomaly stands in the order of time."""

    time_ms: int
    id: bytes


class Retention(NamedTuple):
    """How long and how many anomalies are kept."""

    days: float
    rows: int

    def cutoff_ms(self, now_ms: int) -> int:
        """What has its latest sample before this is too old."""
        return now_ms - int(self.days * DAY_MS)


def rows_kept(connection: Connection) -> int:
    """How many anomalies there are."""
    return connection.scalar(select(func.count()).select_from(table)) or 0


def forget_before(connection: Connection, cutoff_ms: int) -> int:
    """Forget one step of those that are too old; returns how many."""
    return _forget(connection, table.c.time_ms < cutoff_ms)


def first_too_many(connection: Connection, rows: int) -> Place | None:
    """Where the latest one stands that is too many beside so many later ones; None if there are no more."""
    latest = select(table.c.time_ms, table.c.id).order_by(table.c.time_ms.desc(), table.c.id.desc())
    found = connection.execute(latest.offset(rows).limit(1)).first()
    return None if found is None else Place(found.time_ms, found.id)


def forget_to(connection: Connection, last: Place) -> int:
    """Forget one step of those up to a place; returns how many. Several replicas that do so forget no more than one."""
    same_time = (table.c.time_ms == last.time_ms) & (table.c.id <= last.id)
    return _forget(connection, (table.c.time_ms < last.time_ms) | same_time)


def _forget(connection: Connection, condition: ColumnElement[bool]) -> int:
    take_turn(connection)
    oldest = select(table.c.id, table.c.time_ms).order_by(table.c.time_ms, table.c.id).limit(STEP_ROWS)
    oldest = oldest.where(condition)
    times_ms = {row.id: row.time_ms for row in connection.execute(oldest)}
    if times_ms:
        pairs = connection.execute(select(events.c.id, events.c.pairs).where(events.c.id.in_(times_ms)))
        delete_labels(connection, [(row.id, times_ms[row.id], row.pairs) for row in pairs])
        for target in (table, events, anomaly_feedback):
            connection.execute(delete(target).where(target.c.id.in_(times_ms)))
    return len(times_ms)
