"""Questions to the history as SQL: a page of anomalies by what is wanted of them, in one of six orders.

Each order is total (the id decides last), so a page begins exactly where the one before ended. A question is answered
through the index of its rarest condition when that leaves few, and through the index of its order otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, exists, func, select, tuple_
from sqlalchemy import literal_column as literal

from api.history_rows import detector_text, pair_of, severity_number
from api.recent import State
from api.store_tables import ACKNOWLEDGED, OPEN, anomaly_feedback, anomaly_labels
from api.store_tables import anomalies as table
from api.store_tables import anomaly_events as events
from connectors.feedback import Verdict
from connectors.messages import Severity

FEW = 10_000
"""So many rows are sorted in some milliseconds; of more, the first ones of an order are soon found among all."""

LATEST_MOST, LATEST_BYTES = 1_000, 16 * 1024 * 1024
"""Of what ``latest`` gives: enough to judge by, in some tenths of a second."""


class Sort(StrEnum):
    """Orders of a list; a minus puts the greatest first."""

    NEWEST = "-time"
    OLDEST = "time"
    WORST = "-severity"
    MILDEST = "severity"
    MOST_SURPRISING = "-surprise"
    LEAST_SURPRISING = "surprise"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.value.startswith("-")

    @property
    def columns(self) -> tuple[ColumnElement[Any], ...]:
        """What is compared, the id last; an index has them in this order."""
        by = self.value.lstrip("-")
        leading = {"time": ("time_ms",), "severity": ("severity", "time_ms"), "surprise": ("surprise",)}[by]
        return tuple(table.c[name] for name in (*leading, "id"))

    @property
    def index_name(self) -> str:
        """The index of this order."""
        return f"anomalies_by_{self.value.lstrip('-')}"


class Wanted(NamedTuple):
    """What a reader wants to see; None means all."""

    severity: Severity | None = None
    detector: str | None = None
    state: State | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    acknowledged: bool | None = None
    verdict: Verdict | None = None


class Found(NamedTuple):
    """Some rows: the event as JSON, and the values that its order compares."""

    events: list[bytes]
    next: tuple[Any, ...] | None
    """where the next page begins; None at the end"""


class _Way(NamedTuple):
    """A condition, and the index that serves it; none is named for what leaves most."""

    serves: str
    condition: ColumnElement[bool]
    start: Table | None = None
    """another table, of which the rows with ``begin`` name all anomalies that fulfil it"""
    begin: ColumnElement[bool] | None = None


def latest(connection: Connection, wanted: Wanted) -> list[bytes]:
    """The events of the latest ones that are wanted, within the bounds for who looks through them."""
    return find(connection, wanted, Sort.NEWEST, None, LATEST_MOST, LATEST_BYTES).events


def find(
    connection: Connection, wanted: Wanted, sort: Sort, after: tuple[Any, ...] | None, limit: int, limit_bytes: int
) -> Found:
    """The first rows that come after a place: at most ``limit`` and ``limit_bytes``, but never none of several."""
    found: list[bytes] = []
    size = 0
    last: tuple[Any, ...] | None = None
    chosen = statement(connection, wanted, sort, after).limit(limit + 1).subquery()
    places = [chosen.c[column.name] for column in sort.columns]
    shown = select(events.c.event, *places).join_from(chosen, events, events.c.id == chosen.c.id)
    with connection.execute(_ordered(shown, places, sort)) as rows:
        for event, *place in rows:
            size += len(event)
            if found and (len(found) == limit or size > limit_bytes):
                return Found(found, last)
            found.append(event)
            last = tuple(place)
    return Found(found, None)


def statement(
    connection: Connection, wanted: Wanted, sort: Sort, after: tuple[Any, ...] | None
) -> Select[tuple[Any, ...]]:
    """The places of all that is asked for, in order."""
    ways = list(_ways(wanted))
    way, few = _rarest(connection, wanted, ways)
    by_time = sort in (Sort.NEWEST, Sort.OLDEST)
    in_order = by_time and way is not None and way.start is not anomaly_feedback
    outside = way is not None and way.start is not None and (in_order or few)
    conditions = [one.condition for one in ways if not (outside and one is way)]
    conditions += _range(wanted, table.c.time_ms)
    places: Sequence[ColumnElement[Any]] = sort.columns
    source: FromClause = table
    hint = way.serves if way is not None and way.serves and (in_order or few) else sort.index_name
    if outside and way is not None and way.start is not None and way.begin is not None:
        source = way.start.join(table, table.c.id == way.start.c.id)
        conditions.append(way.begin)
        hint = "sqlite_autoindex_anomalies_1"  # of the id
        if way.start is anomaly_labels:
            conditions += _range(wanted, anomaly_labels.c.time_ms)
            places = (anomaly_labels.c.time_ms, anomaly_labels.c.id) if by_time else places
    if after is not None:
        here, there = tuple_(*places), tuple_(*after)
        conditions.append(here < there if sort.descending else here > there)
    query = select(*sort.columns).select_from(source).where(*conditions)
    query = query.with_hint(table, f"INDEXED BY {hint}", "sqlite")
    if few and not in_order:  # sorted, and not looked for along the order's own index
        places = (places[0] + literal("0"), *places[1:])
    return _ordered(query, places, sort)


def _ordered(query: Select[Any], places: Sequence[ColumnElement[Any]], sort: Sort) -> Select[Any]:
    return query.order_by(*(place.desc() if sort.descending else place.asc() for place in places))


def _ways(wanted: Wanted) -> Iterator[_Way]:
    for name, value in wanted.labels:
        pair = pair_of(name, value)
        other = anomaly_labels.alias()
        same = (other.c.pair == pair) & (other.c.time_ms == table.c.time_ms) & (other.c.id == table.c.id)
        yield _Way("", _exists(other, same), anomaly_labels, anomaly_labels.c.pair == pair)
    if wanted.detector is not None:
        yield _Way("anomalies_by_detector", table.c.detector == detector_text(wanted.detector))
    if wanted.state is not None:
        closed = table.c.going_on.is_(literal("false"))
        yield _Way("anomalies_open", OPEN) if wanted.state is State.OPEN else _Way("", closed)
    if wanted.severity is not None:
        yield _Way("anomalies_by_severity", table.c.severity == severity_number(wanted.severity))
    yield from _ways_by_feedback(wanted)


def _ways_by_feedback(wanted: Wanted) -> Iterator[_Way]:
    other = anomaly_feedback.alias()
    if wanted.acknowledged is not None:
        taken = _exists(other, (other.c.id == table.c.id) & other.c.acknowledged.is_(literal("true")))
        yield _Way("", taken, anomaly_feedback, ACKNOWLEDGED) if wanted.acknowledged else _Way("", ~taken)
    if wanted.verdict is not None:
        text = wanted.verdict.value
        judged = _exists(other, (other.c.id == table.c.id) & (other.c.verdict == text))
        yield _Way("", judged, anomaly_feedback, anomaly_feedback.c.verdict == text)


def _exists(other: FromClause, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Looked up row by row: the offset keeps PostgreSQL from joining, which without statistics took it over 10 s."""
    return exists(select(literal("1")).select_from(other).where(condition).offset(0).correlate(table))


def _range(wanted: Wanted, time_ms: ColumnElement[Any]) -> Iterable[ColumnElement[bool]]:
    if wanted.from_ms is not None:
        yield time_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield time_ms < wanted.to_ms


def _rarest(connection: Connection, wanted: Wanted, ways: Sequence[_Way]) -> tuple[_Way | None, bool]:
    """The condition that leaves the fewest, counted to ``FEW``, and whether those are few."""
    ranged = wanted.from_ms is not None or wanted.to_ms is not None
    indexed = [way for way in ways if way.serves or way.start is not None]
    all_of_them = [*indexed, *([_Way("anomalies_by_time", literal("1") == literal("1"))] if ranged else [])]
    counts = [_count(connection, wanted, way) for way in all_of_them]
    if not counts:
        return None, False
    least = min(range(len(counts)), key=counts.__getitem__)
    return all_of_them[least], counts[least] <= FEW


def _count(connection: Connection, wanted: Wanted, way: _Way) -> int:
    inner: Select[Any]
    times: ColumnElement[Any] | None = table.c.time_ms
    if way.start is not None and way.begin is not None:
        times = anomaly_labels.c.time_ms if way.start is anomaly_labels else None
        inner = select(literal("1")).select_from(way.start).where(way.begin)
    else:
        inner = select(literal("1")).select_from(table).where(way.condition)
        inner = inner.with_hint(table, f"INDEXED BY {way.serves}", "sqlite")
    ranged = () if times is None else _range(wanted, times)
    capped = inner.where(*ranged).limit(FEW + 1).subquery()
    return connection.scalar(select(func.count()).select_from(capped)) or 0
