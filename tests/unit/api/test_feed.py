import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from api.feed import Client, Feed
from api.meters import ApiMeters
from api.recent import RecentAnomalies
from api.socket_messages import (
    ALL_ANOMALIES,
    SERVER_MESSAGE,
    AnomalyEvent,
    ComponentChange,
    SystemEvent,
    TrainingEvent,
)
from connectors.errors import Overloaded
from connectors.follower import Received
from connectors.probes import Status
from tests.anomalies import make_anomaly


def received(value: bytes | None, offset: int = 0) -> Received:
    return Received("tocsin.anomalies", 0, offset, 0, None, value, [])


def make_feed(queue_limit: int = 10) -> tuple[Feed, ApiMeters]:
    meters = ApiMeters()
    return Feed(RecentAnomalies(10, 1 << 20), meters, max_clients=2, queue_limit=queue_limit), meters


def subscribed(feed: Feed) -> Client:
    client = feed.join()
    client.topics = {ALL_ANOMALIES}
    return client


def drain(client: Client) -> list[str]:
    async def all_waiting() -> list[str]:
        return [await client.next() for _ in range(client.waiting)]

    return asyncio.run(all_waiting())


def test_a_subscriber_gets_each_event_once_and_in_order() -> None:
    feed, _ = make_feed()
    client, deaf = subscribed(feed), feed.join()
    events = [make_anomaly(1, sequence) for sequence in range(3)]
    feed.handle([received(event.encode(), offset) for offset, event in enumerate([*events, events[0]])])
    assert [json.loads(text) for text in drain(client)] == [
        {"type": "anomaly", "data": json.loads(event.encode())} for event in events
    ]
    assert deaf.waiting == 0


def test_an_event_reaches_who_has_its_severity_or_its_detector_and_once() -> None:
    feed = Feed(RecentAnomalies(10, 1 << 20), ApiMeters(), max_clients=9, queue_limit=10)
    event = make_anomaly(1)
    topics = (f"anomalies/{event.severity}", f"detectors/{event.detector.id}", "detectors/other", "anomalies/info")
    clients = [feed.join() for _ in topics]
    for client, topic in zip(clients, topics, strict=True):
        client.topics = {topic}
    both = feed.join()
    both.topics = {"anomalies", *topics}
    feed.handle([received(event.encode())])
    assert event.severity != "info"
    assert [client.waiting for client in (*clients, both)] == [1, 1, 0, 0, 1]


def test_what_is_published_reaches_who_has_the_topic() -> None:
    feed, _ = make_feed()
    watching, other = feed.join(), feed.join()
    watching.topics, other.topics = {"system", "training/a"}, {"training/b"}
    change = ComponentChange(component="detectors", status=Status.OK, reason="", before=None, time_ms=7)
    for topic in ("system", "training/a", "status"):
        feed.publish(topic, change)
    assert other.waiting == 0
    first, second = (SERVER_MESSAGE.validate_json(text) for text in drain(watching))
    assert first == SystemEvent(topic="system", data=change)
    assert second == TrainingEvent(topic="training/a", data=change.model_dump(mode="json"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """All that is encoded from here on."""
    found: list[object] = []

    def dump(self: BaseModel, *arguments: Any, **more: Any) -> str:
        found.append(self)
        return encode(self, *arguments, **more)

    encode = BaseModel.model_dump_json
    monkeypatch.setattr(BaseModel, "model_dump_json", dump)
    return found


def test_an_event_is_encoded_once_for_the_store_and_all_clients(encoded: list[object]) -> None:
    feed, _ = make_feed()
    first, second, event = subscribed(feed), subscribed(feed), make_anomaly()
    value = event.encode()
    encoded.clear()
    feed.handle([received(value)])
    assert encoded == [event]
    [text], [other] = drain(first), drain(second)
    assert text is other
    assert text == AnomalyEvent(data=event).model_dump_json()


def test_for_nobody_no_message_is_made(monkeypatch: pytest.MonkeyPatch, encoded: list[object]) -> None:
    feed, _ = make_feed()
    feed.join()
    event = make_anomaly()
    value = event.encode()
    encoded.clear()
    monkeypatch.setattr("api.feed.anomaly_text", None)
    feed.handle([received(value)])
    assert encoded == [event]


def test_a_full_queue_marks_only_that_client_slow() -> None:
    feed, _ = make_feed(queue_limit=2)
    slow, quick = subscribed(feed), subscribed(feed)
    for number in range(3):
        feed.handle([received(make_anomaly(number).encode())])
        assert len(drain(quick)) == 1
    assert slow.slow.is_set()
    assert slow.waiting == 2
    assert not quick.slow.is_set()


@pytest.mark.parametrize("value", [None, b"", b"{", make_anomaly().encode().replace(b"98.5", b"NaN")])
def test_what_is_no_anomaly_is_counted_and_skipped(value: bytes | None) -> None:
    feed, meters = make_feed()
    client = subscribed(feed)
    feed.handle([received(value), received(make_anomaly().encode(), 1)])
    assert len(drain(client)) == 1
    assert meters.registry.get_sample_value("tocsin_api_anomaly_events_total", {"result": "invalid"}) == 1
    assert meters.registry.get_sample_value("tocsin_api_anomaly_events_total", {"result": "new"}) == 1


def test_more_clients_than_allowed_are_refused_until_one_leaves() -> None:
    feed, meters = make_feed()
    first, _ = feed.join(), feed.join()
    with pytest.raises(Overloaded, match="TOCSIN_API_MAX_CLIENTS"):
        feed.join()
    assert meters.registry.get_sample_value("tocsin_api_socket_clients") == 2
    feed.leave(first)
    feed.join()


def test_queue_depth_is_that_of_the_slowest() -> None:
    feed, meters = make_feed()
    subscribed(feed)
    feed.handle([received(make_anomaly(number).encode()) for number in range(4)])
    feed.join()
    assert meters.registry.get_sample_value("tocsin_api_socket_queue_depth_max") == 4
