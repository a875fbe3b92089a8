"""Anomaly events into the tables of the history: each event once, however often and by however many it is written.

Pure SQL on a connection. What is written bears the offsets up to which it was read, so both stand or neither does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import BindParameter, Connection, delete, insert, select, text, update
from sqlalchemy import bindparam as bind

from api.store_tables import anomalies as table
from api.store_tables import anomaly_events as events
from api.store_tables import anomaly_labels, read_offsets
from connectors.anomaly import Anomaly, Severity
from connectors.errors import Rejected

MOST_LABELS = 64
"""By so many labels an anomaly is found; Prometheus' own targets have about twenty."""
INT64 = 1 << 63
LOCK = 0x68697374
"""Of all replicas that write to one PostgreSQL, one does at a time, so none waits for rows of another; "hist"."""


LOOKED_THROUGH = tuple(column.name for column in table.columns)
SHOWN = tuple(column.name for column in events.columns)


class Row(NamedTuple):
    """An event as it is kept."""

    id: bytes
    sequence: int
    time_ms: int
    severity: int
    surprise: float
    detector: str
    going_on: bool
    event: bytes
    pairs: bytes

    @classmethod
    def of(cls, event: Anomaly) -> Row:
        """Raises ``Rejected`` for numbers that no database holds."""
        if max(abs(event.time_ms), event.sequence) >= INT64:
            raise Rejected(reason="too_large", message=f"anomaly {event.id}: time_ms or sequence is beyond 64 bits")
        labels = sorted(event.signal.labels.items())[:MOST_LABELS]
        return cls(
            bytes.fromhex(event.id),
            event.sequence,
            event.time_ms,
            severity_number(event.severity),
            event.peak.surprise,
            detector_text(event.detector.id),
            event.end_ms is None,
            event.encode(),
            np.array([pair_of(name, value) for name, value in labels], np.int64).tobytes(),
        )


def severity_number(severity: Severity) -> int:
    """In the order of how bad it is."""
    return list(Severity).index(severity)


def detector_text(detector_id: str) -> str:
    """As PostgreSQL can keep it: a zero character is in no id that the api gave."""
    return detector_id.replace("\0", "")


def pair_of(name: str, value: str) -> int:
    """A label as one number: of a million labels, two are taken for each other once in 40 million databases."""
    digest = blake2b(f"{name}\0{value}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def write_rows(connection: Connection, topic: str, rows: Iterable[Row], offsets: Mapping[int, int]) -> Counter[str]:
    """Keep what says more than what is known, and note how far the topic was read. Returns how many were what.

    ``passed`` are those that said nothing new, or that a later one of the same batch went beyond.
    """
    take_turn(connection)
    latest: dict[bytes, Row] = {}
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
        if row.id not in latest or row.sequence > latest[row.id].sequence:
            latest[row.id] = row
    found = {
        row.id: row
        for row in connection.execute(
            select(table.c.id, table.c.sequence, table.c.time_ms).where(table.c.id.in_(latest))
        )
    }
    new = [row for row in latest.values() if row.id not in found]
    later = [row for row in latest.values() if row.id in found and row.sequence > found[row.id].sequence]
    _insert(connection, new)
    _replace(connection, [(found[row.id].time_ms, row) for row in later])
    note_offsets(connection, topic, offsets)
    return Counter(new=len(new), next=len(later), passed=count - len(new) - len(later))


def take_turn(connection: Connection) -> None:
    """Wait until no other replica writes; SQLite has let only one begin."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(insert(table), [_columns(row, *LOOKED_THROUGH) for row in rows])
        connection.execute(insert(events), [_columns(row, *SHOWN) for row in rows])
        _insert_labels(connection, rows)


def _insert_labels(connection: Connection, rows: Sequence[Row]) -> None:
    labels = [{"pair": pair, "time_ms": row.time_ms, "id": row.id} for row in rows for pair in pairs_in(row.pairs)]
    if labels:
        connection.execute(insert(anomaly_labels), labels)


def _replace(connection: Connection, rows: Sequence[tuple[int, Row]]) -> None:
    """New events of known anomalies, each with the time that its labels stand at."""
    if not rows:
        return
    for target, names in ((table, LOOKED_THROUGH), (events, SHOWN)):
        values: dict[str, BindParameter[Any]] = {name: bind(f"new_{name}") for name in names if name != "id"}
        given = [{f"new_{name}": value for name, value in _columns(row, *names).items()} for _, row in rows]
        connection.execute(update(target).where(target.c.id == bind("new_id")).values(values), given)
    delete_labels(connection, [(row.id, time_ms, row.pairs) for time_ms, row in rows])
    _insert_labels(connection, [row for _, row in rows])


def _columns(row: Row, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def delete_labels(connection: Connection, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
    """Take away the labels of anomalies: id, time and pairs of each."""
    labels = anomaly_labels.c
    old = [{"a": pair, "b": time_ms, "c": anomaly} for anomaly, time_ms, pairs in rows for pair in pairs_in(pairs)]
    if old:
        same = (labels.pair == bind("a")) & (labels.time_ms == bind("b")) & (labels.id == bind("c"))
        connection.execute(delete(anomaly_labels).where(same), old)


def pairs_in(pairs: bytes) -> list[int]:
    """The numbers of a row's ``pairs``, each once."""
    return np.unique(np.frombuffer(pairs, np.int64)).tolist()


def note_offsets(connection: Connection, topic: str, offsets: Mapping[int, int]) -> None:
    """Remember how far the topic was read, unless another replica was further."""
    known = read_offsets_of(connection, topic)
    for partition, offset in offsets.items():
        at = (read_offsets.c.topic == topic) & (read_offsets.c.partition == partition)
        if partition not in known:
            connection.execute(insert(read_offsets).values(topic=topic, partition=partition, next_offset=offset))
        elif offset > known[partition]:
            connection.execute(update(read_offsets).where(at).values(next_offset=offset))


def read_offsets_of(connection: Connection, topic: str) -> dict[int, int]:
    """Next offset by partition, of this very topic of this very cluster."""
    columns = (read_offsets.c.partition, read_offsets.c.next_offset)
    return {row[0]: row[1] for row in connection.execute(select(*columns).where(read_offsets.c.topic == topic))}


def forget_offsets(connection: Connection, topic: str) -> None:
    """Let the topic be read from its beginning; what was kept of it stays."""
    connection.execute(delete(read_offsets).where(read_offsets.c.topic == topic))
