"""Apache Kafka stops and starts again under load: the api says so, loses nothing, and goes on by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from api.problems import RETRYABLE
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import make_anomaly
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.brokers import ApacheKafka
from tests.conftest import unique_settings
from tests.integration.test_api_feed import RECV_S, produce

pytestmark = pytest.mark.integration

DELIVERY_S, READ_BACK_S = 2.0, 2.0
BOUND_S = DELIVERY_S + READ_BACK_S + 2.0
"""A write is answered within both, and what a busy machine takes."""
ANOMALIES = 10
PAUSE_S = 0.05


@pytest.fixture
def settings(apache: ApacheKafka) -> Iterator[KafkaSettings]:
    """Own topics on Apache Kafka, which runs again after a test that failed."""
    made = unique_settings(apache.bootstrap, 2).model_copy(update={"delivery_timeout_s": DELIVERY_S})
    create_topics(made)
    yield made
    if not apache.alive():
        apache.start()


@dataclass
class Load:
    """Asks the same way again and again, with another number each time, and keeps what was answered."""

    ask: Callable[[int], httpx.Response]
    answers: list[tuple[float, httpx.Response]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(PAUSE_S):
            began_s = time.monotonic()
            answer = self.ask(len(self.answers))
            self.answers.append((time.monotonic() - began_s, answer))

    def count(self, *, well: bool) -> int:
        return sum(answer.is_success is well for _, answer in self.answers)

    @property
    def done(self) -> list[tuple[int, httpx.Response]]:
        """Numbers and answers of what went well."""
        return [(number, answer) for number, (_, answer) in enumerate(self.answers) if answer.is_success]


@contextmanager
def under(*loads: Load) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=load.run, args=(stop,)) for load in loads]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def detector(number: int) -> dict[str, Any]:
    return {"name": f"n{number}", "kind": "mad", "selector": f'up{{n="{number}"}}'}


class Client:
    """A WebSocket client of anomalies and of the state of the api, read in a thread, that goes on where it was cut."""

    def __init__(self, api: RunningApi) -> None:
        self.told: list[str] = []
        self.changes: list[dict[str, Any]] = []
        self._api = api
        self._cursor: str | None = None
        self._connection: ClientConnection | None = None
        self._attached = threading.Event()
        self._thread: threading.Thread | None = None

    def attach(self) -> None:
        self._attached.clear()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self._attached.wait(RECV_S)

    def cut(self) -> None:
        assert self._connection is not None
        assert self._thread is not None
        self._connection.close()
        self._thread.join()

    def _read(self) -> None:
        wanted = {"type": "subscribe", "topics": ["anomalies", "system"]}
        with connect(self._api.socket_url) as self._connection:
            self._connection.send(json.dumps(wanted if self._cursor is None else {**wanted, "since": self._cursor}))
            for text in self._connection:
                message = json.loads(text)
                assert message["type"] != "error", message
                self._cursor = message.get("cursor", self._cursor)
                if message["type"] == "subscribed":
                    self._attached.set()
                elif message["type"] == "anomaly":
                    self.told.append(message["data"]["id"])
                elif message["type"] == "system":
                    self.changes.append(message["data"])


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_kafka_that_is_away_is_told_and_nothing_that_was_confirmed_is_lost(
    apache: ApacheKafka, settings: KafkaSettings, way: str
) -> None:
    events = [make_anomaly(number) for number in range(2 * ANOMALIES)]
    ids = [event.id for event in events]
    with ExitStack() as stack:
        api = stack.enter_context(running_api(api_settings(settings, api_read_back_timeout_s=READ_BACK_S)))
        configs = Load(lambda number: api.http.post("/api/detectors", json=detector(number)))
        comments = Load(
            lambda number: api.http.post(
                f"/api/anomalies/{ids[number % ANOMALIES]}/comments", json={"text": f"c{number}"}
            )
        )
        labels = Load(
            lambda number: api.http.post(f"/api/anomalies/{ids[1 + number % 5]}/acknowledge", json={"author": "ann"})
        )
        lists = Load(lambda number: api.http.get(("/api/detectors?limit=5", "/api/anomalies?limit=5")[number % 2]))
        writes, clients = (configs, comments, labels), [Client(api), Client(api)]
        for client in clients:
            client.attach()
            stack.callback(client.cut)
        produce(settings, events[:ANOMALIES])
        wait_for(lambda: all(len(client.told) == ANOMALIES for client in clients))

        with under(*writes, lists):
            wait_for(lambda: all(load.count(well=True) > 5 for load in writes))
            getattr(apache, way)()
            wait_for(lambda: api.http.get("/health").status_code == 503, "its health to say so")
            health = api.http.get("/health").json()
            assert health["components"]["kafka"]["status"] == "down"
            assert settings.kafka in health["components"]["kafka"]["reason"]
            wait_for(lambda: api.http.get("/ready").status_code == 503, "it to be not ready")
            assert api.http.get("/alive").status_code == 200
            wait_for(lambda: all(load.count(well=False) > 1 for load in writes), "writes to be refused")
            clients[1].cut()
            before = [load.count(well=True) for load in writes]
            apache.start()
            wait_for(lambda: api.http.get("/health").json()["components"]["kafka"]["status"] == "ok", "its health")
            wait_for(lambda: api.http.get("/ready").status_code == 200, "it to be ready")
            wait_for(
                lambda: all(load.count(well=True) > count + 5 for load, count in zip(writes, before, strict=True)),
                "writes to go on",
            )

        for load in writes:
            assert max(seconds for seconds, _ in load.answers) < BOUND_S
            refused = [answer for _, answer in load.answers if not answer.is_success]
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.json()["code"] for answer in refused} <= RETRYABLE
            assert all(answer.json()["retryable"] and answer.headers["retry-after"] for answer in refused)
        assert lists.count(well=False) == 0, "what is in memory is read meanwhile"

        clients[1].attach()
        produce(settings, events[ANOMALIES:])
        for client in clients:
            wait_for(lambda client=client: len(client.told) >= len(ids))
            assert sorted(client.told) == ids, "each once"

        def told_of_kafka() -> list[str]:
            return [change["status"] for change in clients[0].changes if change["component"] == "kafka"]

        wait_for(lambda: told_of_kafka()[-2:] == ["down", "ok"], "its state is looked at once a second")

        fresh = stack.enter_context(running_api(api_settings(settings)))
        for one in (api, fresh):
            wait_for(lambda one=one: one.http.get(f"/api/anomalies/{ids[0]}").status_code == 200)
            wait_for(lambda one=one: said(one, ids[:ANOMALIES]) >= {f"c{number}" for number, _ in comments.done})
            known = {made["id"]: made for made in detectors(one)}
            assert [answer.json() for _, answer in configs.done] == [
                known.get(answer.json()["id"]) for _, answer in configs.done
            ]
            for anomaly in ids[1:6]:
                assert one.http.get(f"/api/anomalies/{anomaly}").json()["feedback"]["acknowledged"]["author"] == "ann"


def said(api: RunningApi, ids: list[str]) -> set[str]:
    found = [api.http.get(f"/api/anomalies/{anomaly}").json()["feedback"]["comments"] for anomaly in ids]
    return {comment["text"] for comments in found for comment in comments}


def detectors(api: RunningApi) -> Iterator[dict[str, Any]]:
    after = ""
    while after is not None:
        page = api.http.get("/api/detectors", params={"limit": 1000, "after": after}).json()
        yield from page["detectors"]
        after = page["next"]
