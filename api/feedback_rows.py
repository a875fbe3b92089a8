"""What people said into the store: each record of the log once, in its order, whoever of the replicas is first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from api.history_rows import note_offsets, read_offsets_of, take_turn
from api.store_tables import anomaly_feedback as table
from connectors.feedback import NOTHING, Feedback, Said


class Line(NamedTuple):
    """One record, and where it stands."""

    partition: int
    offset: int
    record: Feedback


def write_lines(
    connection: Connection, topic: str, lines: Sequence[Line], offsets: Mapping[int, int]
) -> dict[str, int]:
    """Apply what no replica has applied, and note how far the topic was read. Returns how many were what."""
    take_turn(connection)
    known = read_offsets_of(connection, topic)
    fresh = [line for line in lines if line.offset >= known.get(line.partition, 0)]
    said = read_said(connection, {bytes.fromhex(line.record.anomaly_id) for line in fresh})
    changed: dict[bytes, Said] = {}
    for line in fresh:
        anomaly = bytes.fromhex(line.record.anomaly_id)
        changed[anomaly] = changed.get(anomaly, said.get(anomaly, NOTHING)).after(line.record)
    if changed:
        connection.execute(delete(table).where(table.c.id.in_(changed)))
        connection.execute(insert(table), [_columns(anomaly, now) for anomaly, now in changed.items()])
    note_offsets(connection, topic, offsets)
    return {"written": len(fresh), "passed": len(lines) - len(fresh)}


def read_said(connection: Connection, anomaly_ids: Collection[bytes]) -> dict[bytes, Said]:
    """What was said of those of these anomalies of which something was."""
    rows = connection.execute(select(table.c.id, table.c.said).where(table.c.id.in_(anomaly_ids)))
    return {row.id: Said.decode(row.said) for row in rows}


def _columns(anomaly: bytes, said: Said) -> dict[str, object]:
    return {
        "id": anomaly,
        "acknowledged": said.acknowledged is not None,
        "verdict": said.verdict.verdict if said.verdict is not None else None,
        "said": said.encode(),
    }
