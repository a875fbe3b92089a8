"""Detectors through the log in Kafka: one winner per revision, the same on all replicas, nothing answered is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.revisions import AUTHOR
from connectors.detector import DetectorConfig, DetectorRevision
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.apis import RunningApi, api_process, api_settings, running_api, wait_for
from tests.brokers import Embedded, free_port
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration


def config(name: str = "up", threshold: float = 8.0, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "mad",
        "selector": '{__name__="up"}',
        "params": {"window": 60},
        "threshold": threshold,
        **changes,
    }


@pytest.fixture
def api(kafka_settings: KafkaSettings) -> Iterator[RunningApi]:
    with running_api(api_settings(kafka_settings)) as running:
        yield running


@pytest.fixture(scope="module")
def refusing(broker: str) -> Iterator[RunningApi]:
    """One api for all tests whose every request is refused."""
    kafka = unique_settings(broker)
    create_topics(kafka)
    with running_api(api_settings(kafka)) as running:
        yield running


def all_detectors(api: RunningApi) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/api/detectors?limit=1000").json()["detectors"]
    return found


def test_the_life_of_a_detector(api: RunningApi) -> None:
    made = api.http.post("/api/detectors", json=config())
    assert (made.status_code, made.headers["etag"], made.json()["revision"]) == (201, '"1"', 1)
    path = made.headers["location"]
    read = api.http.get(path)
    assert (read.json(), read.headers["etag"]) == (made.json(), '"1"')
    assert all_detectors(api) == [made.json()]

    put = api.http.put(path, json=config("renamed"), headers={"If-Match": '"1"'})
    assert (put.status_code, put.headers["etag"]) == (200, '"2"')
    assert put.json()["config"]["name"] == "renamed"
    assert api.http.get(path).json() == put.json()

    assert api.http.delete(path, headers={"If-Match": '"1"'}).status_code == 412
    gone = api.http.delete(path, headers={"If-Match": '"2"'})
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.http.get(path).status_code == 404
    assert all_detectors(api) == []


def test_a_change_needs_if_match(api: RunningApi) -> None:
    path = api.http.post("/api/detectors", json=config()).headers["location"]
    for answer in (api.http.put(path, json=config("b")), api.http.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")
    stale = api.http.put(path, json=config("b"), headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_revision")
    assert api.http.get(path).json()["revision"] == 1


@pytest.mark.parametrize(
    ("body", "field", "right"),
    [
        (config(kind="maad"), "kind", "mad"),
        (config(params={"window": 0}), "params.window", "greater"),
        (config(params={"windows": 9}), "params.windows", "window"),
        (config(selector="{up"), "selector", "expected"),
        (config(selector='{a=~"("}'), "selector", "RE2"),
        (config(threshold=-1), "threshold", "greater than 0"),
        (config(colour="red"), "colour", "there is no field 'colour': those are name, kind, selector, params, "),
        (config(group={"labels": ["a"]}), "group.labels", "those of group are by, without, aggregate, "),
        ({"kind": "mad", "selector": "up"}, "name", "must be given"),
        (config(name=" \t"), "name", "a character that can be seen"),
    ],
)
def test_a_config_that_cannot_run_names_field_and_cure(
    refusing: RunningApi, body: dict[str, Any], field: str, right: str
) -> None:
    answer = refusing.http.post("/api/detectors", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem["retryable"]) == ("invalid", False)
    (error,) = problem["errors"]
    assert error["field"] == field
    assert right.lower() in error["expected"].lower()
    assert all_detectors(refusing) == []


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"null", "application/json", 422),
        (b"[" * 30_000, "application/json", 400),
        (b'{"name": "\\ud800", "kind": "mad", "selector": "up", "\\ud800": 1}', "application/json", 400),
        (b'{"name": "n", "kind": "mad", "selector": "up", "group": {"by": ["\\udc00"]}}', "application/json", 400),
        (b'{"name": "\\ud83d\\ude00", "kind": "mda", "selector": "\\\\ud800"}', "application/json", 422),
        (b'{"name": "n", "kind": "mad", "selector": "up", "params": {"window": NaN}}', "application/json", 422),
        (json.dumps(config()).encode(), "text/plain", 415),
        (json.dumps(config()).encode(), "application/merge-patch+json", 415),
        (json.dumps(config()).encode(), "application/json; charset=latin-1", 415),
        (b"{", 'application/json; charset="UTF-8"', 400),
        (b" " * 70_000, "application/json", 413),
    ],
)
def test_a_bad_body_is_the_clients_fault(refusing: RunningApi, body: bytes, media_type: str, status: int) -> None:
    answer = refusing.http.post("/api/detectors", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 30_000, "it nests too deep"),
        (b'{"name": "caf\xe9", "selector": "up"}', "byte 13 is 0xe9, where UTF-8 has none such"),
        (b'{"name": "n", "selector": "up", "threshold": ' + b"9" * 5_000 + b"}", "more digits than are read, 4300"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_with_the_reason(refusing: RunningApi, body: bytes, says: str) -> None:
    answer = refusing.http.post("/api/detectors", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("body: not JSON: ")
    assert says in answer.json()["detail"]


def test_a_compressed_body_is_refused_by_name(refusing: RunningApi) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = refusing.http.post("/api/detectors", content=gzip.compress(json.dumps(config()).encode()), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding: gzip" in answer.json()["detail"]


def test_another_detector_that_computes_the_same_is_named(api: RunningApi) -> None:
    first = api.http.post("/api/detectors", json=config("first")).json()
    twin = api.http.post("/api/detectors", json=config("second"))
    assert (twin.status_code, twin.json()["code"]) == (409, "duplicate_detector")
    assert first["id"] in twin.json()["detail"]


def test_a_twin_written_through_another_replica_at_the_same_time_is_named_too(kafka_settings: KafkaSettings) -> None:
    with running_api(api_settings(kafka_settings)) as one, running_api(api_settings(kafka_settings)) as two:
        for threshold in (8.0, 9.0, 10.0):
            with ThreadPoolExecutor(2) as threads:
                answers = list(
                    threads.map(
                        lambda api, t=threshold: api.http.post("/api/detectors", json=config("x", t)), (one, two)
                    )
                )
            assert sorted(answer.status_code for answer in answers) == [201, 409]
            winner, loser = sorted(answers, key=lambda answer: answer.status_code)
            assert winner.json()["id"] in loser.json()["detail"]


def test_conflicting_writes_on_two_replicas_have_one_winner_per_revision(kafka_settings: KafkaSettings) -> None:
    with running_api(api_settings(kafka_settings)) as one, running_api(api_settings(kafka_settings)) as two:
        path = one.http.post("/api/detectors", json=config()).headers["location"]
        wait_for(lambda: two.http.get(path).status_code == 200)
        rounds, writers = 5, 6

        def write(revision: int, writer: int) -> httpx.Response:
            api = (one, two)[writer % 2]
            name = f"revision {revision + 1} by {writer}"
            return api.http.put(path, json=config(name), headers={"If-Match": f'"{revision}"'})

        for revision in range(1, rounds + 1):
            with ThreadPoolExecutor(writers) as threads:
                answers = list(threads.map(lambda writer, r=revision: write(r, writer), range(writers)))
            assert sorted(answer.status_code for answer in answers) == [200] + [412] * (writers - 1)
            (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
            assert winner["revision"] == revision + 1
            for api in (one, two):
                wait_for(lambda api=api, r=revision: api.http.get(path).json()["revision"] == r + 1)
                assert api.http.get(path).json() == winner
        assert all_detectors(one) == all_detectors(two)


def test_a_restart_shows_the_same_detectors(kafka_settings: KafkaSettings) -> None:
    with running_api(api_settings(kafka_settings)) as api:
        for number in range(5):
            api.http.post("/api/detectors", json=config(f"n{number}", 8 + number))
        path = f"/api/detectors/{all_detectors(api)[2]['id']}"
        api.http.delete(path, headers={"If-Match": "*"})
        before = all_detectors(api)
    assert len(before) == 4
    with running_api(api_settings(kafka_settings)) as api:
        assert all_detectors(api) == before


def test_kill_9_loses_nothing_that_was_answered(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    settings = api_settings(kafka_settings)
    answered: list[dict[str, Any]] = []
    with api_process(settings, tmp_path / "api.log") as api:
        assert api.process is not None

        def create(number: int) -> None:
            try:
                answer = api.http.post("/api/detectors", json=config(f"n{number}", 8 + number / 100))
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                answered.append(answer.json())

        with ThreadPoolExecutor(4) as threads:
            work = [threads.submit(create, number) for number in range(400)]
            wait_for(lambda: len(answered) >= 30)
            api.process.kill()
            for item in work:
                item.result()
    assert 30 <= len(answered) < 400
    with api_process(settings, tmp_path / "api.log") as again:
        found = {detector["id"]: detector for detector in all_detectors(again)}
        assert [found.get(detector["id"]) for detector in answered] == answered


def test_kafka_gone_is_503_and_the_api_says_so(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path)
    broker.start()
    try:
        kafka = unique_settings(broker.bootstrap).model_copy(update={"delivery_timeout_s": 2.0})
        create_topics(kafka)
        with running_api(api_settings(kafka)) as api:
            made = api.http.post("/api/detectors", json=config())
            assert made.status_code == 201
            broker.kill()
            refused = api.http.post("/api/detectors", json=config("other", 9))
            assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (
                503,
                "kafka_unavailable",
                True,
            )
            assert refused.headers["retry-after"]
            assert all_detectors(api) == [made.json()]
            assert api.http.get("/alive").status_code == 200
    finally:
        broker.stop()


def test_a_write_that_is_not_read_back_in_time_is_503_and_says_what_to_do(kafka_settings: KafkaSettings) -> None:
    with running_api(api_settings(kafka_settings, api_read_back_timeout_s=1e-6)) as api:
        answer = api.http.post("/api/detectors", json=config())
        assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
        wait_for(lambda: len(all_detectors(api)) == 1)
        assert all_detectors(api)[0]["id"] in answer.json()["detail"]


def test_the_same_on_apache_kafka(apache_kafka: str) -> None:
    kafka = unique_settings(apache_kafka)
    create_topics(kafka)
    with running_api(api_settings(kafka)) as one, running_api(api_settings(kafka)) as two:
        path = one.http.post("/api/detectors", json=config()).headers["location"]
        wait_for(lambda: two.http.get(path).status_code == 200)
        with ThreadPoolExecutor(2) as threads:
            answers = list(
                threads.map(
                    lambda api: api.http.put(path, json=config(f"by {api.port}"), headers={"If-Match": '"1"'}),
                    (one, two),
                )
            )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        wait_for(lambda: all_detectors(one) == all_detectors(two) and all_detectors(one)[0]["revision"] == 2)


def test_before_the_topics_are_read_nothing_is_answered_wrongly() -> None:
    nowhere = KafkaSettings(kafka=f"127.0.0.1:{free_port()}", delivery_timeout_s=1)
    with running_api(api_settings(nowhere), until_ready=False) as api:
        ready = api.http.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "still reading tocsin.detectors; Kafka at" in ready.json()["reason"]
        assert api.http.get("/health").json()["status"] == "down"
        for path in ("/api/detectors", "/api/anomalies"):
            answer = api.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "loading")


def test_the_record_is_what_the_contract_says(api: RunningApi, kafka_settings: KafkaSettings) -> None:
    from connectors.topic_log import LogReader, TopicLog

    made = api.http.post("/api/detectors", json=config()).json()
    log = TopicLog(kafka_settings.topics.detectors)
    with LogReader(kafka_settings, log) as reader:
        (record,) = reader.read(log, 0, 1, 10)
    assert record.key == made["id"].encode()
    revision = DetectorRevision.decode(record.value or b"")
    assert (revision.detector_id, revision.base_revision, revision.author) == (made["id"], 0, AUTHOR)
    assert revision.config == DetectorConfig.model_validate(config())
    assert revision.time_ms == made["updated_ms"]
