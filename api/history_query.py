"""Questions to the history: a page of anomalies by what is wanted of them, in one of six orders.

A question is answered through the index of its rarest condition when that leaves few, and through the index of its
order otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection

from api.history_rows import severity_number
from api.history_statements import AFTER, BY_SEVERITY, BY_TIME, MOST, Walk, count, edge, index_of, many, page, ways_of
from api.history_wanted import Sort, Wanted
from connectors.anomaly import Severity

FEW = 10_000
"""So many rows are sorted in some milliseconds; of more, the first ones of an order are soon found among all."""
LOOKS = (100, 1_000)
"""So far conditions are counted before, in the hope that one of them leaves no more."""
NEAR = 10_000
"""So many are tried along an order before more than ``LOOKS`` that stand in none are sorted, which takes a tenth of a
second for ``FEW``; of a million anomalies they are among them as soon as half a percent fulfils what is wanted."""

LATEST_MOST, LATEST_BYTES = 1_000, 16 * 1024 * 1024
"""Of what ``latest`` gives: enough to judge by, in some tenths of a second."""


class Found(NamedTuple):
    """Some rows: the event as JSON, and the values that its order compares."""

    events: list[bytes]
    next: tuple[Any, ...] | None
    """where the next page begins; None at the end"""


class Rarest(NamedTuple):
    """The condition that leaves the fewest."""

    way: int | None = None
    """place in ``ways_of``; None if none is served by an index"""
    few: bool = False
    """whether it is known to leave few"""
    takes_sorting: bool = False
    """whether these stand in no order, and are more than soon sorted"""


Rows = Iterator[tuple[bytes, tuple[Any, ...]]]
"""Events, each with its place."""


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
    for event, place in _rows(connection, wanted, sort, after, limit + 1):
        size += len(event)
        if found and (len(found) == limit or size > limit_bytes):
            return Found(found, last)
        found.append(event)
        last = place
    return Found(found, None)


def _rows(connection: Connection, wanted: Wanted, sort: Sort, after: tuple[Any, ...] | None, most: int) -> Rows:
    if not sort.by_severity:
        rarest = _rarest(connection, wanted, sort)
        near = _near(connection, wanted, sort, after, most) if sort.by_time and rarest.takes_sorting else None
        walk = Walk(sort, rarest.way, rarest.few) if near is None else Walk(sort)
        yield from _walk(connection, near or wanted, walk, after, most)
    elif wanted.severity is not None:
        rarest = _rarest(connection, wanted, sort.within_severity)
        walk = Walk(sort.within_severity, rarest.way, rarest.few)
        yield from _of_severity(connection, wanted, walk, after, most)
    else:
        yield from _by_severity(connection, wanted, sort, after, most)


def _by_severity(connection: Connection, wanted: Wanted, sort: Sort, after: tuple[Any, ...] | None, most: int) -> Rows:
    """One severity after the other: along the whole index, those of a time may stand behind all others."""
    rarest = _rarest(connection, wanted, sort)
    if rarest.few:
        yield from _walk(connection, wanted, Walk(sort, rarest.way, few=True), after, most)
        return
    for severity in sorted(Severity, key=severity_number, reverse=sort.descending):
        inner = wanted._replace(severity=severity)
        walk = Walk(sort.within_severity, index_of(inner.shape, BY_SEVERITY))
        yield from _of_severity(connection, inner, walk, after, most)


def _of_severity(connection: Connection, wanted: Wanted, walk: Walk, after: tuple[Any, ...] | None, most: int) -> Rows:
    """Of an order by severity those of one, which stand in the order of time."""
    assert wanted.severity is not None  # noqa: S101 - chosen above
    number = severity_number(wanted.severity)
    if after is not None and number != after[0]:
        if (number > after[0]) is walk.sort.descending:  # they all came before
            return
        after = None
    for event, place in _walk(connection, wanted, walk, after and after[1:], most):
        yield event, (number, *place)


def _walk(connection: Connection, wanted: Wanted, walk: Walk, after: tuple[Any, ...] | None, most: int) -> Rows:
    statement = page(wanted.shape, walk._replace(goes_on=after is not None))
    with connection.execute(statement, _values(wanted, after, most)) as rows:
        for event, *place in rows:
            yield event, tuple(place)


def _near(
    connection: Connection, wanted: Wanted, sort: Sort, after: tuple[Any, ...] | None, most: int
) -> Wanted | None:
    """The same of a shorter time, if as many as are asked for are found there along the order; else None."""
    walk = Walk(sort, goes_on=after is not None)
    edge_ms = connection.scalar(edge(wanted.shape, walk), _values(wanted, after, NEAR))
    if edge_ms is None:  # there are no more
        return wanted
    near = wanted._replace(from_ms=edge_ms) if sort.descending else wanted._replace(to_ms=edge_ms)
    found = connection.scalar(many(near.shape, walk), _values(near, after, most))
    return near if found == most else None


def _values(wanted: Wanted, after: tuple[Any, ...] | None, most: int) -> dict[str, Any]:
    return {**wanted.values, MOST: most, **{AFTER.format(n): part for n, part in enumerate(after or ())}}


def _rarest(connection: Connection, wanted: Wanted, sort: Sort) -> Rarest:
    """The condition that leaves the fewest, counted to ``FEW``."""
    shape = wanted.shape
    ways = ways_of(shape)
    indexed = [number for number, way in enumerate(ways) if way.is_indexed]
    timed = [number for number in indexed if ways[number].in_time]
    if len(timed) > 1 and ways[timed[-1]].serves == BY_TIME:  # the others begin with those of that time
        indexed.remove(timed[-1])
    if not indexed:
        return Rarest()
    only = ways[indexed[0]]
    if len(indexed) == 1 and only.in_time and (sort.by_time or (sort.by_severity and only.serves == BY_TIME)):
        return Rarest(indexed[0])  # however many they are
    values = wanted.values
    counts: list[int] = []
    for most in (*(look for look in LOOKS if look < FEW), FEW):
        counts = [connection.scalar(count(shape, one), {**values, MOST: most + 1}) or 0 for one in indexed]
        if min(counts) <= most:
            break
    left, way = min(zip(counts, indexed, strict=True))
    few = left <= FEW
    return Rarest(way, few, takes_sorting=few and left > max(LOOKS, default=0) and not ways[way].in_time)
