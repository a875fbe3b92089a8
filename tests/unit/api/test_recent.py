from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from api.recent import Change, Filter, Kept, RecentAnomalies, State, place
from connectors.anomaly import Anomaly, Severity
from tests.anomalies import closed, make_anomaly

ALL = Filter()
MIB = 1 << 20


def put(recent: RecentAnomalies, event: Anomaly) -> Change:
    return recent.put(Kept.of(event))


def events_of(kept: Iterable[Kept]) -> list[Anomaly]:
    return [Anomaly.decode(one.event) for one in kept]


def test_keeps_the_last_event_of_an_id() -> None:
    recent = RecentAnomalies(10, MIB)
    assert put(recent, make_anomaly(1, 0)) is Change.NEW
    assert put(recent, make_anomaly(1, 1)) is Change.NEXT
    assert put(recent, make_anomaly(1, 0)) is Change.REPEATED
    assert put(recent, make_anomaly(1, 1)) is Change.REPEATED
    assert events_of(recent.newest(ALL)) == [make_anomaly(1, 1)]


def test_same_sequence_with_other_content_replaces() -> None:
    recent = RecentAnomalies(10, MIB)
    put(recent, make_anomaly(1, 0))
    assert put(recent, make_anomaly(1, 0, value=3.0)) is Change.NEXT
    found = recent.get(make_anomaly(1).id)
    assert found is not None
    assert Anomaly.decode(found.event).value == 3.0


def test_forgets_the_one_with_the_oldest_latest_sample() -> None:
    recent = RecentAnomalies(2, MIB)
    for event in (make_anomaly(1), make_anomaly(2), make_anomaly(1, 200), make_anomaly(3)):
        put(recent, event)
    assert [kept.place.id for kept in recent.newest(ALL)] == [make_anomaly(1).id, make_anomaly(3).id]
    assert recent.evicted_total == 1
    assert len(recent) == 2
    assert recent.get(make_anomaly(2).id) is None


def test_filters() -> None:
    recent = RecentAnomalies(10, MIB)
    critical = make_anomaly(1, severity=Severity.CRITICAL)
    done = closed(make_anomaly(2))
    for event in (critical, make_anomaly(2), done):
        put(recent, event)
    assert events_of(recent.newest(Filter(severity=Severity.CRITICAL))) == [critical]
    assert events_of(recent.newest(Filter(state=State.CLOSED))) == [done]
    assert events_of(recent.newest(Filter(state=State.OPEN))) == [critical]
    assert events_of(recent.newest(Filter(detector="nobody"))) == []
    assert events_of(recent.newest(Filter(detector=critical.detector.id))) == [done, critical]


events = st.builds(make_anomaly, st.integers(0, 6), st.integers(0, 90))


@given(st.lists(events, max_size=60), st.integers(1, 5))
def test_agrees_with_the_obvious_twin(stream: list[Anomaly], limit: int) -> None:
    recent = RecentAnomalies(limit, MIB)
    twin: dict[str, Anomaly] = {}
    for event in stream:
        put(recent, event)
        if event.id not in twin or event.sequence > twin[event.id].sequence:
            twin[event.id] = event
            if len(twin) > limit:
                del twin[min(twin.values(), key=place).id]
    assert events_of(recent.newest(ALL)) == sorted(twin.values(), key=place, reverse=True)


@given(st.lists(events, max_size=40))
def test_a_cursor_continues_where_the_page_ended(stream: list[Anomaly]) -> None:
    recent = RecentAnomalies(100, MIB)
    for event in stream:
        put(recent, event)
    whole = events_of(recent.newest(ALL))
    for index, anomaly in enumerate(whole):
        assert events_of(recent.newest(ALL, before=place(anomaly))) == whole[index + 1 :]


def test_bytes_are_bounded_as_well() -> None:
    """The oldest go until the rest fits; an event that grew may push others out, and what went is no longer counted."""
    size = len(make_anomaly(1).encode())
    recent = RecentAnomalies(100, 4 * size)
    for number in range(1, 7):
        put(recent, make_anomaly(number))
    assert [one.id for one in events_of(recent.newest(ALL))] == [make_anomaly(n).id for n in (6, 5, 4, 3)]
    assert (recent.evicted_total, recent.size_bytes) == (2, 4 * size)
    put(recent, make_anomaly(6, 1, sentence="x" * 2 * size))
    kept = events_of(recent.newest(ALL))
    assert [one.id for one in kept] == [make_anomaly(n).id for n in (6, 5)][: len(kept)]
    assert recent.size_bytes == sum(len(one.encode()) for one in kept) <= 4 * size


@given(st.lists(events, max_size=40), st.integers(1, 10), st.integers(1, 6000))
def test_pages_hold_all_and_none_is_too_large(stream: list[Anomaly], limit: int, limit_bytes: int) -> None:
    recent = RecentAnomalies(100, MIB)
    for event in stream:
        put(recent, event)
    page = recent.page(ALL, None, limit, limit_bytes)
    read = list(page.anomalies)
    while page.next is not None:
        assert 1 <= len(page.anomalies) <= limit
        assert len(page.anomalies) == 1 or sum(len(one.event) for one in page.anomalies) <= limit_bytes
        page = recent.page(ALL, page.next, limit, limit_bytes)
        assert page.anomalies, "next leads somewhere"
        read += page.anomalies
    assert read == list(recent.newest(ALL))
