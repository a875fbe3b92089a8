"""A store with so many anomalies, for measurements of the REST API: what the api itself would have written, faster.

Rows go in by bulk into the api's own tables, without their indexes, which are made afterwards, and labels in the order
of their table. ``make_anomaly`` and ``api.history_rows.Row`` give the first event of each series; the others differ
from it in what an event of another time has of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, Table

from api.history_rows import LOOKED_THROUGH, SHOWN, Row, pairs_in
from api.store_engine import WRITING, make_engine, store_url
from api.store_steps import upgrade
from api.store_tables import anomalies as table
from api.store_tables import anomaly_events, anomaly_feedback, anomaly_labels
from connectors.anomaly import AnomalyDetector, AnomalySignal, Severity
from connectors.detector import Shape
from connectors.feedback import NOTHING, FeedbackKind, Verdict, feedback
from tests.anomalies import closed, make_anomaly
from tests.benchmarks.matching import labels_of

Step = Callable[[Connection], object]
"""A transaction."""
SERIES, ROWS_AT_ONCE = 20_000, 10_000
OPEN_EVERY = 500
"""One anomaly of so many goes on."""
SAID_EVERY = 50
"""Of one anomaly of so many somebody has said something: takes care of it, or takes it for expected."""
STEP_MS = 5_000
START_MS = 1_790_000_000_000


def series_of(number: int) -> int:
    """Of which series an anomaly tells."""
    return number * 104_729 % SERIES


def detector_of(number: int, detectors: int) -> str:
    """Which detector tells it: all in turn."""
    return f"d{number * 7919 % detectors}"


def fill(url: str, anomalies: int, detectors: int) -> None:
    """One anomaly every five seconds, of 20,000 series with ten labels each; an empty database becomes full."""
    engine = make_engine(store_url(url), 1)
    gc.freeze()  # or it looks through all rows again and again
    gc.disable()
    indexes = sorted(table.indexes, key=str)
    steps: list[Iterator[Step]] = [
        iter((upgrade, *(index.drop for index in indexes))),
        _anomalies(anomalies, detectors),
        _inserts(anomaly_labels, _labels(anomalies)),
        _inserts(anomaly_feedback, _feedback(anomalies)),
        iter([index.create for index in indexes]),
    ]
    with engine.connect() as plain:
        connection = plain.execution_options(**{WRITING: True})
        for step in chain.from_iterable(steps):
            with connection.begin():  # one for each, because a transaction has a deadline
                step(connection)
    engine.dispose()
    gc.enable()
    gc.unfreeze()


def row_of(number: int, detectors: int) -> Row:
    """One anomaly."""
    event, pairs = _of_series(series_of(number))
    time_ms, surprise, going_on = START_MS + STEP_MS * number, 5.0 + number % 1013 / 10, number % OPEN_EVERY == 0
    severity, detector = number % 10 % 3, detector_of(number, detectors)
    own = {
        "id": f"{number:032x}",
        "start_ms": time_ms - 60_000,
        "time_ms": time_ms,
        "severity": list(Severity)[severity],
        "surprise": surprise,
        "peak": {**event["peak"], "time_ms": time_ms, "surprise": surprise},
        "detector": {**event["detector"], "id": detector},
        **({"event": "updated", "sequence": 1, "end_ms": None, "closed_by": None} if going_on else {"end_ms": time_ms}),
    }
    text = orjson.dumps({**event, **own})
    sequence = 1 if going_on else 2
    return Row(number.to_bytes(16), sequence, time_ms, severity, surprise, detector, going_on, text, pairs)


@cache
def _of_series(series: int) -> tuple[Mapping[str, Any], bytes]:
    """An event that closes, as JSON has it, and the numbers of its labels."""
    event = make_anomaly(
        detector=AnomalyDetector(id="d", name="load", kind="mad", revision=1),
        signal=AnomalySignal(labels=labels_of(series), shape=Shape.RAW),
        sequence=1,
    )
    row = Row.of(closed(event))
    return orjson.loads(row.event), row.pairs


def _anomalies(anomalies: int, detectors: int) -> Iterator[Step]:
    for begin in range(0, anomalies, ROWS_AT_ONCE):
        some = [row_of(number, detectors) for number in range(begin, min(begin + ROWS_AT_ONCE, anomalies))]
        for target, names in ((table, LOOKED_THROUGH), (anomaly_events, SHOWN)):
            yield from _inserts(target, map(attrgetter(*names), some))


def _inserts(target: Table, rows: Iterator[tuple[Any, ...]]) -> Iterator[Step]:
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield partial(_insert, target, some)


def _insert(target: Table, rows: list[tuple[Any, ...]], connection: Connection) -> None:
    """By the driver's own means: SQLAlchemy takes three times as long."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join([mark] * len(target.columns))
    columns = ", ".join(target.columns.keys())
    connection.exec_driver_sql(f"INSERT INTO {target.name} ({columns}) VALUES ({marks})", rows)  # noqa: S608


def _labels(anomalies: int) -> Iterator[tuple[Any, ...]]:
    """In the order of their key, so that each row is written behind the one before."""
    bearing: dict[int, list[range]] = {}
    for number in range(min(SERIES, anomalies)):  # each series once, and again after so many anomalies
        for pair in pairs_in(_of_series(series_of(number))[1]):
            bearing.setdefault(pair, []).append(range(number, anomalies, SERIES))
    for pair in sorted(bearing):
        for number in np.sort(np.concatenate(bearing[pair])).tolist():
            yield pair, START_MS + STEP_MS * number, number.to_bytes(16)


def _feedback(anomalies: int) -> Iterator[tuple[Any, ...]]:
    for number in range(0, anomalies, SAID_EVERY):
        taken, anomaly = number // SAID_EVERY % 2 == 0, f"{number:032x}"
        kind, verdict = (FeedbackKind.ACKNOWLEDGE, None) if taken else (FeedbackKind.VERDICT, Verdict.EXPECTED)
        said = NOTHING.after(feedback(kind, anomaly, "load", START_MS + STEP_MS * number, verdict=verdict))
        yield number.to_bytes(16), taken, verdict, said.encode()
