"""Data sources by REST, on SQLite and PostgreSQL's way of it, with a real Prometheus that is stopped and started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest

from api.source_table import MAX_SOURCES
from api.store_tables import sources as table
from connectors.anomaly import AnomalyDetector, AnomalySignal
from connectors.codec.encode import encode_write_request
from connectors.detector import Shape
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.anomalies import make_anomaly
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.conftest import unique_settings
from tests.integration.test_api_feed import produce
from tests.lokis import FakeLoki, Line
from tests.prometheus import Exporter, Prometheus, missing_prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

N, SPIKE = 300, 200
SECRETS = ("pass-word", "key-of-mine")
TYPE = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def begin_ms() -> int:
    return (int(time.time()) // 60 - 60) * 60_000


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, begin_ms: int) -> Iterator[Prometheus]:
    """It has ``m`` of two jobs, a sample every ten seconds; one of them spikes."""
    flags = ["--web.enable-remote-write-receiver"]
    with (
        Exporter(lambda: "# EOF\n") as exporter,
        Prometheus(tmp_path_factory.mktemp("prometheus"), exporter.port, None, "1h", flags) as running,
    ):
        series = [
            (
                {"__name__": "m", "job": job},
                [(begin_ms + 10_000 * at, peak if at == SPIKE else 10.0 + at * 7 % 5) for at in range(N)],
            )
            for job, peak in (("calm", 12.0), ("spiky", 40.0))
        ]
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        packed = bytes(cramjam.snappy.compress_raw(encode_write_request(series)))
        assert httpx.post(f"{running.url}/api/v1/write", content=packed, headers=headers, verify=False).is_success
        yield running


@pytest.fixture(scope="module")
def kafka(broker: str) -> KafkaSettings:
    settings = unique_settings(broker)
    create_topics(settings)
    return settings


@pytest.fixture(scope="module")
def api(kafka: KafkaSettings) -> Iterator[RunningApi]:
    with running_api(api_settings(kafka)) as running:
        yield running


def source(name: str, url: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "kind": "prometheus", "url": url, **changes}


@pytest.fixture(scope="module")
def saved(api: RunningApi, prometheus: Prometheus) -> str:
    answer = api.http.post("/api/datasources", json=source("real", prometheus.url))
    assert answer.status_code == 201, answer.text
    assert (answer.headers["etag"], answer.headers["location"]) == ('"1"', f"/api/datasources/{answer.json()['id']}")
    made: str = answer.json()["id"]
    return made


def test_a_source_lives_from_post_to_delete(api: RunningApi, capfd: pytest.CaptureFixture[str]) -> None:
    auth = {"type": "basic", "username": "me", "password": SECRETS[0]}
    body = source("mine", "http://127.0.0.1:1/x/", auth=auth, headers={"X-Key": SECRETS[1]}, tenant="team")
    answers = [api.http.post("/api/datasources", json=body)]
    made = answers[0].json()
    path = f"/api/datasources/{made['id']}"
    assert made["config"]["url"] == "http://127.0.0.1:1/x"
    answers += [api.http.get(path), api.http.get("/api/datasources"), api.http.post(f"{path}/test")]
    assert answers[1].json() == made
    assert made in answers[2].json()["datasources"]
    again = api.http.put(path, json=made["config"], headers={"If-Match": '"1"'})
    assert (again.status_code, again.json()) == (200, made)  # stars are what is stored, so nothing has changed
    renamed = api.http.put(path, json={**made["config"], "name": "renamed"}, headers={"If-Match": '"1"'})
    assert (renamed.status_code, renamed.headers["etag"]) == (200, '"2"')
    assert api.context is not None
    moved = api.http.put(path, json={**body, "url": "http://127.0.0.1:2"}, headers={"If-Match": "*"})
    assert moved.json()["revision"] == 3
    stolen = api.http.put(path, json={**made["config"], "url": "http://127.0.0.1:3"}, headers={"If-Match": "*"})
    assert (stolen.status_code, stolen.json()["errors"][0]["field"]) == (422, "headers.X-Key")
    wrong = api.http.post("/api/datasources", json={**body, "auth": {"type": "basic", "password": SECRETS[0]}})
    assert wrong.json()["errors"][0]["field"] == "auth.basic.username"
    answers += [again, renamed, moved, stolen, wrong]
    assert not [answer for answer in answers if any(secret in answer.text for secret in SECRETS)]
    assert not [secret for secret in SECRETS if secret in "".join(capfd.readouterr())]
    assert api.http.delete(path).json()["code"] == "precondition_required"
    assert api.http.delete(path, headers={"If-Match": '"1"'}).json()["code"] == "stale_revision"
    assert api.http.delete(path, headers={"If-Match": '"3"'}).status_code == 204
    assert api.http.get(path).json()["code"] == "not_found"


def test_pages_names_and_the_bound(api: RunningApi, saved: str) -> None:
    ids = [
        api.http.post("/api/datasources", json=source(f"p{at}", "http://127.0.0.1:1")).json()["id"] for at in range(3)
    ]
    twin = api.http.post("/api/datasources", json=source("p1", "http://127.0.0.1:2"))
    assert (twin.status_code, twin.json()["code"]) == (409, "duplicate_source")
    rename = api.http.put(f"/api/datasources/{ids[0]}", json=source("p1", "http://a"), headers={"If-Match": "*"})
    assert rename.json()["code"] == "duplicate_source"
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = api.http.get("/api/datasources", params={"limit": 2, "after": after}).json()
        assert len(page["datasources"]) <= 2
        seen += [one["id"] for one in page["datasources"]]
        after = page["next"]
    assert seen == sorted({*ids, saved})
    assert api.http.get("/api/datasources?kind=loki").json()["datasources"] == []
    assert api.context is not None
    store = api.context.store
    row = {"kind": "loki", "revision": 1, "config": "{}", "created_ms": 1, "updated_ms": 1}
    rows = [{**row, "id": f"x{at}", "name": f"x{at}"} for at in range(MAX_SOURCES)]
    with store._engine.begin() as connection:  # type: ignore[union-attr]
        connection.execute(table.insert(), rows)
    full = api.http.post("/api/datasources", json=source("one more", "http://127.0.0.1:1"))
    with store._engine.begin() as connection:  # type: ignore[union-attr]
        connection.execute(table.delete().where(table.c.id != saved))
    assert full.json()["code"] == "source_limit"


def test_a_zero_character_is_refused_before_the_store(api: RunningApi, saved: str) -> None:
    asked = [
        api.http.get("/api/datasources/a%00b"),
        api.http.get("/api/datasources", params={"after": "a\0"}),
        api.http.post("/api/datasources", json=source("a\0", "http://127.0.0.1:1")),
        api.http.get(f"/api/datasources/{saved}/collectors/%00"),
    ]
    assert [answer.status_code for answer in asked] == [422] * 4


def test_a_source_is_tested_before_it_is_kept(api: RunningApi, prometheus: Prometheus) -> None:
    good = api.http.post("/api/datasources/test", json=source("x", prometheus.url)).json()
    assert (good["status"], good["reason"]) == ("ok", "")
    assert good["version"].startswith(("2.", "3."))
    bad = api.http.post("/api/datasources/test", json=source("x", f"{prometheus.url}/elsewhere")).json()
    assert (bad["status"], "answered 404" in bad["reason"]) == ("down", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.sources.decode.MAX_SMALL_BYTES", 10)
        much = api.http.post("/api/datasources/test", json=source("x", prometheus.url)).json()
    assert (much["status"], much["reason"]) == ("down", "an answer of more than 10 bytes: ask for fewer")
    cloud = api.http.post("/api/datasources/test", json=source("x", "http://169.254.169.254/latest")).json()
    assert (cloud["status"], "where no data source may be" in cloud["reason"]) == ("down", True)
    with FakeLoki([Line(1, "a", {"app": "shop"})], tenant="team") as loki:
        body = source("x", loki.url, kind="loki", tenant="team")
        assert api.http.post("/api/datasources/test", json=body).json()["version"] == "3.5.0"
        lost = api.http.post("/api/datasources/test", json={**body, "tenant": "other"}).json()
        assert "answered 401: no org id" in lost["reason"]


def test_a_range_is_asked_for_and_remembered(api: RunningApi, saved: str, begin_ms: int) -> None:
    asked = {"query": "m", "from_ms": begin_ms, "to_ms": begin_ms + 10_000 * (N - 1), "step_s": 10}
    path = f"/api/datasources/{saved}/query"
    hits = api.metric("tocsin_api_source_cache_total", result="hit")
    first = api.http.post(path, json=asked)
    assert first.status_code == 200, first.text
    calm, spiky = first.json()["series"]
    assert (calm["labels"]["job"], len(calm["values"]), spiky["values"][SPIKE]) == ("calm", N, 40.0)
    assert api.http.post(path, json=asked).json() == first.json()
    assert api.metric("tocsin_api_source_cache_total", result="hit") == hits + 1
    health = api.http.get(f"/api/datasources/{saved}/health").json()
    assert (health["status"], health["cache"]["hit_ratio"] > 0) == ("ok", True)
    refused = api.http.post(path, json={**asked, "query": "rate(m)"})
    assert (refused.status_code, refused.json()["code"]) == (502, "source_refused")
    assert "parse error" in refused.json()["detail"]
    nothing = api.http.post(path, json={**asked, "query": "m / 0 - m / 0"}).json()["series"][0]
    assert set(nothing["values"]) == {None}
    long = api.http.post(path, json={**asked, "to_ms": begin_ms + 10**9})
    assert (long.status_code, "20000 steps" in long.text) == (422, True)
    many = api.http.post(path, json={**asked, "query": 'label_replace(m, "a", "b", "", "") or vector(1)'})
    assert len(many.json()["series"]) == 3
    assert api.http.post("/api/datasources/nobody/query", json=asked).json()["code"] == "not_found"


MAD: dict[str, Any] = {"name": "tried", "kind": "mad", "selector": "m", "params": {"window": 30}, "threshold": 12.0}


def test_detectors_are_tried_on_what_a_source_has(
    api: RunningApi, saved: str, prometheus: Prometheus, begin_ms: int
) -> None:
    history = {"source": saved, "from_ms": begin_ms, "to_ms": begin_ms + 10_000 * (N - 1), "step_s": 10}
    made = api.http.post("/api/detectors", json=MAD).json()
    path = f"/api/detectors/{made['id']}/detect"
    fetched = api.http.post(path, json={"history": history})
    assert fetched.status_code == 200, fetched.text
    trial = fetched.json()
    assert [signal["labels"][0]["job"] for signal in trial["signals"]] == ["calm", "spiky"]
    (anomaly,) = trial["anomalies"]
    assert anomaly["start_ms"] == begin_ms + 10_000 * SPIKE
    # the same samples in the body are judged the same
    series = [{"labels": signal["labels"][0], "values": signal["value"]} for signal in trial["signals"]]
    body = {"times_ms": trial["signals"][0]["times_ms"], "series": series}
    assert api.http.post(path, json=body).json() == trial
    draft = {**MAD, "name": "draft", "threshold": 290.0}
    previewed = api.http.post(
        "/api/detectors/preview", json={"config": draft, "history": history, "against": made["id"]}
    )
    comparison = previewed.json()["comparison"]
    assert comparison == {"adds": [], "removes": [anomaly["id"]], "keeps": 0, "hides": []}


def test_an_anomaly_is_drawn_and_one_that_was_confirmed_is_missed(
    api: RunningApi, saved: str, kafka: KafkaSettings, begin_ms: int
) -> None:
    detector = api.http.post("/api/detectors", json={**MAD, "threshold": 11.0}).json()["id"]
    at_ms = begin_ms + 10_000 * SPIKE
    known = AnomalyDetector(id=detector, name="tried", kind="mad", revision=1)
    signal = AnomalySignal(labels={"__name__": "m", "job": "spiky"}, shape=Shape.RAW)
    told = make_anomaly(7, start_ms=at_ms, time_ms=at_ms, detector=known, signal=signal)
    produce(kafka, [told])
    path = f"/api/anomalies/{told.id}"
    wait_for(lambda: api.http.get(path).status_code == 200)

    drawn = api.http.get(f"{path}/series", params={"source": saved, "before_s": 60, "after_s": 20, "step_s": 10})
    assert drawn.status_code == 200, drawn.text
    assert drawn.json()["times_ms"] == [at_ms + 10_000 * step for step in range(-6, 3)]
    assert drawn.json()["values"][6] == 40.0
    refused = api.http.get(f"{path}/series", params={"source": saved, "before_s": 600_000, "step_s": 1})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "step_s")

    history = {"source": saved, "from_ms": begin_ms, "to_ms": begin_ms + 10_000 * (N - 1), "step_s": 10}
    asked = {"config": {**MAD, "threshold": 290.0}, "history": history, "against": detector}
    assert api.http.post(f"{path}/acknowledge", json={"author": "ann"}).status_code == 200
    assert api.http.post("/api/detectors/preview", json=asked).json()["comparison"]["hides"] == [told.id]
    assert api.http.post(f"{path}/verdict", json={"verdict": "false_alarm"}).status_code == 200
    assert api.http.post("/api/detectors/preview", json=asked).json()["comparison"]["hides"] == []


def test_groups_are_added_up_by_the_source(api: RunningApi, saved: str, begin_ms: int) -> None:
    history = {"source": saved, "from_ms": begin_ms, "to_ms": begin_ms + 10_000 * (N - 1), "step_s": 10}
    config = {**MAD, "group": {"by": ["job"], "aggregate": "max"}}
    answer = api.http.post("/api/detectors/preview", json={"config": config, "history": history})
    assert answer.status_code == 200, answer.text
    trial = answer.json()["trial"]
    assert [signal["labels"][0]["job"] for signal in trial["signals"]] == ["calm", "spiky"]
    assert trial["signals"][1]["value"][SPIKE] == 40.0
    assert len(trial["anomalies"]) == 1
    total = {**MAD, "group": {}, "shape": "rate"}
    answer = api.http.post("/api/detectors/preview", json={"config": total, "history": history}).json()
    assert len(answer["trial"]["signals"]) == 1


RENAMED = [{"type": "rename", "name": "m"}]


def test_a_history_that_cannot_be_had_is_named(api: RunningApi, saved: str, begin_ms: int) -> None:
    history = {"source": saved, "from_ms": begin_ms, "to_ms": begin_ms + 60_000, "step_s": 10}
    loki = api.http.post("/api/datasources", json=source("logs", "http://127.0.0.1:1", kind="loki")).json()["id"]
    samples = {"times_ms": [1], "series": [{"labels": {"__name__": "m"}, "values": [1.0]}]}
    for body, status, field in [
        ({"config": MAD}, 422, "history"),
        ({"config": MAD, "history": history, "samples": samples}, 422, "history"),
        ({"config": {**MAD, "selector": "nothing"}, "history": history}, 422, "history.source"),
        ({"config": MAD, "history": {**history, "source": loki}}, 422, "history.query"),
        ({"config": MAD, "history": {**history, "transforms": RENAMED}}, 422, "history"),
        ({"config": MAD, "history": {**history, "step_s": 0.0}}, 422, "history.step_s"),
        ({"config": MAD, "history": {**history, "to_ms": 1}}, 422, "history"),
        ({"config": MAD, "history": {**history, "source": "nobody"}}, 404, None),
    ]:
        answer = api.http.post("/api/detectors/preview", json=body)
        assert answer.status_code == status, answer.text
        assert (answer.json()["errors"][0]["field"] if field else None) == field
    made = api.http.get("/api/detectors").json()["detectors"][0]["id"]
    half = api.http.post(f"/api/detectors/{made}/detect", json={"times_ms": [1]})
    assert half.json()["errors"][0]["field"] == "series"


def test_a_prometheus_that_stops_is_told_and_found_again(
    api: RunningApi, saved: str, prometheus: Prometheus, begin_ms: int
) -> None:
    asked = {"query": "m > 30", "from_ms": begin_ms, "to_ms": begin_ms + 10_000 * (N - 1), "step_s": 10}
    path = f"/api/datasources/{saved}"
    prometheus.stop()
    down = api.http.get(f"{path}/health").json()
    assert (down["status"], down["reason"].startswith(f"cannot reach {prometheus.url}: ")) == ("down", True)
    assert down["last_ok_ms"] is not None
    lost = api.http.post(f"{path}/query", json=asked)
    assert (lost.status_code, lost.json()["code"], lost.json()["retryable"]) == (503, "source_unavailable", True)
    assert api.metric("tocsin_api_source_requests_total", kind="prometheus", result="unreachable") >= 2
    prometheus.start()
    assert api.http.get(f"{path}/health").json()["status"] == "ok"
    assert api.http.post(f"{path}/query", json=asked).json()["series"][0]["values"] == [40.0]


def test_only_in_networks_that_are_allowed(broker: str, prometheus: Prometheus, tmp_path: Path) -> None:
    settings = api_settings(unique_settings(broker), api_source_networks="10.0.0.0/8")
    with running_api(settings, until_ready=False) as api:
        answer = api.http.post("/api/datasources/test", json=source("x", prometheus.url)).json()
    assert "TOCSIN_API_SOURCE_NETWORKS" in answer["reason"]
    store = settings.home / "api" / "store.sqlite"
    assert not store.exists() or store.stat().st_mode & 0o077 == 0
