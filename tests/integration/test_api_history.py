"""The history behind a real api: nothing is lost and nothing comes twice, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.sync.client import connect

from api import history, rule_proposal
from api.settings import ApiSettings
from connectors import follower
from connectors.anomaly import Anomaly, AnomalyDetector, Direction
from connectors.clock import wall_clock_ms
from connectors.feedback import Rule
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import START_MS, closed, make_anomaly
from tests.apis import DEADLINE_S, RunningApi, api_process, api_settings, running_api, wait_for
from tests.brokers import Embedded, free_port
from tests.conftest import unique_settings
from tests.integration.test_api_feed import produce, receive, subscribe
from tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.integration


def settings_with(kafka: KafkaSettings, store_url: str, **changes: Any) -> ApiSettings:
    """An api with this store that remembers little beside it."""
    return api_settings(kafka, api_store=SecretStr(store_url), api_recent_anomalies=5, **changes)


def listed(api: RunningApi, **query: str) -> list[str]:
    """Ids of all pages, asked for again as often as the api says that it cannot tell yet."""
    ids: list[str] = []
    following: dict[str, str] = {}
    while True:
        page = answered(lambda: api.http.get("/api/anomalies", params={"limit": "50", **query, **following}))  # noqa: B023
        ids += [anomaly["id"] for anomaly in page["anomalies"]]
        if page["next"] is None:
            return ids
        following = {"before": page["next"]}


def answered(ask: Callable[[], httpx.Response]) -> Any:
    """What is answered once the history is read as far as it was told."""
    answers: list[httpx.Response] = []

    def asked() -> bool:
        answers.append(ask())
        return answers[-1].status_code != HTTPStatus.SERVICE_UNAVAILABLE

    wait_for(asked, "an answer from the history")
    return answers[-1].json()


def ids_of(numbers: range) -> list[str]:
    return [make_anomaly(number).id for number in numbers]


def component(api: RunningApi, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get("/health").json()["components"][name]
    return found


def test_what_a_client_was_just_told_is_found_at_once(kafka_settings: KafkaSettings, store_url: str) -> None:
    with running_api(settings_with(kafka_settings, store_url)) as api, connect(api.socket_url) as client:
        subscribe(client)
        for number in range(10):
            event = make_anomaly(number)
            produce(kafka_settings, [event])
            receive(client, 1)
            assert listed(api, label="job=shop", sort="-surprise", from_ms=str(event.time_ms)) == [event.id]
            both = api.http.get("/api/anomalies?label=job=shop&label=job=other").json()
            assert both["anomalies"] == [], "each must hold, and one signal has one job"
        assert listed(api) == ids_of(range(9, -1, -1))
        assert listed(api, sort="time", to_ms=str(START_MS + 120_000)) == ids_of(range(2))
        assert listed(api, label="job=other") == []
        refused = api.http.get("/api/anomalies", params={"from_ms": "2000", "to_ms": "1999"}).json()
        assert refused["errors"] == [
            {"field": "to_ms", "value": "1999", "expected": "must not be before from_ms = 2000"}
        ]
        assert api.http.get(f"/api/anomalies/{make_anomaly(1).id}").json()["sequence"] == 0
        assert api.metric("tocsin_api_history_events_total", result="new") == 10
        assert (component(api, "store")["status"], component(api, "history")["status"]) == ("ok", "ok")


def test_a_history_that_rests_is_woken_by_what_is_live(
    kafka_settings: KafkaSettings, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "REST_S", 3600.0)
    with running_api(settings_with(kafka_settings, store_url)) as api:
        assert api.context is not None
        reader = api.context.copying
        wait_for(lambda: reader._follower is not None and reader._follower._answers._pausing, "the rest")
        produce(kafka_settings, [make_anomaly(1)])
        wait_for(lambda: api.metric("tocsin_api_history_events_total", result="new") == 1, "the history")
        assert component(api, "history")["status"] == "ok"


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Embedded]:
    broker = Embedded(free_port(), tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


def test_a_new_broker_is_read_from_its_beginning_and_older_anomalies_stay(own_broker: Embedded, store_url: str) -> None:
    kafka = KafkaSettings(kafka=own_broker.bootstrap, partitions=2)
    create_topics(kafka)
    produce(kafka, [make_anomaly(number) for number in range(20)])
    settings = settings_with(kafka, store_url)
    with running_api(settings) as api:
        assert len(listed(api)) == 20
    with running_api(settings) as api:
        assert len(listed(api)) == 20
        assert api.metric("tocsin_api_history_events_total", result="passed") == 0, "it goes on where it was"
    own_broker.stop()
    own_broker.start()
    create_topics(kafka)
    produce(kafka, [closed(make_anomaly(19)), make_anomaly(20)])
    with running_api(settings) as api:
        assert listed(api) == ids_of(range(20, -1, -1))
        assert listed(api, state="closed") == ids_of(range(19, 20))


def test_replicas_share_one_postgresql_and_lose_nothing_while_it_is_down(
    kafka_settings: KafkaSettings, postgres: Postgres
) -> None:
    """It is stopped while they write; what is live goes on without it, and the history catches up by itself."""
    url = postgres.database()
    with (
        running_api(settings_with(kafka_settings, url)) as one,
        running_api(settings_with(kafka_settings, url)) as two,
        connect(one.socket_url) as client,
    ):
        subscribe(client)
        produce(kafka_settings, [make_anomaly(number) for number in range(100)])
        receive(client, 100)
        assert len(listed(one)) == len(listed(two)) == 100
        postgres.stop()
        try:
            produce(kafka_settings, [make_anomaly(number) for number in range(50, 200)])
            receive(client, 100)
            wait_for(lambda: component(one, "history")["status"] == "degraded")
            assert f"127.0.0.1:{postgres.port}" in component(one, "store")["reason"]
            assert PASSWORD not in one.http.get("/health").text
            recent = one.http.get("/api/anomalies").json()
            assert [anomaly["id"] for anomaly in recent["anomalies"]] == ids_of(range(199, 194, -1)), "meanwhile"
            older = one.http.get("/api/anomalies", params={"before": recent["next"]})
            assert older.status_code == 503, "it does not read as if there were no older ones"
            refused = one.http.get("/api/anomalies?sort=time")
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert one.http.get("/ready").status_code == 200
        finally:
            postgres.start()
        for api in (one, two):
            wait_for(lambda: component(api, "history")["status"] == "ok")  # noqa: B023
            assert listed(api) == ids_of(range(199, -1, -1))
        new = sum(api.metric("tocsin_api_history_events_total", result="new") for api in (one, two))
        assert new == 200, "each is written by one of them"


def test_an_api_killed_while_it_writes_loses_nothing_and_writes_nothing_twice(
    kafka_settings: KafkaSettings, store_url: str, tmp_path: Path
) -> None:
    settings = settings_with(kafka_settings, store_url)
    events = [make_anomaly(number, sequence) for sequence in range(2) for number in range(400)]
    with api_process(settings, tmp_path / "log") as api:
        produce(kafka_settings, events)
        wait_for(lambda: api.metric("tocsin_api_history_events_total", result="new") > 0)
        assert api.process is not None
        api.process.send_signal(signal.SIGKILL)
        api.process.wait(DEADLINE_S)
    with running_api(settings) as api:
        assert sorted(listed(api)) == ids_of(range(400))
        page = api.http.get("/api/anomalies?limit=1000").json()["anomalies"]
        assert {anomaly["sequence"] for anomaly in page} == {1}


def test_the_history_is_bounded(kafka_settings: KafkaSettings) -> None:
    produce(kafka_settings, [make_anomaly(number) for number in range(30)])
    settings = api_settings(kafka_settings, api_history_rows=12)
    with running_api(settings) as api:
        assert len(listed(api)) >= 12
    with running_api(settings) as api:  # it looks at its start, and each minute
        wait_for(lambda: api.metric("tocsin_api_history_forgotten_total", why="number") == 18)
        wait_for(lambda: component(api, "history")["status"] == "ok")  # else the recent ones answer, which are more
        assert listed(api) == ids_of(range(29, 17, -1))
        assert api.metric("tocsin_api_history_anomalies") == 12


def test_a_look_that_forgets_nothing_leaves_lists_as_they_are(
    kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SWEEP_S", 0.01)
    produce(kafka_settings, [make_anomaly(1)])
    with running_api(api_settings(kafka_settings)) as api:
        wait_for(lambda: api.metric("tocsin_api_history_anomalies") == 1)
        looks = api.metric("tocsin_api_store_seconds_count", way="write")
        wait_for(lambda: api.metric("tocsin_api_store_seconds_count", way="write") > looks + 3)
        assert api.context is not None
        assert api.context.history.version == 1, "what was written, and nothing since"


def test_a_record_that_is_no_anomaly_is_counted_and_passed(broker: str) -> None:
    kafka = unique_settings(broker, partitions=1)
    create_topics(kafka)
    produce(kafka, [make_anomaly(1).model_copy(update={"sequence": 1 << 70}), make_anomaly(2)])
    with running_api(api_settings(kafka)) as api:
        assert listed(api) == ids_of(range(2, 3))
        assert api.metric("tocsin_api_history_events_total", result="invalid") == 1
        assert json.loads(api.http.get("/api/anomalies").content)["next"] is None


def say(api: RunningApi, number: int, what: str, **body: Any) -> Any:
    answer = api.http.post(f"/api/anomalies/{make_anomaly(number).id}/{what}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def test_what_is_said_of_an_anomaly_is_read_at_once_and_found(kafka_settings: KafkaSettings, store_url: str) -> None:
    produce(kafka_settings, [make_anomaly(number) for number in range(8)])
    settings = settings_with(kafka_settings, store_url)
    with running_api(settings) as api:
        assert say(api, 1, "acknowledge", author="ann")["acknowledged"]["author"] == "ann"
        assert say(api, 1, "acknowledge", author="bob")["acknowledged"]["author"] == "ann"
        assert say(api, 1, "comments", text="a deployment")["comments"][0]["author"] == "api"
        assert say(api, 2, "verdict", verdict="false_alarm")["verdict"]["verdict"] == "false_alarm"
        say(api, 7, "acknowledge")
        assert say(api, 7, "unacknowledge")["acknowledged"] is None
        detail = api.http.get(f"/api/anomalies/{make_anomaly(1).id}").json()
        assert detail["feedback"]["acknowledged"]["author"] == "ann"
        assert api.http.post(detail["links"]["comments"], json={"text": "over"}).status_code == 201
        assert listed(api, acknowledged="true") == ids_of(range(1, 2))
        assert listed(api, acknowledged="false", sort="time") == ids_of(range(1)) + ids_of(range(2, 8))
        assert listed(api, verdict="false_alarm", sort="-surprise") == ids_of(range(2, 3))
        for path, body, status, code in (
            (f"{make_anomaly(99).id}/acknowledge", {}, 404, "not_found"),
            ("nothing/comments", {"text": "x"}, 404, "not_found"),
            (f"{make_anomaly(1).id}/verdict", {"verdict": "good"}, 422, "invalid"),
            (f"{make_anomaly(1).id}/verdict", {"verdict": None, "rule": {}}, 422, "invalid"),
            (f"{make_anomaly(1).id}/comments", {"text": ""}, 422, "invalid"),
        ):
            answer = api.http.post(f"/api/anomalies/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
    with running_api(settings) as api:
        detail = api.http.get(f"/api/anomalies/{make_anomaly(1).id}").json()
        assert [comment["text"] for comment in detail["feedback"]["comments"]] == ["a deployment", "over"]


def test_no_label_is_lost_while_postgresql_is_down_and_the_api_is_killed(
    kafka_settings: KafkaSettings, postgres: Postgres, tmp_path: Path
) -> None:
    produce(kafka_settings, [make_anomaly(number) for number in range(5)])
    settings = settings_with(kafka_settings, postgres.database())
    with api_process(settings, tmp_path / "log") as api:
        say(api, 0, "comments", text="before")
        postgres.stop()
        try:
            for number in range(5):
                assert say(api, number, "acknowledge", author="ann")["acknowledged"]["author"] == "ann"
            said = say(api, 0, "comments", text="meanwhile")
            assert [comment["text"] for comment in said["comments"]] == ["before", "meanwhile"]
            assert api.process is not None
            api.process.send_signal(signal.SIGKILL)
            api.process.wait(DEADLINE_S)
        finally:
            postgres.start()
    with running_api(settings) as api:
        wait_for(lambda: component(api, "labels")["status"] == "ok")
        assert listed(api, acknowledged="true") == ids_of(range(4, -1, -1))
        detail = api.http.get(f"/api/anomalies/{make_anomaly(0).id}").json()
        assert [comment["text"] for comment in detail["feedback"]["comments"]] == ["before", "meanwhile"]


def test_a_verdict_adds_a_rule_that_is_previewed_listed_and_removed(
    kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = AnomalyDetector(id="other", name="", kind="mad", revision=1)
    events = [*(make_anomaly(number) for number in range(6)), make_anomaly(6, detector=other)]
    produce(kafka_settings, [*events, make_anomaly(7, direction=Direction.DOWN)])
    on_loop: set[bool] = set()

    fits = rule_proposal._fits

    def looked(rule: Rule, event: Anomaly) -> bool:
        on_loop.add(asyncio._get_running_loop() is not None)
        return fits(rule, event)

    monkeypatch.setattr(rule_proposal, "_fits", looked)
    with running_api(api_settings(kafka_settings)) as api:
        now_ms = wall_clock_ms()
        path = f"/api/anomalies/{make_anomaly(2).id}/verdict"
        asked = {"verdict": "expected", "rule": {}}
        seen = answered(lambda: api.http.post(f"{path}?preview=true", json=asked))
        assert (seen["would_hide"]["count"], seen["verdict"]) == (6, None)
        assert seen["would_hide"]["anomalies"] == ids_of(range(5, -1, -1))
        assert on_loop == {False}, "in a thread"
        wide = {"any_detector": True, "any_direction": True, "labels": {"job": "shop"}}
        seen = api.http.post(f"{path}?preview=true", json={**asked, "rule": wide}).json()
        assert seen["would_hide"]["count"] == 8
        assert api.http.get("/api/rules").json() == {"rules": []}, "a preview writes nothing"
        made = api.http.post(path, json={**asked, "author": "ann", "rule": {"lasts_s": 3600}}).json()
        assert made["verdict"]["verdict"] == "expected"
        (rule,) = api.http.get("/api/rules").json()["rules"]
        assert (rule["id"], rule["author"], rule["rule"]) == (made["rule_id"], "ann", made["rule"])
        assert 0 <= rule["rule"]["expires_ms"] - now_ms - 3_600_000 < 60_000
        unbound = {**asked, "rule": {"any_detector": True, "labels": {}}}
        refused = api.http.post(path, json=unbound).json()
        assert (refused["code"], refused["errors"][0]["field"]) == ("invalid", "rule.labels")
        assert "name a detector or a label" in refused["detail"]
        halved = api.http.post(path, json={**asked, "rule": {"from_minute": 5}}).json()
        assert halved["detail"] == "rule.to_minute = None: of a time of day both ends are named, or neither"
        monkeypatch.setattr("api.anomaly.MOST_RULES", 1)
        assert api.http.post(path, json=asked).json()["code"] == "rule_limit"
        assert api.http.delete(f"/api/rules/{rule['id']}").status_code == 204
        assert api.http.delete(f"/api/rules/{rule['id']}").status_code == 404
        assert api.http.get("/api/rules").json() == {"rules": []}
