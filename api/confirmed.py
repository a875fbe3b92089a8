"""Anomalies that somebody has acknowledged and not called expected or a false alarm: what must not be lost."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from api.context import Context
from api.feedback_rows import read_said
from api.history_query import latest
from api.history_wanted import Wanted
from connectors.anomaly import Anomaly
from connectors.errors import Unavailable
from connectors.feedback import NOTHING, Said, Verdict

DISMISSING = (Verdict.EXPECTED, Verdict.FALSE_ALARM)


async def confirmed_within(context: Context, detector: str, times_ms: tuple[int, int] | None) -> list[Anomaly] | None:
    """Those of a detector whose latest surprising sample is within; None if the store does not answer."""
    if times_ms is None:
        return []
    try:
        return await context.store.read(partial(_confirmed, detector=detector, times_ms=times_ms))
    except Unavailable:
        return None


def _confirmed(connection: Connection, detector: str, times_ms: tuple[int, int]) -> list[Anomaly]:
    wanted = Wanted(detector=detector, from_ms=times_ms[0], to_ms=times_ms[1] + 1, acknowledged=True)
    anomalies = list(map(Anomaly.decode, latest(connection, wanted)))
    said = read_said(connection, [bytes.fromhex(one.id) for one in anomalies])
    return [one for one in anomalies if not _dismissed(said.get(bytes.fromhex(one.id), NOTHING))]


def _dismissed(said: Said) -> bool:
    return said.verdict is not None and said.verdict.verdict in DISMISSING
