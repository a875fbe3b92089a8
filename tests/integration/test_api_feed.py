"""Anomalies in Kafka reach real WebSocket clients of a real server, and a slow client harms nobody."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx
import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from connectors.anomaly import Anomaly, AnomalySignal, Severity
from connectors.detector import Shape
from connectors.kafka_clients import confirm, make_producer
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import closed, make_anomaly
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

RECV_S = 20.0
INVALID_DATA = 1007
"""Code of a close, RFC 6455 7.4.1."""


def produce(settings: KafkaSettings, events: list[Anomaly]) -> None:
    """Write events as the flow does: keyed by id."""
    producer = make_producer(settings, "test")
    sent = [producer.send(settings.topics.anomalies, key=event.id.encode(), value=event.encode()) for event in events]
    confirm(sent, settings.delivery_timeout_s)
    producer.close()


def subscribe(client: ClientConnection) -> ClientConnection:
    client.send(json.dumps({"type": "subscribe", "topics": ["anomalies"]}))
    answer = json.loads(client.recv(RECV_S))
    assert (answer["type"], answer["version"], answer["topics"]) == ("subscribed", 1, ["anomalies"])
    return client


def receive(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Messages without their cursors, which an event always has."""
    found = [json.loads(client.recv(RECV_S)) for _ in range(count)]
    assert all(message.get("cursor") for message in found if message["type"] == "anomaly")
    return [{key: value for key, value in message.items() if key != "cursor"} for message in found]


def as_messages(events: list[Anomaly]) -> list[dict[str, Any]]:
    return [{"type": "anomaly", "data": json.loads(event.encode())} for event in events]


@pytest.fixture
def api(kafka_settings: KafkaSettings) -> Iterator[RunningApi]:
    with running_api(api_settings(kafka_settings)) as running:
        yield running


@pytest.fixture(scope="module")
def silent(broker: str) -> Iterator[RunningApi]:
    """One api without anomalies for all tests that only ask."""
    kafka = unique_settings(broker)
    create_topics(kafka)
    with running_api(api_settings(kafka)) as running:
        yield running


def test_an_anomaly_reaches_every_subscriber_and_rest(api: RunningApi, kafka_settings: KafkaSettings) -> None:
    opened = make_anomaly(1)
    events = [opened, make_anomaly(1, 1), closed(make_anomaly(1, 1))]
    with connect(api.socket_url) as first, connect(api.socket_url) as second, connect(api.socket_url) as deaf:
        subscribe(first)
        subscribe(second)
        produce(kafka_settings, events)
        assert receive(first, 3) == receive(second, 3) == as_messages(events)
        deaf.send('{"type": "ping"}')
        assert receive(deaf, 1) == [{"type": "pong"}]
        assert api.metric("tocsin_api_socket_clients") == 3
    assert api.http.get("/api/anomalies").json() == {"anomalies": [json.loads(events[-1].encode())], "next": None}
    assert api.http.get(f"/api/anomalies/{opened.id}").json()["event"] == "closed"
    assert api.metric("tocsin_api_anomaly_events_total", result="next") == 2
    wait_for(lambda: api.metric("tocsin_api_socket_clients") == 0)


def test_a_client_that_unsubscribed_gets_no_more(api: RunningApi, kafka_settings: KafkaSettings) -> None:
    with connect(api.socket_url) as leaving, connect(api.socket_url) as staying:
        subscribe(leaving)
        subscribe(staying)
        leaving.send(json.dumps({"type": "unsubscribe", "topics": ["anomalies"]}))
        assert receive(leaving, 1) == [{"type": "subscribed", "version": 1, "topics": [], "missed": 0}]
        produce(kafka_settings, [make_anomaly(1)])
        assert receive(staying, 1) == as_messages([make_anomaly(1)])
        leaving.send('{"type": "ping"}')
        assert receive(leaving, 1) == [{"type": "pong"}]


class Unread:
    """A client that subscribes and then leaves everything in its socket, until ``read_to_the_end``."""

    def __init__(self, api: RunningApi) -> None:
        self._protocol = ClientProtocol(parse_uri(api.socket_url))
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(RECV_S)
        self._socket.connect(("127.0.0.1", api.port))
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while not isinstance(self._next(), Response):
            pass
        self._protocol.send_text(b'{"type": "subscribe", "topics": ["anomalies"]}')
        self._flush()
        assert b"subscribed" in self._next().data

    def read_to_the_end(self) -> int:
        """Read all that was sent; returns the close code."""
        while self._protocol.close_code is None:
            self._next()
        return self._protocol.close_code

    def _next(self) -> Any:
        while not (events := self._protocol.events_received()):
            data = self._socket.recv(65_536)
            if not data:
                self._protocol.receive_eof()
                return None
            self._protocol.receive_data(data)
            self._flush()
        return events[-1]

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def overflow(api: RunningApi, settings: KafkaSettings, quick: ClientConnection) -> int:
    """Send events until a client is closed as slow; ``quick`` reads them all. Returns how many were sent."""
    sent, size = 0, 30
    wide = AnomalySignal(labels={"__name__": "x" * 20_000}, shape=Shape.RAW)
    while api.metric("tocsin_api_socket_clients_closed_total", reason="slow") == 0:
        batch = [make_anomaly(sent + number, signal=wide) for number in range(size)]
        produce(settings, batch)
        ids = [message["data"]["id"] for message in receive(quick, size)]
        assert sorted(ids) == [event.id for event in batch]
        sent += size
    return sent


def test_a_slow_client_is_closed_with_its_code_and_others_lose_nothing(kafka_settings: KafkaSettings) -> None:
    settings = api_settings(kafka_settings, api_client_queue=100, api_slow_close_s=30)
    with running_api(settings) as api, Unread(api) as slow, connect(api.socket_url) as quick:
        subscribe(quick)
        sent = overflow(api, kafka_settings, quick)
        assert slow.read_to_the_end() == 4008
        produce(kafka_settings, [make_anomaly(sent)])
        assert receive(quick, 1) == as_messages([make_anomaly(sent)])
        wait_for(lambda: api.metric("tocsin_api_socket_clients") == 1)


def test_a_client_that_never_reads_again_is_cut_off(kafka_settings: KafkaSettings) -> None:
    settings = api_settings(kafka_settings, api_client_queue=100, api_slow_close_s=0.2)
    with running_api(settings) as api, Unread(api) as stuck, connect(api.socket_url) as quick:
        subscribe(quick)
        sent = overflow(api, kafka_settings, quick)
        assert sent <= 210, "100 in the queue, 64 of a write and 13 in the kernel, which would take 140"
        wait_for(lambda: api.metric("tocsin_api_socket_clients") == 1)
        assert stuck.read_to_the_end() == 1006, "ended without a close frame"


def test_more_clients_than_allowed_are_told_to_try_later(kafka_settings: KafkaSettings) -> None:
    with running_api(api_settings(kafka_settings, api_max_clients=1)) as api, connect(api.socket_url) as first:
        subscribe(first)
        with connect(api.socket_url) as second, pytest.raises(ConnectionClosed) as caught:
            second.recv(RECV_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013
        assert api.metric("tocsin_api_socket_clients_closed_total", reason="too_many") == 1


def test_bad_messages_are_answered_and_too_large_ones_end_it(api: RunningApi, kafka_settings: KafkaSettings) -> None:
    with connect(api.socket_url) as client:
        for text, code in (("{", "bad_json"), ('{"type": "x"}', "unknown_type"), (b"\x00", "bad_message")):
            client.send(text)
            (answer,) = receive(client, 1)
            assert (answer["type"], answer["code"]) == ("error", code)
        subscribe(client)
        produce(kafka_settings, [make_anomaly()])
        assert receive(client, 1) == as_messages([make_anomaly()])
        client.send("x" * 20_000)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(RECV_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_text_that_is_no_utf_8_ends_its_connection_and_fills_no_log(
    api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    handshake = (
        f"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as raw, raw.makefile("rb") as answer:
        raw.sendall(handshake.encode())
        assert answer.readline().startswith(b"HTTP/1.1 101")
        raw.sendall(b"\x81\x82" + bytes(4) + b"\xff\xfe")
        assert INVALID_DATA.to_bytes(2, "big") in answer.read(), "it is closed, and told why"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_recent_anomalies_are_loaded_at_the_start_and_bounded(kafka_settings: KafkaSettings) -> None:
    events = [make_anomaly(number, severity=list(Severity)[number % 3]) for number in range(30)]
    produce(kafka_settings, events)
    with running_api(api_settings(kafka_settings, api_recent_anomalies=20)) as api:
        first = api.http.get("/api/anomalies", params={"limit": 12}).json()
        second = api.http.get("/api/anomalies", params={"limit": 12, "before": first["next"]}).json()
        ids = [anomaly["id"] for anomaly in first["anomalies"] + second["anomalies"]]
        assert ids == [event.id for event in reversed(events[6:])]  # beyond the recent ones there is the history
        assert second["next"] is not None
        critical = api.http.get("/api/anomalies", params={"severity": "critical"}).json()["anomalies"]
        assert [anomaly["id"] for anomaly in critical] == [
            event.id for event in reversed(events) if event.severity is Severity.CRITICAL
        ]
        assert api.metric("tocsin_api_recent_anomalies") == 20
        assert api.metric("tocsin_api_evicted_anomalies_total") == 10


def test_large_anomalies_are_kept_and_paged_by_their_bytes(kafka_settings: KafkaSettings) -> None:
    """Eight readers of large pages at once, and the process answers all the while."""
    events = [make_anomaly(number, sentence="x" * 60_000) for number in range(140)]
    produce(kafka_settings, events)
    with running_api(api_settings(kafka_settings, api_recent_bytes=8 << 20)) as api:
        assert 8_000_000 < api.metric("tocsin_api_recent_anomalies_bytes") <= 8 << 20
        kept = int(api.metric("tocsin_api_recent_anomalies"))
        assert kept + api.metric("tocsin_api_evicted_anomalies_total") == 140
        with ThreadPoolExecutor(8) as readers:
            asked = [readers.submit(pages, api) for _ in range(8)]
            while not all(one.done() for one in asked):
                assert api.http.get("/alive", timeout=2.0).status_code == 200
        for read in (one.result() for one in asked):
            assert [anomaly["id"] for page in read for anomaly in page] == [e.id for e in reversed(events)]
            assert len(read) == 3


def pages(api: RunningApi) -> list[list[dict[str, object]]]:
    """All pages of at most a thousand, none of which has more than 4 MiB."""
    read: list[list[dict[str, object]]] = []
    before: dict[str, str] = {}
    with httpx.Client(base_url=api.url, timeout=30.0) as http:
        while True:
            answer = http.get("/api/anomalies", params={"limit": "1000", **before})
            assert len(answer.content) <= 4 << 20
            page = answer.json()
            read.append(page["anomalies"])
            if page["next"] is None:
                return read
            before = {"before": page["next"]}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 422, "limit"),
        ("limit=1001", 422, "limit"),
        ("severity=bad", 422, "severity"),
        ("sort=best", 422, "sort"),
        ("from_ms=99999999999999999999", 422, "from_ms"),
        ("before=x", 400, "before"),
        (f"sort=-surprise&before=1-{'0' * 32}", 400, "sort=-surprise"),
        ("label=job", 400, "label"),
        ("label=" + "&label=".join("a=b" for _ in range(11)), 422, "label"),
    ],
)
def test_a_bad_query_is_refused(silent: RunningApi, query: str, status: int, field: str) -> None:
    answer = silent.http.get(f"/api/anomalies?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert field in answer.json()["detail"]
    assert silent.http.get("/api/anomalies/unknown").json()["code"] == "not_found"
