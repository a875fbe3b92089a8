from hypothesis import given
from hypothesis import strategies as st

from api.recent import Change, Filter, RecentAnomalies, State, place
from connectors.messages import Anomaly, Severity
from tests.anomalies import closed, make_anomaly

ALL = Filter()


def test_keeps_the_last_event_of_an_id() -> None:
    recent = RecentAnomalies(10)
    assert recent.put(make_anomaly(1, 0)) is Change.NEW
    assert recent.put(make_anomaly(1, 1)) is Change.NEXT
    assert recent.put(make_anomaly(1, 0)) is Change.REPEATED
    assert recent.put(make_anomaly(1, 1)) is Change.REPEATED
    assert list(recent.newest(ALL)) == [make_anomaly(1, 1)]


def test_same_sequence_with_other_content_replaces() -> None:
    recent = RecentAnomalies(10)
    recent.put(make_anomaly(1, 0))
    assert recent.put(make_anomaly(1, 0, value=3.0)) is Change.NEXT
    found = recent.get(make_anomaly(1).id)
    assert found is not None
    assert found.value == 3.0


def test_forgets_the_one_with_the_oldest_latest_sample() -> None:
    recent = RecentAnomalies(2)
    for event in (make_anomaly(1), make_anomaly(2), make_anomaly(1, 200), make_anomaly(3)):
        recent.put(event)
    assert [anomaly.id for anomaly in recent.newest(ALL)] == [make_anomaly(1).id, make_anomaly(3).id]
    assert recent.evicted_total == 1
    assert len(recent) == 2
    assert recent.get(make_anomaly(2).id) is None


def test_filters() -> None:
    recent = RecentAnomalies(10)
    critical = make_anomaly(1, severity=Severity.CRITICAL)
    done = closed(make_anomaly(2))
    for event in (critical, make_anomaly(2), done):
        recent.put(event)
    assert list(recent.newest(Filter(severity=Severity.CRITICAL))) == [critical]
    assert list(recent.newest(Filter(state=State.CLOSED))) == [done]
    assert list(recent.newest(Filter(state=State.OPEN))) == [critical]
    assert list(recent.newest(Filter(detector="nobody"))) == []
    assert list(recent.newest(Filter(detector=critical.detector.id))) == [done, critical]


events = st.builds(make_anomaly, st.integers(0, 6), st.integers(0, 90))


@given(st.lists(events, max_size=60), st.integers(1, 5))
def test_agrees_with_the_obvious_twin(stream: list[Anomaly], limit: int) -> None:
    recent = RecentAnomalies(limit)
    twin: dict[str, Anomaly] = {}
    for event in stream:
        recent.put(event)
        if event.id not in twin or event.sequence > twin[event.id].sequence:
            twin[event.id] = event
            if len(twin) > limit:
                del twin[min(twin.values(), key=place).id]
    assert list(recent.newest(ALL)) == sorted(twin.values(), key=place, reverse=True)


@given(st.lists(events, max_size=40))
def test_a_cursor_continues_where_the_page_ended(stream: list[Anomaly]) -> None:
    recent = RecentAnomalies(100)
    for event in stream:
        recent.put(event)
    whole = list(recent.newest(ALL))
    for index, anomaly in enumerate(whole):
        assert list(recent.newest(ALL, before=place(anomaly))) == whole[index + 1 :]
