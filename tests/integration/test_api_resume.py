"""A WebSocket client that is cut again and again resumes on whichever api is there: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import make_anomaly
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.conftest import unique_settings
from tests.integration.test_api_feed import RECV_S, produce

pytestmark = pytest.mark.integration

EPISODES, EVENTS = 30, 400
Told = tuple[str, int]


@pytest.fixture(scope="module")
def kafka(broker: str) -> KafkaSettings:
    settings = unique_settings(broker)
    create_topics(settings)
    return settings


@pytest.fixture(scope="module")
def apis(kafka: KafkaSettings) -> Iterator[list[RunningApi]]:
    with ExitStack() as running:
        yield [running.enter_context(running_api(api_settings(kafka))) for _ in range(2)]


def feed(kafka: KafkaSettings, seed: int, prefix: int) -> set[Told]:
    """Write events of many episodes; now and then the last ones again, as a flow writes them that was killed."""
    chance = random.Random(seed)
    sequences = Counter[int]()
    written = []
    while len(written) < EVENTS:
        batch = []
        for _ in range(chance.randint(1, 12)):
            number = prefix + chance.randrange(EPISODES)
            batch.append(make_anomaly(number, sequences[number]))
            sequences[number] += 1
        again = chance.randint(1, 8) if chance.random() < 0.2 else 0
        produce(kafka, [*batch, *([*written, *batch][-again:] if again else [])])
        written += batch
    return {(event.id, event.sequence) for event in written}


class Cut:
    """A client that is cut at random moments and goes on with what it has."""

    def __init__(self, seed: int) -> None:
        self.told: list[Told] = []
        self.cursor: str | None = None
        self._chance = random.Random(seed)

    def connect_once(self, api: RunningApi, most: int) -> None:
        """Read some messages, then let the connection break with whatever is under way."""
        with connect(api.socket_url) as client:
            wanted = {"type": "subscribe", "topics": ["anomalies"]}
            client.send(json.dumps(wanted if self.cursor is None else {**wanted, "since": self.cursor}))
            for _ in range(self._chance.randint(0, most)):
                try:
                    self._take(json.loads(client.recv(0.2)))
                except TimeoutError:
                    break
            client.socket.close()

    def _take(self, message: dict[str, object]) -> None:
        assert message["type"] != "error", message
        assert isinstance(message["cursor"], str)
        self.cursor = message["cursor"]
        if message["type"] == "anomaly":
            data = message["data"]
            assert isinstance(data, dict)
            self.told.append((data["id"], data["sequence"]))


@pytest.mark.parametrize("seed", [1])
def test_a_client_that_is_cut_gets_every_event_once_and_in_order(
    apis: list[RunningApi], kafka: KafkaSettings, seed: int
) -> None:
    chance, cut = random.Random(seed), Cut(seed)
    with connect(apis[0].socket_url) as client:  # a cursor from before the first event
        client.send('{"type": "ping"}')
        cut.cursor = json.loads(client.recv(RECV_S))["cursor"]
    with ThreadPoolExecutor(1) as other, ExitStack() as later:
        writing = other.submit(feed, kafka, seed, 1000 * seed)
        while not writing.done():
            cut.connect_once(chance.choice(apis), 40)
        written = writing.result()
        third = later.enter_context(running_api(api_settings(kafka)))  # one that has seen nothing of it come

        def complete() -> bool:
            cut.connect_once(chance.choice([*apis, third]), 80)
            return len(cut.told) >= len(written)

        wait_for(complete)
        assert cut.cursor is not None
        cut.connect_once(third, 80)
    assert [told for told, times in Counter(cut.told).items() if times > 1] == []
    sequences = defaultdict(list)
    for anomaly, sequence in cut.told:
        sequences[anomaly].append(sequence)
    assert set(cut.told) == written
    for anomaly, found in sequences.items():
        assert found == list(range(len(found))), anomaly


def test_a_cursor_that_is_too_old_is_told(kafka: KafkaSettings) -> None:
    with running_api(api_settings(kafka, api_backlog_events=5)) as api:
        produce(kafka, [make_anomaly(number) for number in range(20)])
        wait_for(lambda: api.metric("tocsin_api_backlog_dropped_events_total") >= 15)
        with connect(api.socket_url) as client:
            client.send('{"type": "ping"}')
            mark = json.loads(client.recv(RECV_S))["cursor"].partition("-")[0]
            for since in (f"{mark}-0-0-0-0", "00000000-9-9-9-9"):
                client.send(json.dumps({"type": "subscribe", "topics": ["anomalies"], "since": since}))
                refused = json.loads(client.recv(RECV_S))
                assert (refused["type"], refused["code"]) == ("error", "cursor_gone")


def test_operators_see_who_is_connected(apis: list[RunningApi]) -> None:
    api = apis[1]
    asked = {"type": "subscribe", "topics": ["anomalies", "system"], "severities": ["critical"], "selector": "up"}
    with connect(api.socket_url) as first, connect(api.socket_url) as second:
        first.send(json.dumps(asked))
        first.recv(RECV_S)
        second.send('{"type": "ping"}')
        second.recv(RECV_S)
        page = api.http.get("/api/connections", params={"limit": 1}).json()
        (shown,) = page["connections"]
        assert (page["total"], shown["sent"], shown["waiting"], shown["slow"]) == (2, 1, 0, False)
        assert shown["topics"] == [
            {"topic": topic, "severities": ["critical"], "selector": '{__name__="up"}'} for topic in asked["topics"]
        ]
        assert shown["peer"].startswith("127.0.0.1:")
        (other,) = api.http.get("/api/connections", params={"after": page["next"]}).json()["connections"]
        assert (other["topics"], other["id"] != shown["id"]) == ([], True)
    wait_for(lambda: api.http.get("/api/connections").json()["total"] == 0)
