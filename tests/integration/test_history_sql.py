"""The tables of the history on SQLite and PostgreSQL: what is kept of events, what is found, and what is forgotten."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select

from api import history_query, history_statements
from api.feedback_rows import Line, read_said, write_lines
from api.history_place import parse_place, place_text
from api.history_query import find
from api.history_rows import Row, forget_offsets, read_offsets_of, severity_number, write_rows
from api.history_wanted import Sort, Wanted
from api.problems import ApiError
from api.recent import State
from api.retention import Retention, first_too_many, forget_before, forget_to, rows_kept
from api.store_engine import WRITING, make_engine, store_url
from api.store_steps import upgrade
from api.store_tables import anomaly_events, anomaly_labels
from connectors.anomaly import Anomaly, AnomalyDetector, AnomalySignal, Peak, Severity
from connectors.detector import Shape
from connectors.errors import Rejected
from connectors.feedback import Feedback, FeedbackKind, Said, Verdict, feedback
from tests.anomalies import START_MS, anomalies, closed, make_anomaly

pytestmark = pytest.mark.integration

T = TypeVar("T")
TOPIC = "cluster/tocsin.anomalies/id"
SPOKEN = "cluster/tocsin.feedback/id"
MINUTE_MS = 60_000
ALL = Wanted()


def transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as plain:
        connection = plain.execution_options(**{WRITING: True})
        with connection.begin():
            return work(connection)


@contextmanager
def database(url: str) -> Iterator[Engine]:
    engine = make_engine(store_url(url), 2)
    try:
        transact(engine, upgrade)
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    with database(store_url) as made:
        yield made


def write(engine: Engine, *events: Anomaly, offsets: dict[int, int] | None = None) -> dict[str, int]:
    rows = [Row.of(event) for event in events]
    return dict(transact(engine, lambda connection: write_rows(connection, TOPIC, rows, offsets or {})))


def speak(engine: Engine, lines: list[Line]) -> dict[str, int]:
    offsets = {line.partition: line.offset + 1 for line in lines}
    return transact(engine, lambda connection: write_lines(connection, SPOKEN, lines, offsets))


def found(engine: Engine, wanted: Wanted = ALL, sort: Sort = Sort.NEWEST) -> list[Anomaly]:
    """All pages of five."""
    events: list[Anomaly] = []
    place: tuple[Any, ...] | None = None
    while True:
        at = place
        page = transact(engine, lambda connection: find(connection, wanted, sort, at, 5, 1 << 20))  # noqa: B023
        events += map(Anomaly.decode, page.events)
        if page.next is None:
            return events
        place = parse_place(place_text(page.next), sort)


def many(count: int) -> list[Anomaly]:
    """Of few times, detectors and labels, so that much is equal."""
    draw = random.Random(7)
    events = []
    for number in range(count):
        labels = {name: draw.choice("xyz") for name in ("job", "zone") if draw.random() < 0.8}
        time_ms = START_MS + draw.randrange(8) * MINUTE_MS
        event = make_anomaly(
            number,
            time_ms=time_ms,
            severity=draw.choice(list(Severity)),
            detector=AnomalyDetector(id=draw.choice(["one", "two"]), name="", kind="mad", revision=1),
            signal=AnomalySignal(labels=labels, shape=Shape.RAW),
            peak=Peak(time_ms=time_ms, value=1.0, surprise=draw.choice([8.25, 9.1, 300.0])),
        )
        events.append(closed(event) if draw.random() < 0.5 else event)
    return events


def spoken_of(events: list[Anomaly]) -> list[Feedback]:
    """Each third is acknowledged, and each fourth is a false alarm."""
    return [
        *(feedback(FeedbackKind.ACKNOWLEDGE, event.id, "ann", 1) for event in events[::3]),
        *(feedback(FeedbackKind.VERDICT, e.id, "bob", 2, verdict=Verdict.FALSE_ALARM) for e in events[::4]),
    ]


def said_of(event: Anomaly) -> Said:
    return reduce(Said.after, (one for one in spoken_of(EVENTS) if one.anomaly_id == event.id), Said())


def accepts(wanted: Wanted, event: Anomaly) -> bool:
    """The slow, obvious twin of the conditions."""
    return (
        wanted.severity in (None, event.severity)
        and wanted.detector in (None, event.detector.id)
        and (wanted.state is None or (wanted.state is State.OPEN) == (event.end_ms is None))
        and (wanted.from_ms is None or event.time_ms >= wanted.from_ms)
        and (wanted.to_ms is None or event.time_ms < wanted.to_ms)
        and wanted.acknowledged in (None, said_of(event).acknowledged is not None)
        and (wanted.verdict is None or getattr(said_of(event).verdict, "verdict", None) is wanted.verdict)
        and all(event.signal.labels.get(name) == value for name, value in wanted.labels)
    )


def rank(sort: Sort, event: Anomaly) -> tuple[Any, ...]:
    """The slow, obvious twin of the orders."""
    by = {
        "time": (event.time_ms,),
        "severity": (severity_number(event.severity), event.time_ms),
        "surprise": (event.peak.surprise,),
    }
    return (*by[sort.value.lstrip("-")], event.id)


EVENTS = many(30)
WANTED = (
    Wanted(acknowledged=True),
    Wanted(acknowledged=False),
    Wanted(verdict=Verdict.FALSE_ALARM),
    Wanted(verdict=Verdict.EXPECTED),
    Wanted(acknowledged=True, verdict=Verdict.FALSE_ALARM, labels=(("job", "x"),)),
    Wanted(),
    Wanted(severity=Severity.CRITICAL),
    Wanted(detector="one"),
    Wanted(state=State.OPEN),
    Wanted(state=State.CLOSED),
    Wanted(labels=(("job", "x"),)),
    Wanted(labels=(("job", "x"), ("zone", "y"))),
    Wanted(labels=(("job", "nobody"),)),
    Wanted(from_ms=START_MS + 2 * MINUTE_MS, to_ms=START_MS + 5 * MINUTE_MS),
    Wanted(Severity.WARNING, "two", State.OPEN, START_MS + MINUTE_MS, START_MS + 7 * MINUTE_MS, (("zone", "z"),)),
)


@pytest.mark.parametrize(("few", "looks", "near"), [(0, (), 0), (10, (2, 5), 20), (10, (2, 5), 3)])
def test_every_question_in_every_order_is_answered_as_by_looking_at_all(
    engine: Engine, few: int, looks: tuple[int, ...], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_query, "FEW", few)  # by the index of the order, of the condition, or either
    monkeypatch.setattr(history_query, "LOOKS", looks)
    monkeypatch.setattr(history_query, "NEAR", near)
    events = EVENTS
    write(engine, *events)
    speak(engine, [Line(0, offset, record) for offset, record in enumerate(spoken_of(events))])
    for wanted in WANTED:
        for sort in Sort:
            expected = sorted(filter(lambda one: accepts(wanted, one), events), key=lambda one: rank(sort, one))
            assert found(engine, wanted, sort) == (expected[::-1] if sort.descending else expected), (wanted, sort)


def test_a_question_with_other_values_needs_no_new_statement(engine: Engine) -> None:
    made = history_statements.page, history_statements.count, history_statements.ways_of
    write(engine, *EVENTS)
    for sort in Sort:
        assert found(engine, Wanted(labels=(("job", "x"),), from_ms=START_MS), sort)
    before = [one.cache_info().misses for one in made]
    for sort in Sort:
        assert found(engine, Wanted(labels=(("job", "y"),), from_ms=START_MS + MINUTE_MS), sort)
    assert [one.cache_info().misses for one in made] == before


def test_an_event_is_kept_once_and_only_a_later_one_replaces_it(engine: Engine) -> None:
    first, second, last = make_anomaly(1), make_anomaly(1, 1), closed(make_anomaly(1, 1))
    assert write(engine, second) == {"new": 1, "next": 0, "passed": 0}
    assert write(engine, first, second, first) == {"new": 0, "next": 0, "passed": 3}
    assert found(engine) == [second]
    assert write(engine, first, last, second, make_anomaly(2)) == {"new": 1, "next": 1, "passed": 2}
    assert found(engine) == [make_anomaly(2), last]
    assert found(engine, Wanted(labels=(("job", "shop"),))) == [make_anomaly(2), last]
    assert found(engine, Wanted(state=State.OPEN)) == [make_anomaly(2)]
    labels = transact(engine, lambda connection: connection.scalar(select(func.count()).select_from(anomaly_labels)))
    assert labels == 4, "those of the time before are gone"


def test_offsets_stand_with_what_was_read_and_never_go_back(engine: Engine) -> None:
    write(engine, make_anomaly(1), offsets={0: 5, 3: 7})
    write(engine, make_anomaly(2), offsets={0: 4, 3: 9})
    assert transact(engine, lambda connection: read_offsets_of(connection, TOPIC)) == {0: 5, 3: 9}
    assert transact(engine, lambda connection: read_offsets_of(connection, "another")) == {}
    bad = Row.of(make_anomaly(3))._replace(detector=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)null"):
        transact(engine, lambda connection: write_rows(connection, TOPIC, [bad], {0: 6}))
    assert transact(engine, lambda connection: read_offsets_of(connection, TOPIC)) == {0: 5, 3: 9}
    transact(engine, lambda connection: forget_offsets(connection, TOPIC))
    assert transact(engine, lambda connection: read_offsets_of(connection, TOPIC)) == {}
    assert len(found(engine)) == 2


def test_the_oldest_are_forgotten_by_age_and_number_with_all_that_is_theirs(engine: Engine) -> None:
    write(engine, *(make_anomaly(number) for number in range(10)))
    cutoff_ms = Retention(1.0, 9).cutoff_ms(START_MS + 86_400_000 + 3 * MINUTE_MS)
    assert transact(engine, lambda connection: forget_before(connection, cutoff_ms)) == 3
    assert transact(engine, lambda connection: forget_before(connection, cutoff_ms)) == 0
    last = transact(engine, lambda connection: first_too_many(connection, 5))
    assert last is not None
    assert transact(engine, lambda connection: forget_to(connection, last)) == 2
    assert transact(engine, lambda connection: forget_to(connection, last)) == 0, "as a second replica finds it"
    assert transact(engine, lambda connection: first_too_many(connection, 5)) is None
    assert transact(engine, rows_kept) == 5
    assert found(engine) == [make_anomaly(number) for number in range(9, 4, -1)]
    for table, count in ((anomaly_events, 5), (anomaly_labels, 10)):
        counted = select(func.count()).select_from(table)
        assert transact(engine, lambda connection: connection.scalar(counted)) == count  # noqa: B023


def test_what_was_said_is_applied_once_in_the_order_of_the_log(engine: Engine) -> None:
    """Whoever of two replicas is behind changes nothing."""
    event = make_anomaly(1)
    records = [
        feedback(FeedbackKind.ACKNOWLEDGE, event.id, "ann", 1),
        feedback(FeedbackKind.COMMENT, event.id, "ann", 2, "on it"),
        feedback(FeedbackKind.UNACKNOWLEDGE, event.id, "ann", 3),
        feedback(FeedbackKind.VERDICT, event.id, "bob", 4, verdict=Verdict.EXPECTED),
    ]
    lines = [Line(0, offset, record) for offset, record in enumerate(records)]
    assert speak(engine, lines[:3]) == {"written": 3, "passed": 0}
    assert speak(engine, lines[:2]) == {"written": 0, "passed": 2}
    assert speak(engine, lines) == {"written": 1, "passed": 3}
    said = transact(engine, lambda connection: read_said(connection, [bytes.fromhex(event.id)]))
    assert list(said.values()) == [reduce(Said.after, records, Said())]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with database(f"sqlite:///{tmp_path_factory.mktemp('history') / 'store.sqlite'}") as made:
        yield made


@given(event=anomalies)
def test_any_anomaly_of_the_contract_is_kept_as_it_came(shared: Engine, event: Anomaly) -> None:
    write(shared, event)
    kept = transact(shared, lambda connection: connection.scalars(select(anomaly_events.c.event)).all())
    assert Anomaly.encode(event) in kept or any(Anomaly.decode(one).sequence >= event.sequence for one in kept)


def test_numbers_beyond_64_bits_are_refused() -> None:
    for bad in (make_anomaly(1, time_ms=1 << 63), make_anomaly(1).model_copy(update={"sequence": 1 << 63})):
        with pytest.raises(Rejected, match="beyond 64 bits"):
            Row.of(bad)


@given(time_ms=st.integers(-(10**17), 10**17), surprise=st.floats(0, allow_infinity=False), severity=st.integers(0, 2))
def test_places_come_back_from_their_text(time_ms: int, surprise: float, severity: int) -> None:
    anomaly = bytes(range(16))
    for sort in Sort:
        place = {
            "time": (time_ms, anomaly), "severity": (severity, time_ms, anomaly), "surprise": (surprise, anomaly),
        }[sort.value.lstrip("-")]  # fmt: skip
        text = place_text(place)
        assert parse_place(text, sort) == place
        assert quote(text) == text, "goes into an address as it is"
    for one, other in pairwise([Sort.NEWEST, Sort.WORST, Sort.MOST_SURPRISING]):
        with pytest.raises(ApiError, match="expected the next of a page"):
            parse_place(place_text({"time": (1, anomaly), "severity": (1, 1, anomaly)}[one.value.lstrip("-")]), other)
