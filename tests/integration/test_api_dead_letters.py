"""Dead letters of a real broker: listed, looked into, and written back to where they came from."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from connectors.codec.encode import encode_write_request
from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import (
    CONTROL_HEADER,
    DEAD_LETTER_BYTES_HEADER,
    DEAD_LETTER_ORIGIN_HEADER,
    DEAD_LETTER_REASON_HEADER,
    REPLAY_HEADER,
    Header,
    OutRecord,
)
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.apis import RunningApi, api_settings, ask, running_api
from tests.brokers import read_all
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

SAMPLES = encode_write_request([({"__name__": "up", "job": "shop"}, [(1_000, 1.0)])])
COUNT = 450
"""More than are read in one go."""


def letters(settings: KafkaSettings) -> Iterator[OutRecord]:
    for number in range(COUNT):
        reason = b"bad_json: x" if number % 100 == 7 else b"poison: wire type 7"
        origin = f"{settings.topics.metrics}/{number % 4}/{number}".encode()
        headers: list[Header] = [(DEAD_LETTER_REASON_HEADER, reason), (DEAD_LETTER_ORIGIN_HEADER, origin)]
        if number == 3:
            headers.append((DEAD_LETTER_BYTES_HEADER, b"950000"))
        headers.append((CONTROL_HEADER, b"1"))
        yield OutRecord(settings.topics.dead_letter, b"shop", SAMPLES, headers)


@pytest.fixture(scope="module", params=["broker", "apache_kafka"])
def settings(request: pytest.FixtureRequest) -> KafkaSettings:
    made = unique_settings(request.getfixturevalue(request.param))
    create_topics(made)
    return made


@pytest.fixture(scope="module")
def api(settings: KafkaSettings) -> Iterator[RunningApi]:
    with running_api(api_settings(settings)) as running:
        assert running.http.get("/api/dead-letters").json() == {"dead_letters": [], "next": None}
        producer = make_producer(settings, "test")
        confirm([send(producer, record) for record in letters(settings)], settings.delivery_timeout_s)
        producer.close()
        yield running


def test_they_are_listed_newest_first_page_by_page_and_by_reason(api: RunningApi) -> None:
    offsets, before = list[int](), dict[str, int]()
    while True:
        page = api.http.get("/api/dead-letters", params={"limit": 170, **before}).json()
        offsets += [one["offset"] for one in page["dead_letters"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert offsets == list(range(COUNT - 1, -1, -1))
    found = api.http.get("/api/dead-letters", params={"reason": "bad_json", "limit": 4}).json()
    assert [one["offset"] for one in found["dead_letters"]] == [407, 307, 207, 107]
    last = api.http.get("/api/dead-letters", params={"reason": "bad_json", "before": found["next"]}).json()
    assert ([one["offset"] for one in last["dead_letters"]], last["next"]) == ([7], None)


def test_one_is_shown_with_its_bytes(api: RunningApi, settings: KafkaSettings) -> None:
    shown = api.http.get("/api/dead-letters/0/5").json()
    assert (shown["reason"], shown["key"], shown["truncated"]) == ("poison: wire type 7", "shop", False)
    assert base64.b64decode(shown["value"]) == SAMPLES
    assert shown["origin"] == f"{settings.topics.metrics}/1/5"
    assert [CONTROL_HEADER, "1"] in shown["headers"]
    assert shown["decoded"]["kind"] == "control"


@pytest.mark.parametrize("place", ["0/100000", "7/0"])
def test_what_is_not_there_is_not_found(api: RunningApi, place: str) -> None:
    for answer in (api.http.get(f"/api/dead-letters/{place}"), api.http.post(f"/api/dead-letters/{place}/replay")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_replay_stands_where_it_came_from_and_is_marked(api: RunningApi, settings: KafkaSettings) -> None:
    answer = api.http.post("/api/dead-letters/0/6/replay")
    assert answer.json() == {"topic": settings.topics.metrics, "partition": 2, "replay_of": "0/6"}
    (record,) = read_all(settings, settings.topics.metrics)
    assert (record.partition, record.key, record.value) == (2, b"shop", SAMPLES)
    assert record.headers == [(CONTROL_HEADER, b"1"), (REPLAY_HEADER, b"0/6")]


def test_what_is_cut_is_not_replayed(api: RunningApi) -> None:
    answer = api.http.post("/api/dead-letters/0/3/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_replayable")
    assert "950000 bytes" in answer.json()["detail"]


def test_without_kafka_it_says_so() -> None:
    from api.app import create_app

    app = create_app(api_settings(KafkaSettings(kafka="127.0.0.1:1", delivery_timeout_s=1.0)))
    assert ask(app, "GET", "/api/dead-letters").status_code == 503


def test_fifty_readers_are_all_answered_and_share_what_is_the_same(api: RunningApi) -> None:
    def read(number: int) -> httpx.Response:
        return api.http.get("/api/dead-letters", params={"limit": 10 + number % 10})

    made = api.metric("tocsin_api_shared_answers_total", result="made")
    with ThreadPoolExecutor(50) as readers:
        answers = list(readers.map(read, range(50)))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert {len(answer.json()["dead_letters"]) for answer in answers} == set(range(10, 20))
    assert api.metric("tocsin_api_shared_answers_total", result="made") - made < 40
    assert api.metric("tocsin_api_work", kind="dead-letters") == 0
