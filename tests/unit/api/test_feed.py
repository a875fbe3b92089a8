import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from api.asyncapi_examples import PARTITION, TRAINING
from api.backlog import Backlog, Gone
from api.client import Client
from api.cursor import Cursor
from api.feed import Feed
from api.frames import frames_of
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
from api.subscription import ALL, Wanted
from connectors.anomaly import AnomalySignal, Severity
from connectors.detector import Shape
from connectors.errors import Overloaded
from connectors.probes import Status
from connectors.received import Received
from flows.selector import Selector, parse_selector
from tests.anomalies import make_anomaly

MARK = "0123abcd"


def received(value: bytes | None, offset: int = 0, partition: int = 0) -> Received:
    return Received("tocsin.anomalies", partition, offset, 0, None, value, [])


def make_feed(queue_limit: int = 10) -> tuple[Feed, ApiMeters]:
    meters = ApiMeters()
    return feed_of(Backlog(5, 1 << 20, dict), meters, max_clients=2, queue_limit=queue_limit), meters


def feed_of(backlog: Backlog, meters: ApiMeters, max_clients: int = 9, queue_limit: int = 10) -> Feed:
    feed = Feed(RecentAnomalies(10, 1 << 20), backlog, meters, max_clients=max_clients, queue_limit=queue_limit)
    feed.mark = MARK
    return feed


def subscribed(feed: Feed) -> Client:
    client = feed.join()
    client.topics = {ALL_ANOMALIES: ALL}
    return client


async def everything(client: Client) -> list[str]:
    """All that waits for a client, what it has missed too."""
    found: list[str] = []
    while client.waiting or client.replaying:
        found += await client.taken()
    return found


def drain(client: Client) -> list[str]:
    return asyncio.run(everything(client))


def test_a_subscriber_gets_each_event_once_and_in_order() -> None:
    feed, _ = make_feed()
    client, deaf = subscribed(feed), feed.join()
    events = [make_anomaly(1, sequence) for sequence in range(3)]
    feed.handle([received(event.encode(), offset) for offset, event in enumerate([*events, events[0]])])
    assert [json.loads(text) for text in drain(client)] == [
        {"type": "anomaly", "cursor": f"{MARK}-{offset + 1}", "data": json.loads(event.encode())}
        for offset, event in enumerate(events)
    ]
    assert deaf.waiting == 0


def test_an_event_reaches_who_has_its_severity_or_its_detector_and_once() -> None:
    feed = feed_of(Backlog(5, 1 << 20, dict), ApiMeters())
    event = make_anomaly(1)
    topics = (f"anomalies/{event.severity}", f"detectors/{event.detector.id}", "detectors/other", "anomalies/info")
    clients = [feed.join() for _ in topics]
    for client, topic in zip(clients, topics, strict=True):
        client.topics = {topic: ALL}
    both = feed.join()
    both.topics = dict.fromkeys(("anomalies", *topics), ALL)
    feed.handle([received(event.encode())])
    assert event.severity != "info"
    assert [client.waiting for client in (*clients, both)] == [1, 1, 0, 0, 1]


def test_what_is_published_reaches_who_has_the_topic() -> None:
    feed, _ = make_feed()
    watching, other = feed.join(), feed.join()
    watching.topics, other.topics = {"system": ALL, "training/a": ALL}, {"training/b": ALL}
    change = ComponentChange(component="detectors", status=Status.OK, reason="", before=None, time_ms=7)
    feed.publish("system", change)
    feed.publish("training/a", TRAINING)
    feed.publish("status", PARTITION)
    assert other.waiting == 0
    first, second = (SERVER_MESSAGE.validate_json(text) for text in drain(watching))
    assert first == SystemEvent(topic="system", data=change)
    assert second == TrainingEvent(topic="training/a", data=TRAINING)


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
    assert text == AnomalyEvent(cursor=f"{MARK}-1", data=event).model_dump_json()


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


def told(client: Client) -> list[tuple[str, str]]:
    """Number of each anomaly and its cursor."""
    found = [json.loads(text) for text in asyncio.run(everything(client))]
    return [(str(int(one["data"]["id"], 16)), one["cursor"].removeprefix(MARK)) for one in found]


def resumed(feed: Feed, cursor: str, wanted: Wanted = ALL) -> Client:
    client = feed.join()
    feed.resume(client, {ALL_ANOMALIES: wanted}, Cursor.parse(MARK + cursor))
    if client.missed is not None:
        client.offer(client.missed)
    return client


def test_who_resumes_gets_what_was_missed_and_then_what_comes() -> None:
    feed, meters = make_feed()
    feed.handle([received(make_anomaly(number).encode(), number // 2, number % 2) for number in range(4)])
    client = resumed(feed, "-1")
    feed.handle([received(make_anomaly(4).encode(), 2)])
    assert told(client) == [("1", "-1-1"), ("2", "-2-1"), ("3", "-2-2"), ("4", "-3-2")]
    assert told(resumed(feed, "-3-2")) == []
    assert meters.registry.get_sample_value("tocsin_api_backlog_events") == 5


def test_who_was_told_more_by_another_replica_gets_nothing_twice() -> None:
    feed, _ = make_feed()
    feed.handle([received(make_anomaly(0).encode())])
    client = resumed(feed, "-3-1")
    feed.handle([received(make_anomaly(number).encode(), number) for number in (1, 2)])
    feed.handle([received(make_anomaly(7).encode(), 1, 1), received(make_anomaly(3).encode(), 3)])
    assert told(client) == [("7", "-3-2"), ("3", "-4-2")]
    assert client.ahead == {}


def test_what_is_not_kept_any_more_is_said() -> None:
    feed, meters = make_feed()
    feed.handle([received(make_anomaly(number).encode(), number) for number in range(8)])
    assert [number for number, _ in told(resumed(feed, "-3"))] == ["3", "4", "5", "6", "7"]
    client = feed.join()
    for cursor in (f"{MARK}-2", MARK, "deadbeef-8"):
        with pytest.raises(Gone):
            feed.resume(client, {ALL_ANOMALIES: ALL}, Cursor.parse(cursor))
    assert client.topics == {}
    assert meters.registry.get_sample_value("tocsin_api_backlog_dropped_events_total") == 3


def test_what_stood_before_reading_began_is_gone() -> None:
    feed = feed_of(Backlog(5, 1 << 20, lambda: {0: 7, 1: 3}), ApiMeters())
    assert feed.cursor(feed.join()) == f"{MARK}-7-3"
    feed.handle([received(make_anomaly(1).encode(), 9)])
    with pytest.raises(Gone):
        resumed(feed, "-6-3")
    assert told(resumed(feed, "-7-3")) == [("1", "-10-3")]


def test_severity_and_labels_select_what_is_missed_and_what_comes() -> None:
    feed, _ = make_feed()
    shop = Wanted(frozenset({Severity.WARNING}), parse_selector('{job=~"sh.*"}'))
    other = AnomalySignal(labels={"job": "web"}, shape=Shape.RAW)
    events = [make_anomaly(1), make_anomaly(2, severity=Severity.INFO), make_anomaly(3, signal=other), make_anomaly(4)]
    feed.handle([received(event.encode(), offset) for offset, event in enumerate(events)])
    client = resumed(feed, "-0", shop)
    feed.handle([received(event.model_copy(update={"sequence": 1}).encode(), 4 + n) for n, event in enumerate(events)])
    assert [number for number, _ in told(client)] == ["1", "4", "1", "4"]


def test_what_comes_in_a_storm_is_taken_at_once_but_not_more_than_a_connection_takes() -> None:
    async def main() -> list[int]:
        client = Client(100)
        for number in range(100):
            client.offer(str(number))
        return [len(await client.taken()) for _ in range(2)]

    assert asyncio.run(main()) == [64, 36]


def test_a_client_whose_queue_fills_is_woken_before_its_turn() -> None:
    async def main() -> int:
        client = Client(10)
        taking = asyncio.create_task(client.taken())
        await asyncio.sleep(0)
        for number in range(6):
            client.offer(str(number))
        return len(await asyncio.wait_for(taking, 10))

    assert asyncio.run(main()) == 6


def test_a_client_that_nothing_waits_for_waits() -> None:
    feed, _ = make_feed()
    client = subscribed(feed)

    async def main() -> tuple[str, ...]:
        taking, waking = asyncio.create_task(client.taken()), asyncio.create_task(feed.wake_clients())
        await asyncio.sleep(0)
        assert not taking.done()
        feed.handle([received(make_anomaly().encode())])
        found = await asyncio.wait_for(taking, 10)
        waking.cancel()
        return found

    assert len(asyncio.run(main())) == 1


class Wire:
    """A connection that takes frames at once, or not."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.written: list[bytes] = []
        self.told = asyncio.Event()

    def write(self, frames: bytes) -> bool:
        if self.takes:
            self.written.append(frames)
            self.told.set()
        return self.takes


async def resting(client: Client, wire: Wire) -> asyncio.Task[tuple[str, ...]]:
    """The task of a client that has been sent all there was."""
    client.write = wire.write
    taking = asyncio.create_task(client.taken())
    await asyncio.sleep(0)
    return taking


def test_what_waits_is_written_at_once_where_the_connection_takes_it() -> None:
    async def main() -> tuple[int, bool]:
        client, wire = Client(10), Wire()
        taking = await resting(client, wire)
        for text in ("a", "b"):
            client.offer(text)
        sent = client.wake()
        await asyncio.sleep(0)
        taking.cancel()
        assert wire.written == [frames_of(("a", "b"))]
        assert (client.waiting, client.sent) == (0, 2)
        assert client.wake() == 0
        return sent, taking.done()

    assert asyncio.run(main()) == (2, False)


@pytest.mark.parametrize("count", [1, 65])
def test_what_is_not_written_at_once_is_left_to_the_task_of_the_client(count: int) -> None:
    async def main() -> tuple[str, ...]:
        client, wire = Client(200), Wire(takes=count > 1)
        taking = await resting(client, wire)
        texts = [str(number) for number in range(count)]
        for text in texts:
            client.offer(text)
        assert client.wake() == 0
        assert wire.written == []
        return await asyncio.wait_for(taking, 10)

    assert asyncio.run(main()) == tuple(str(number) for number in range(min(count, 64)))


def test_what_comes_while_something_missed_is_sent_stays_behind_it() -> None:
    feed, _ = make_feed()
    feed.handle([received(make_anomaly(number).encode(), number) for number in range(3)])

    async def main() -> list[str]:
        client, wire = feed.join(), Wire()
        taking = await resting(client, wire)
        feed.resume(client, {ALL_ANOMALIES: ALL}, Cursor.parse(f"{MARK}-1"))
        client.answer("answer")
        feed.handle([received(make_anomaly(3).encode(), 3)])
        assert client.wake() == 0
        assert wire.written == []
        return [*await asyncio.wait_for(taking, 10), *await everything(client)]

    answer, *events = asyncio.run(main())
    assert answer == "answer"
    assert [json.loads(text)["cursor"] for text in events] == [f"{MARK}-{number}" for number in (2, 3, 4)]


def test_what_is_written_at_once_is_counted() -> None:
    feed, meters = make_feed()

    async def main() -> None:
        client, wire = subscribed(feed), Wire()
        taking, waking = await resting(client, wire), asyncio.create_task(feed.wake_clients())
        feed.handle([received(make_anomaly(number).encode(), number) for number in range(3)])
        await asyncio.wait_for(wire.told.wait(), 10)
        await asyncio.sleep(0)
        waking.cancel()
        taking.cancel()

    asyncio.run(main())
    assert meters.registry.get_sample_value("tocsin_api_socket_messages_sent_total") == 3


def test_what_many_wish_alike_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of(Backlog(5, 1 << 20, dict), ApiMeters())
    judged: list[Selector] = []
    matches = Selector.matches

    def counted(self: Selector, labels: Mapping[str, str]) -> bool:
        judged.append(self)
        return matches(self, labels)

    monkeypatch.setattr(Selector, "matches", counted)
    clients = [feed.join() for _ in range(6)]
    for number, client in enumerate(clients):
        client.topics = {ALL_ANOMALIES: Wanted(selector=parse_selector(f'{{job="{"shop" if number % 2 else "web"}"}}'))}
    feed.handle([received(make_anomaly(1).encode())])
    assert [client.waiting for client in clients] == [0, 1] * 3
    assert len(judged) == 2
