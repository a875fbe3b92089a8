"""Detectors and drafts on samples that a request brings: what the flow would say, and nothing live is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from connectors.topics import create_topics
from tests.apis import RunningApi, api_settings, running_api
from tests.brokers import read_all
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

T0, N, SPIKE = 1_700_000_000_000, 300, 200
CONFIG: dict[str, Any] = {
    "name": "saved", "kind": "mad", "selector": "m", "params": {"window": 30}, "threshold": 9.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def api(broker: str) -> Iterator[RunningApi]:
    kafka = unique_settings(broker)
    create_topics(kafka)
    with running_api(api_settings(kafka, api_max_samples_bytes=200_000)) as running:
        yield running


@pytest.fixture(scope="module")
def saved(api: RunningApi) -> str:
    made: str = api.http.post("/api/detectors", json=CONFIG).json()["id"]
    return made


def samples(*names: str, n: int = N) -> dict[str, Any]:
    columns = np.random.default_rng(5).normal(10.0, 1.0, (len(names), n))
    columns[0, SPIKE : SPIKE + 1] = 40.0
    series = [
        {"labels": {"__name__": name}, "values": column.tolist()} for name, column in zip(names, columns, strict=True)
    ]
    return {"times_ms": [T0 + 15_000 * at for at in range(n)], "series": series}


def test_a_saved_detector_judges_each_series(api: RunningApi, saved: str) -> None:
    answer = api.http.post(f"/api/detectors/{saved}/detect", json=samples("m", "other"))
    assert answer.status_code == 200, answer.text
    trial = answer.json()
    assert [signal["labels"] for signal in trial["signals"]] == [[{"__name__": "m"}], [{"__name__": "other"}]]
    spiked, calm = trial["signals"]
    assert np.flatnonzero(spiked["alert"]).tolist() == [SPIKE]
    assert spiked["score"][SPIKE] > 9.0
    assert spiked["lower"][SPIKE] < 10.0 < spiked["upper"][SPIKE] < 40.0
    assert spiked["score"][0] is None
    assert not any(calm["alert"])
    (anomaly,) = trial["anomalies"]
    assert (anomaly["start_ms"], anomaly["detector"]["name"]) == (T0 + 15_000 * SPIKE, "saved")
    assert trial["alerts"] == 1


def test_a_draft_is_compared_with_a_detector(api: RunningApi, saved: str) -> None:
    draft = {**CONFIG, "name": "draft", "threshold": 290.0}
    body = {"config": draft, "samples": samples("m"), "against": saved}
    answer = api.http.post("/api/detectors/preview", json=body).json()
    assert (answer["trial"]["alerts"], answer["against"]["alerts"]) == (0, 1)
    removed = [anomaly["id"] for anomaly in answer["against"]["anomalies"]]
    assert answer["comparison"] == {"adds": [], "removes": removed, "keeps": 0, "hides": []}
    alone = api.http.post("/api/detectors/preview", json={"config": draft, "samples": samples("m")}).json()
    assert (alone["trial"], alone["against"], alone["comparison"]) == (answer["trial"], None, None)


def test_nothing_live_is_touched(api: RunningApi, saved: str) -> None:
    assert api.context is not None
    settings = api.context.settings
    before = [len(read_all(settings, spec.name)) for spec in settings.topics.specs()]
    assert api.http.post(f"/api/detectors/{saved}/detect", json=samples("m")).json()["alerts"] == 1
    assert [len(read_all(settings, spec.name)) for spec in settings.topics.specs()] == before
    assert api.http.get("/api/anomalies").json()["anomalies"] == []


def test_series_of_one_entity_are_judged_together(api: RunningApi) -> None:
    config = {**CONFIG, "group": {"aggregate": "members"}}
    answer = api.http.post("/api/detectors/preview", json={"config": config, "samples": samples("a", "b", "c")}).json()
    (entity,) = answer["trial"]["signals"]
    assert len(entity["labels"]) == 3
    assert len(entity["score"]) == N


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"config": {**CONFIG, "kind": "mda"}, "samples": samples("m")}, 422, "config.kind"),
        ({"config": {**CONFIG, "params": {"window": 0}}, "samples": samples("m")}, 422, "config.params.window"),
        ({"config": {**CONFIG, "colour": 1}, "samples": samples("m")}, 422, "config.colour"),
        ({"config": {**CONFIG, "group": {"by": ["a"]}}, "samples": samples("m")}, 422, "config.group.aggregate"),
        ({"config": CONFIG, "samples": samples("m", "m")}, 422, "samples.series.1.labels"),
        ({"config": CONFIG, "samples": {"times_ms": [1], "series": []}}, 422, "samples.series"),
        ({"config": CONFIG, "samples": {"times_ms": [-1], "series": [{}]}}, 422, "samples.times_ms.0"),
        ({"config": CONFIG, "samples": samples("m"), "against": "nobody"}, 404, None),
        ({"config": CONFIG, "samples": samples("m"), "with": "nobody"}, 422, "with"),
        ({"config": CONFIG, "samples": samples(*"abcdefgh", n=N * 5)}, 413, None),
    ],
)
def test_what_cannot_be_tried_is_named(api: RunningApi, body: dict[str, Any], status: int, field: str | None) -> None:
    answer = api.http.post("/api/detectors/preview", json=body)
    assert answer.status_code == status, answer.text
    errors = answer.json()["errors"]
    assert (errors[0]["field"] if errors else None) == field
    if field == "with":
        assert "those are config, samples, history, against" in errors[0]["expected"]


def test_a_detector_of_aggregates_says_what_to_send(api: RunningApi) -> None:
    made = api.http.post("/api/detectors", json={**CONFIG, "name": "sum", "group": {"by": ["job"]}}).json()
    answer = api.http.post(f"/api/detectors/{made['id']}/detect", json=samples("m"))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "group.aggregate")
    assert api.http.post("/api/detectors/nobody/detect", json=samples("m")).status_code == 404
