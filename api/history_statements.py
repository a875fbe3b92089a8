"""Questions to the history as SQL: a page of anomalies by what is wanted of them, in one of six orders.

To put a statement together takes ten times as long as to answer it, so each is made once, with names for the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, FromClause, Integer, Select, Table, Text, exists, func, select, tuple_
from sqlalchemy import bindparam as bind
from sqlalchemy import literal_column as literal

from api.history_wanted import Shape, Sort
from api.recent import State
from api.store_tables import ACKNOWLEDGED, OPEN, anomaly_feedback, anomaly_labels
from api.store_tables import anomalies as table
from api.store_tables import anomaly_events as events

KEPT = 512
"""Statements: what dashboards ask for has some dozens of forms. SQLAlchemy keeps as many texts."""
MOST = "most"
"""The name of how many rows are wanted, or counted, at most."""
AFTER = "after_{}"
"""The names of the parts of a place."""
BY_TIME, BY_SEVERITY = "anomalies_by_time", "anomalies_by_severity"


class Way(NamedTuple):
    """A condition, and the index that serves it; none is named for what leaves most."""

    serves: str
    condition: ColumnElement[bool]
    start: Table | None = None
    """another table, of which the rows with ``begin`` name all anomalies that fulfil it"""
    begin: ColumnElement[bool] | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether what fulfils it can be found."""
        return bool(self.serves) or self.start is not None

    @property
    def in_time(self) -> bool:
        """Whether what fulfils it is found in the order of time."""
        return self.is_indexed and self.start is not anomaly_feedback


class Walk(NamedTuple):
    """How a page is found: by which way, whether that leaves few, and whether it begins behind a place."""

    sort: Sort
    way: int | None = None
    """place in ``ways_of``"""
    few: bool = False
    goes_on: bool = False


@lru_cache(KEPT)
def page(shape: Shape, walk: Walk) -> Select[tuple[Any, ...]]:
    """Events, each with its place, in order."""
    sort = walk.sort
    chosen = _places(shape, walk).limit(bind(MOST, type_=Integer)).subquery()
    places = [chosen.c[column.name] for column in sort.columns]
    shown = select(events.c.event, *places).join_from(chosen, events, events.c.id == chosen.c.id)
    return _ordered(shown, places, sort)


@lru_cache(KEPT)
def many(shape: Shape, walk: Walk) -> Select[tuple[int]]:
    """How many a page would have."""
    return select(func.count()).select_from(_places(shape, walk).limit(bind(MOST, type_=Integer)).subquery())


@lru_cache(KEPT)
def edge(shape: Shape, walk: Walk) -> Select[tuple[int]]:
    """The time of the anomaly that stands so many behind the begin of a walk by time, whatever else is wanted."""
    conditions = [*_range(shape, table.c.time_ms), *_behind(walk, walk.sort.columns)]
    query = select(table.c.time_ms).where(*conditions).offset(bind(MOST, type_=Integer)).limit(1)
    return _ordered(query.with_hint(table, f"INDEXED BY {BY_TIME}", "sqlite"), walk.sort.columns, walk.sort)


@lru_cache(KEPT)
def count(shape: Shape, number: int) -> Select[tuple[int]]:
    """How many a way leaves of the time that is wanted."""
    way = ways_of(shape)[number]
    inner: Select[Any]
    times: ColumnElement[Any] | None = table.c.time_ms
    if way.start is not None and way.begin is not None:
        times = anomaly_labels.c.time_ms if way.start is anomaly_labels else None
        inner = select(literal("1")).select_from(way.start).where(way.begin)
    else:
        inner = select(literal("1")).select_from(table).where(way.condition)
        inner = inner.with_hint(table, f"INDEXED BY {way.serves}", "sqlite")
    ranged = () if times is None else _range(shape, times)
    capped = inner.where(*ranged).limit(bind(MOST, type_=Integer)).subquery()
    return select(func.count()).select_from(capped)


@lru_cache(KEPT)
def ways_of(shape: Shape, of: Table = table) -> Sequence[Way]:
    """The conditions; that of time is the last, if it is one. By ``of`` other tables are looked into."""
    ways = [_by_label(number, of) for number in range(shape.labels)]
    if shape.detector:
        ways.append(Way("anomalies_by_detector", table.c.detector == bind("detector")))
    if shape.state is State.OPEN:
        ways.append(Way("anomalies_open", OPEN))
    if shape.state is State.CLOSED:
        ways.append(Way("", table.c.going_on.is_(literal("false"))))
    if shape.severity:
        ways.append(Way(BY_SEVERITY, table.c.severity == bind("severity")))
    ways += _by_feedback(shape, of)
    if shape.begins or shape.ends:
        ways.append(Way(BY_TIME, literal("1") == literal("1")))
    return ways


def index_of(shape: Shape, serves: str) -> int:
    """The place in ``ways_of`` of the way that an index serves."""
    return next(number for number, way in enumerate(ways_of(shape)) if way.serves == serves)


def _by_label(number: int, of: Table) -> Way:
    pair: ColumnElement[int] = bind(f"pair_{number}", type_=BigInteger)
    other = anomaly_labels.alias()
    same = (other.c.pair == pair) & (other.c.time_ms == of.c.time_ms) & (other.c.id == of.c.id)
    return Way("", _exists(other, same, of), anomaly_labels, anomaly_labels.c.pair == pair)


def _by_feedback(shape: Shape, of: Table) -> Iterable[Way]:
    other = anomaly_feedback.alias()
    if shape.acknowledged is not None:
        taken = _exists(other, (other.c.id == of.c.id) & other.c.acknowledged.is_(literal("true")), of)
        yield Way("", taken, anomaly_feedback, ACKNOWLEDGED) if shape.acknowledged else Way("", ~taken)
    if shape.verdict:
        text: ColumnElement[str] = bind("verdict", type_=Text)
        judged = _exists(other, (other.c.id == of.c.id) & (other.c.verdict == text), of)
        yield Way("", judged, anomaly_feedback, anomaly_feedback.c.verdict == text)


def _places(shape: Shape, walk: Walk) -> Select[tuple[Any, ...]]:
    """The places of all that is asked for, in order."""
    ways, sort, few = ways_of(shape), walk.sort, walk.few
    way = None if walk.way is None else ways[walk.way]
    in_order = sort.by_time and way is not None and way.in_time
    places: Sequence[ColumnElement[Any]] = sort.columns
    source: FromClause = table
    hint = way.serves if way is not None and way.serves and (in_order or few) else sort.index_name
    conditions = [one.condition for one in ways]
    times: ColumnElement[Any] = table.c.time_ms
    if way is not None and way.start is not None and way.begin is not None and (in_order or few):
        hint = "sqlite_autoindex_anomalies_1"  # of the id
        source = way.start.join(table, table.c.id == way.start.c.id)
        if way.start is anomaly_labels:  # which has all that labels are tried by, and often all that is asked for
            times, conditions = anomaly_labels.c.time_ms, [one.condition for one in ways_of(shape, anomaly_labels)]
            places = (anomaly_labels.c.time_ms, anomaly_labels.c.id) if sort.by_time else places
            source = anomaly_labels if sort.by_time and shape.of_labels else source
        conditions[walk.way or 0] = way.begin
    conditions += [*_range(shape, times), *_behind(walk, places)]
    query = select(*places).select_from(source).where(*conditions)
    query = query.with_hint(table, f"INDEXED BY {hint}", "sqlite")
    if few and not in_order:  # sorted, and not looked for along the order's own index
        places = (places[0] + literal("0"), *places[1:])
    return _ordered(query, places, sort)


def _ordered(query: Select[Any], places: Sequence[ColumnElement[Any]], sort: Sort) -> Select[Any]:
    return query.order_by(*(place.desc() if sort.descending else place.asc() for place in places))


def _exists(other: FromClause, condition: ColumnElement[bool], of: Table) -> ColumnElement[bool]:
    """Looked up row by row: the offset keeps PostgreSQL from joining, which without statistics took it over 10 s."""
    return exists(select(literal("1")).select_from(other).where(condition).offset(0).correlate(of))


def _behind(walk: Walk, places: Sequence[ColumnElement[Any]]) -> Iterable[ColumnElement[bool]]:
    if walk.goes_on:
        there = tuple_(*(bind(AFTER.format(n), type_=one.type) for n, one in enumerate(walk.sort.columns)))
        here = tuple_(*places)
        yield here < there if walk.sort.descending else here > there


def _range(shape: Shape, time_ms: ColumnElement[Any]) -> Iterable[ColumnElement[bool]]:
    if shape.begins:
        yield time_ms >= bind("from_ms")
    if shape.ends:
        yield time_ms < bind("to_ms")
