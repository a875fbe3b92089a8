"""Detectors are found, changed in part, stopped, started and put back to what they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.journal import publish
from api.kept_revisions import PER_DETECTOR
from connectors.detector import DetectorConfig, DetectorRevision
from connectors.messages import REQUEST_HEADER
from connectors.topics import create_topics
from tests.apis import RunningApi, api_settings, running_api, wait_for
from tests.brokers import read_all
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

PATCH = "application/merge-patch+json"


@pytest.fixture(scope="module")
def api(broker: str) -> Iterator[RunningApi]:
    kafka = unique_settings(broker)
    create_topics(kafka)
    with running_api(api_settings(kafka)) as running:
        yield running


def config(name: str, **changes: Any) -> dict[str, Any]:
    """One that no other computes, told apart by what it selects."""
    return {"name": name, "kind": "mad", "selector": f'up{{job="{name}"}}', **changes}


def create(api: RunningApi, name: str, **changes: Any) -> str:
    made = api.http.post("/api/detectors", json=config(name, **changes))
    assert made.status_code == 201, made.text
    return made.headers["location"]


def patch(api: RunningApi, path: str, body: Any, if_match: str = "*", media_type: str = PATCH) -> httpx.Response:
    content = body if isinstance(body, bytes) else httpx.Request("PATCH", "http://x", json=body).content
    return api.http.patch(path, content=content, headers={"Content-Type": media_type, "If-Match": if_match})


def names(api: RunningApi, **query: Any) -> list[str]:
    answer = api.http.get("/api/detectors", params={"limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    return [detector["config"]["name"] for detector in answer.json()["detectors"]]


def test_a_patch_changes_what_it_names(api: RunningApi) -> None:
    path = create(api, "patched", threshold=9.0, labels={"team": "web", "tier": "1"})
    answer = patch(api, path, {"threshold": None, "params": {"window": 30}, "labels": {"tier": None}}, '"1"')
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    stands = api.http.get(path).json()
    assert stands == answer.json()
    assert stands["config"]["name"] == "patched"
    assert (stands["config"]["threshold"], stands["config"]["params"]) == (None, {"window": 30})
    assert stands["config"]["labels"] == {"team": "web"}


def test_a_patch_that_changes_nothing_writes_nothing(api: RunningApi) -> None:
    path = create(api, "same")
    for body in ({}, {"name": "same"}):
        assert patch(api, path, body).json()["revision"] == 1


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code", "field"),
    [
        ({"threshold": -1}, PATCH, 422, "invalid", "threshold"),
        ({"params": {"windows": 1}}, PATCH, 422, "invalid", "params.windows"),
        ({"name": None}, PATCH, 422, "invalid", "name"),
        ({"labels": {"team": 1}}, PATCH, 422, "invalid", "labels.team"),
        ({"labels": {"1x": "a"}}, PATCH, 422, "invalid", "labels.1x"),
        ([], PATCH, 422, "invalid", "body"),
        (b"{", PATCH, 400, "bad_request", None),
        (b'{"params": ' * 900 + b"1" + b"}" * 900, PATCH, 400, "bad_request", None),
        ({"name": "x"}, "application/json", 415, "unsupported_media_type", None),
        ({"name": "x"}, "application/json-patch+json", 415, "unsupported_media_type", None),
    ],
)
def test_a_bad_patch_is_refused_and_changes_nothing(
    api: RunningApi, body: Any, media_type: str, status: int, code: str, field: str | None
) -> None:
    path = api.http.get("/api/detectors", params={"text": "refusing"}).json()["detectors"]
    path = f"/api/detectors/{path[0]['id']}" if path else create(api, "refusing")
    answer = patch(api, path, body, media_type=media_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert api.http.get(path).json()["revision"] == 1


def test_a_patch_says_what_it_is_based_on(api: RunningApi) -> None:
    path = create(api, "based")
    missing = api.http.patch(path, content=b"{}", headers={"Content-Type": PATCH})
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    assert patch(api, path, {"name": "b"}, '"7"').status_code == 412


def test_a_change_bears_the_id_of_its_request(api: RunningApi) -> None:
    path = create(api, "traced")
    assert api.http.post(f"{path}/stop", headers={"X-Request-ID": "trace-7"}).status_code == 200
    assert api.context is not None
    records = read_all(api.context.settings, api.context.settings.topics.detectors)
    assert dict(records[-1].headers)[REQUEST_HEADER] == b"trace-7"


def test_stop_and_start_are_revisions_and_may_be_said_twice(api: RunningApi) -> None:
    path = create(api, "switched")
    for verb, enabled, revision in (("stop", False, 2), ("stop", False, 2), ("start", True, 3), ("start", True, 3)):
        answer = api.http.post(f"{path}/{verb}")
        assert (answer.status_code, answer.headers["etag"]) == (200, f'"{revision}"')
        assert answer.json()["config"]["enabled"] is enabled
        assert api.http.get(path).json() == answer.json()
    assert api.http.post(f"{path}/stop", headers={"If-Match": '"1"'}).status_code == 412
    assert api.http.post("/api/detectors/nobody/stop").status_code == 404


def test_lists_are_filtered_and_paged(api: RunningApi) -> None:
    made = [create(api, f"listed {n}", labels={"list": "yes", "n": str(n % 2)}) for n in range(5)]
    api.http.post(f"{made[0]}/stop")
    create(api, "of another kind", kind="ewma", labels={"list": "yes"})
    assert len(names(api, label="list=yes")) == 6
    assert names(api, label="list=yes", kind="ewma") == ["of another kind"]
    assert names(api, label="list=yes", state="stopped") == ["listed 0"]
    assert sorted(names(api, label=["list=yes", "n=1"])) == ["listed 1", "listed 3"]
    assert sorted(names(api, text="LISTED")) == [f"listed {n}" for n in range(5)]
    assert names(api, text='job="listed 3"') == ["listed 3"]
    assert names(api, kind="auto") == []

    pages, after = [], ""
    while after is not None:
        page = api.http.get("/api/detectors", params={"limit": 4, "label": "list=yes", "after": after}).json()
        pages.append([detector["id"] for detector in page["detectors"]])
        after = page["next"]
    assert [len(page) for page in pages] == [4, 2]
    ids = [detector_id for page in pages for detector_id in page]
    assert ids == sorted(ids)
    assert len(set(ids)) == 6


@pytest.mark.parametrize(
    ("path", "field", "right"),
    [
        ("/api/detectors?kind=mda", "query.kind", "auto, changepoint, ewma"),
        ("/api/detector-templates?family=windows", "query.family", "golden, kubernetes, node"),
    ],
)
def test_a_list_of_what_there_cannot_be_is_refused(api: RunningApi, path: str, field: str, right: str) -> None:
    """An empty list would say that there is none, where the word is wrong."""
    answer = api.http.get(path)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert right in error["expected"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("limit=0", 422), ("limit=1001", 422), ("state=paused", 422), ("label=team", 400), ("after=" + "x" * 65, 422)],
)
def test_a_bad_query_is_refused(api: RunningApi, query: str, status: int) -> None:
    answer = api.http.get(f"/api/detectors?{query}")
    assert answer.status_code == status
    assert query.partition("=")[0] in answer.json()["detail"]


def test_revisions_are_listed_and_restored(api: RunningApi) -> None:
    path = create(api, "first")
    for name in ("second", "third"):
        assert patch(api, path, {"name": name}).status_code == 200
    first = api.http.get(f"{path}/revisions", params={"limit": 2}).json()
    assert [(one["revision"], one["config"]["name"]) for one in first["revisions"]] == [(3, "third"), (2, "second")]
    rest = api.http.get(f"{path}/revisions", params={"limit": 2, "before": first["next"]}).json()
    assert ([one["revision"] for one in rest["revisions"]], rest["next"]) == ([1], None)
    assert api.http.get(f"{path}/revisions/2").json() == first["revisions"][1]

    assert api.http.post(f"{path}/revisions/1/restore").status_code == 428
    assert api.http.post(f"{path}/revisions/1/restore", headers={"If-Match": '"2"'}).status_code == 412
    restored = api.http.post(f"{path}/revisions/1/restore", headers={"If-Match": '"3"'})
    assert (restored.status_code, restored.headers["etag"]) == (200, '"4"')
    assert restored.json()["config"] == rest["revisions"][0]["config"]
    for answer in (api.http.get(f"{path}/revisions/9"), api.http.post(f"{path}/revisions/9/restore")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    api.http.delete(path, headers={"If-Match": "*"})
    assert api.http.get(f"{path}/revisions").status_code == 404


def test_replicas_and_a_restart_know_the_same_past(broker: str) -> None:
    kafka = unique_settings(broker)
    create_topics(kafka)
    with running_api(api_settings(kafka)) as one, running_api(api_settings(kafka)) as two:
        path = create(one, "old")
        for number in range(PER_DETECTOR + 2):
            assert patch(one, path, {"name": f"n{number}"}).status_code == 200
        past = one.http.get(f"{path}/revisions", params={"limit": 100}).json()
        assert [revision["revision"] for revision in past["revisions"]] == list(range(PER_DETECTOR + 3, 3, -1))
        wait_for(lambda: two.http.get(f"{path}/revisions", params={"limit": 100}).json() == past)
    with running_api(api_settings(kafka)) as again:
        assert again.http.get(f"{path}/revisions", params={"limit": 100}).json() == past
        assert again.metric("tocsin_api_detector_revisions_dropped_total") == 3


def test_what_can_never_fire_is_refused_but_what_an_older_version_took_can_be_stopped(api: RunningApi) -> None:
    futile: dict[str, Any] = {"kind": "threshold", "shape": "rate", "params": {"lower": 0}}
    refused = api.http.post("/api/detectors", json=config("futile", **futile))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "params.lower")
    samples = {"times_ms": [1], "series": [{"labels": {"__name__": "up"}, "values": [1.0]}]}
    tried = api.http.post("/api/detectors/preview", json={"config": config("futile", **futile), "samples": samples})
    assert (tried.status_code, tried.json()["errors"][0]["field"]) == (422, "config.params.lower")
    sound = create(api, "sound", **{**futile, "params": {"lower": 1}})
    assert patch(api, sound, {"params": {"lower": 0}}).status_code == 422

    context = api.context
    assert context is not None
    older = DetectorConfig.model_validate(config("older", **futile))
    revision = DetectorRevision(detector_id="d-older", base_revision=0, config=older, author="older", time_ms=1)
    publish(context.settings, [revision])
    path = "/api/detectors/d-older"
    wait_for(lambda: api.http.get(path).status_code == 200)
    for step in ("stop", "start"):
        assert api.http.post(f"{path}/{step}").status_code == 200
    refused = patch(api, path, {"labels": {"team": "web"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "params.lower")
    assert api.http.post(f"{path}/revisions/1/restore", headers={"If-Match": "*"}).status_code == 200, "it stands so"
    assert patch(api, path, {"params": {"lower": 2}}).status_code == 200
    restored = api.http.post(f"{path}/revisions/1/restore", headers={"If-Match": "*"})
    assert (restored.status_code, restored.json()["errors"][0]["field"]) == (422, "params.lower")
