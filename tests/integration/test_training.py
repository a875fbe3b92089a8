"""Training by REST through a real broker and a real flow; after a kill of flow or api all is right or as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from websockets.sync.client import connect

from api import training_board, training_sender
from api.socket_messages import Subscribe
from api.training_range import PART_STEPS
from connectors.anomaly import Anomaly
from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.series_hash import series_hash
from connectors.follower import Follower
from connectors.kafka_clients import confirm, make_producer, send
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, OutRecord
from connectors.received import Received
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from connectors.training import TRAINING_HEADER, TRAINING_STEP_HEADER
from tests.apis import DEADLINE_S, ROOT, RunningApi, api_process, api_settings, running_api, wait_for
from tests.brokers import read_all
from tests.conftest import unique_settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

START_MS, STEP_MS = 1_767_225_600_000, 10_000
NOW, LIVE, SERIES = 12_000, 40, 4
SPIKED = range(NOW + 3, NOW + LIVE, 5)
TICK_S, TICK_MS = 0.1, 100
MAD: dict[str, Any] = {
    "name": "queue", "kind": "mad", "selector": "queue", "params": {"window": 240}, "threshold": 2.5, "quiet_s": 1,
    "cooldown_s": 0,
}  # fmt: skip
RANGED: dict[str, Any] = {**MAD, "name": "ranged", "selector": '{__name__="queue",zone="a"}'}
SUMMED: dict[str, Any] = {**MAD, "name": "sum", "group": {"aggregate": "sum", "step_s": STEP_MS // 1000}}
SUM_QUERY = "sum by () (queue)"
LOGQL = 'sum by (n) (count_over_time({job="queue"}[10s]))'
AS_LIVE = [{"type": "scale", "factor": 1024.0}, {"type": "rename", "name": "queue"}]
CARELESS = "/careless"
MISSING: dict[str, Any] = {"name": "silent", "kind": "missing", "selector": "queue", "quiet_s": 60}


def labels_of(number: int) -> dict[str, str]:
    return {"__name__": "queue", "n": str(number)}


def time_of(step: int) -> int:
    return START_MS + STEP_MS * step


VALUES = np.round(np.random.default_rng(11).normal(100.0, 5.0, (NOW + LIVE, SERIES)), 3)
VALUES[list(SPIKED)] += 60.0


def samples(steps: range) -> dict[str, Any]:
    series = [
        {"labels": labels_of(number), "values": VALUES[steps.start : steps.stop, number].tolist()}
        for number in range(SERIES)
    ]
    return {"times_ms": [time_of(step) for step in steps], "series": series}


class SecondHand:
    """Control records as ingest writes them, at a log time that a test may put forward."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.time_ms, self.detectors = time_of(NOW), 0
        self._settings = settings
        self._stopping = threading.Event()
        self._producer = make_producer(settings, "second-hand")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            self.time_ms += TICK_MS
            control = ControlRecord(time_ms=self.time_ms, detectors_offset=self.detectors, feedback_offset=0).encode()
            for partition in range(self._settings.partitions):
                topic, mark = self._settings.topics.metrics, [(CONTROL_HEADER, b"1")]
                confirm([send(self._producer, OutRecord(topic, None, control, mark, partition))], 15)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._producer.close()


class Flow:
    """The real flow, that can be killed and started again."""

    def __init__(self, settings: KafkaSettings, home: Path) -> None:
        given = {f"TOCSIN_{key.upper()}": str(value) for key, value in settings.model_dump().items()}
        self._environment = {**os.environ, **given, "TOCSIN_HOME": str(home), "TOCSIN_FLOW_PORT": "0"}
        self._environment["TOCSIN_FLOW_SNAPSHOT_INTERVAL_S"] = "1"
        self._log = home / "flow.log"
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.run"], cwd=ROOT, env=self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
        self._process.wait(DEADLINE_S)


class Place:
    """Everything that runs: two replicas of the api, the flow and the second hand."""

    def __init__(
        self, settings: KafkaSettings, flow: Flow, hand: SecondHand, api: RunningApi, other: RunningApi
    ) -> None:
        self.settings, self.flow, self.hand, self.api, self.other = settings, flow, hand, api, other
        self.detectors = [
            api.http.post("/api/detectors", json=config).json()["id"] for config in (MAD, MISSING, RANGED, SUMMED)
        ]
        hand.detectors = len(self.detectors)

    def training(self, training_id: str, api: RunningApi | None = None) -> dict[str, Any]:
        answer = (api or self.other).http.get(f"/api/trainings/{training_id}")
        told: dict[str, Any] = answer.json() if answer.status_code == 200 else {"state": "", "learned": 0}
        return told

    def until(self, training_id: str, state: str) -> dict[str, Any]:
        def reached() -> bool:
            told = self.training(training_id)
            assert told["state"] == state or told["state"] not in ("done", "failed", "cancelled"), told
            return bool(told["state"] == state)

        wait_for(reached, f"the training to be {state}", timeout_s=90)
        return self.training(training_id)

    def until_it_learns(self, training_id: str) -> None:
        wait_for(lambda: self.training(training_id)["learned"] > 0, "the first samples", timeout_s=90)
        assert self.training(training_id)["state"] == "sending"


@pytest.fixture(scope="module")
def place(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    settings = unique_settings(broker, 2)
    create_topics(settings)
    home = tmp_path_factory.mktemp("flow")
    hand, flow = SecondHand(settings), Flow(settings, home)
    try:
        with running_api(api_settings(settings)) as api, running_api(api_settings(settings)) as other:
            yield Place(settings, flow, hand, api, other)
    finally:
        hand.stop()
        flow.kill()


def train(place: Place, api: RunningApi, detector: int, steps: range = range(NOW)) -> str:
    path = f"/api/detectors/{place.detectors[detector]}/train"
    answer = api.http.post(path, json={"samples": samples(steps)})
    assert answer.status_code == 202, answer.text
    training: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/api/trainings/{training['id']}"
    assert (training["detector"], training["state"]) == (place.detectors[detector], "fetching")
    return str(training["id"])


def test_cancelled_by_another_replica_it_ends_everywhere(place: Place) -> None:
    training_id = train(place, place.api, 1)
    with connect(place.other.socket_url) as client:
        client.send(Subscribe(type="subscribe", topics=[f"training/{training_id}"]).model_dump_json())
        assert json.loads(client.recv(DEADLINE_S))["type"] == "subscribed"
        place.until_it_learns(training_id)
        answer = place.other.http.post(f"/api/trainings/{training_id}/cancel").json()
        assert (answer["state"], answer["reason"]) == ("cancelled", "cancelled on request")
        heard: dict[str, Any] = {}
        while heard.get("state") != "cancelled":
            event = json.loads(client.recv(DEADLINE_S))
            assert (event["type"], event["topic"]) == ("training", f"training/{training_id}")
            heard = event["data"]
    wait_for(lambda: place.training(training_id, place.api)["state"] == "cancelled")
    wait_for(lambda: place.api.metric("tocsin_api_trainings") == 0, "the sender to stop")
    again = place.other.http.post(f"/api/trainings/{training_id}/cancel").json()
    assert (again["state"], again["rows_replaced"]) == ("cancelled", 0)
    assert again["learned"] < again["samples"]


def test_an_api_that_is_killed_leaves_all_as_it_was(place: Place, tmp_path: Path) -> None:
    with api_process(api_settings(place.settings), tmp_path / "api.log") as doomed:
        training_id = train(place, doomed, 1)
        place.until_it_learns(training_id)
        assert doomed.process is not None
        doomed.process.kill()
        doomed.process.wait(DEADLINE_S)
    assert place.training(training_id)["state"] == "sending"
    place.hand.time_ms += 301_000
    failed = place.until(training_id, "failed")
    assert "given up: nothing came for 300 s" in failed["reason"]
    assert failed["rows_replaced"] == 0
    wait_for(lambda: place.training(training_id, place.api)["state"] == "failed", "the other replica to hear of it")
    listed = place.api.http.get("/api/trainings", params={"state": "failed", "detector": place.detectors[1]}).json()
    assert [one["id"] for one in listed["trainings"]] == [training_id]


def test_killed_in_the_middle_the_flow_goes_on_and_scores_as_a_replay_of_all_would(place: Place) -> None:
    """The next samples are judged as ``detect`` judges them after the same history."""
    events: list[Anomaly] = []

    def keep(records: list[Received]) -> None:
        events.extend(Anomaly.decode(record.value or b"") for record in records)

    with Follower(place.settings, place.settings.topics.anomalies, keep):
        training_id = train(place, place.api, 0)
        place.until_it_learns(training_id)
        place.flow.kill()
        place.flow.start()
        done = place.until(training_id, "done")
        assert (done["samples"], done["sent"], done["learned"], done["ahead"]) == (*[NOW * SERIES] * 3, 0)
        assert (done["series_matched"], done["rows_replaced"], done["partitions_done"]) == (SERIES, SERIES, 2)
        assert done["seconds"] > 0
        assert events == [], "nothing is told of the past"
        send_live(place.settings)
        spikes = {time_of(step) for step in SPIKED}
        told = "the anomalies of the live samples"
        wait_for(lambda: {event.time_ms for event in list(events)} >= spikes, told, timeout_s=60)
    trial = place.api.http.post(f"/api/detectors/{place.detectors[0]}/detect", json=samples(range(NOW + LIVE))).json()
    scores = {
        (signal["labels"][0]["n"], time_ms): score
        for signal in trial["signals"]
        for time_ms, score in zip(signal["times_ms"], signal["score"], strict=True)
    }
    live = {(event.signal.labels["n"], event.time_ms): event.surprise for event in events}
    assert live == {place: scores[place] for place in live}


def send_live(settings: KafkaSettings) -> None:
    producer = make_producer(settings, "live")
    futures = []
    for step in range(NOW, NOW + LIVE):
        for number in range(SERIES):
            labels = labels_of(number)
            home = series_hash(encode_labels(labels), DEFAULT_TENANT) % settings.partitions
            value = encode_write_request([(labels, [(time_of(step), float(VALUES[step, number]))])])
            record = OutRecord(settings.topics.metrics, DEFAULT_TENANT.encode(), value, [], home)
            futures.append(send(producer, record))
    confirm(futures, 15)
    producer.close()


class FakeSource(BaseHTTPRequestHandler):
    """As a Prometheus has ``queue`` of the past and answers ranges of it, below ``/careless`` with more than that.

    As a Loki it counts thousands of them, as the answer to a query of LogQL.
    """

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self._answer(self.path, parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self._answer(url.path, parse_qs(url.query))

    def _answer(self, path: str, form: dict[str, list[str]]) -> None:
        (query,), start_s, end_s = form["query"], float(form["start"][0]), float(form["end"][0])
        self.asked.append(query)
        known = (query, path.removeprefix(CARELESS)) in (
            ("queue", "/api/v1/query_range"), (SUM_QUERY, "/api/v1/query_range"), (LOGQL, "/loki/api/v1/query_range"),
        )  # fmt: skip
        steps = range(round((start_s * 1000 - START_MS) / STEP_MS), round((end_s * 1000 - START_MS) / STEP_MS) + 1)
        result = [
            {"metric": labels_of(n), "values": [[time_of(at) / 1000, str(VALUES[at, n])] for at in steps]}
            for n in range(SERIES)
        ]
        if query == LOGQL:
            for n, one in enumerate(result):
                one["metric"] = {"n": str(n)}
                one["values"] = [[time_of(at) / 1000, str(VALUES[at, n] / 1024)] for at in steps]
        if query == SUM_QUERY:
            sums = [[time_of(at) / 1000, str(VALUES[at].sum())] for at in steps]
            result = [{"metric": dict[str, str](), "values": sums}]
        if path.startswith(CARELESS):
            wrong = [[time_of(at) / 1000, "1e9"] for at in (steps[0], steps[0] - 1, steps[-1] + 1)]
            for one in result:
                one["values"] = one["values"][::-1] + wrong
        told: dict[str, Any] = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        if not known:
            told = {"status": "error", "errorType": "bad_data", "error": f"not known: {query}"}
        body = json.dumps(told).encode()
        self.send_response(200 if known else 400)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeSource) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_range_is_fetched_part_by_part_under_the_labels_that_are_missing_there(
    place: Place, prometheus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_sender, "ALIVE_S", 0.02)
    http, path = place.api.http, f"/api/detectors/{place.detectors[2]}/train"
    ids = {
        kind: http.post("/api/datasources", json={"name": kind, "kind": kind, "url": prometheus}).json()["id"]
        for kind in ("prometheus", "loki")
    }
    steps = 2 * PART_STEPS + 500
    asked = {
        "source": ids["prometheus"], "from_ms": time_of(NOW - steps), "to_ms": time_of(NOW - 1),
        "step_s": STEP_MS // 1000, "labels": {"zone": "a"},
    }  # fmt: skip
    answer = http.post(path, json={"history": asked})
    assert answer.status_code == 202, answer.text
    done = place.until(answer.json()["id"], "done")
    assert (done["samples"], done["learned"], done["duplicates"]) == (steps * SERIES, steps * SERIES, 0)
    assert (done["series_matched"], done["series_unmatched"], done["rows_replaced"]) == (SERIES, 0, SERIES)
    assert FakeSource.asked == ["queue"] * 3

    steps_of = [dict(record.headers) for record in read_all(place.settings, place.settings.topics.metrics)]
    mine = Counter(one[TRAINING_STEP_HEADER] for one in steps_of if one.get(TRAINING_HEADER) == done["id"].encode())
    assert mine[b"begin"] > mine[b"end"] == place.settings.partitions, "it says again and again that it goes on"

    refused = http.post(path, json={"history": {**asked, "labels": {}}}).json()["id"]
    assert "not known" in place.until(refused, "failed")["reason"]
    for body, status, field in (
        ({"history": {**asked, "source": ids["loki"]}}, 422, "history.query"),
        ({"history": {**asked, "transforms": AS_LIVE}}, 422, "history"),
        ({"history": {**asked, "source": "nobody"}}, 404, None),
        ({"history": {**asked, "to_ms": 1}}, 422, "history"),
        ({"history": asked, "samples": samples(range(3))}, 422, "body"),
        ({}, 422, "body"),
    ):
        answer = http.post(path, json=body)
        errors = answer.json()["errors"]
        assert (answer.status_code, errors[0]["field"] if errors else None) == (status, field), answer.text


def of_logs(place: Place, url: str) -> dict[str, Any]:
    """A history of what a Loki counts, which is 300 steps of the series that are live."""
    made = place.api.http.post(
        "/api/datasources", json={"name": f"logs {os.urandom(4).hex()}", "kind": "loki", "url": url}
    )
    span = {"from_ms": time_of(NOW - 300), "to_ms": time_of(NOW - 1), "step_s": STEP_MS // 1000}
    return {"source": made.json()["id"], **span, "query": LOGQL, "transforms": AS_LIVE}


def test_numbers_of_logs_are_learned_as_a_collector_would_have_sent_them(place: Place, prometheus: str) -> None:
    http, tried = place.api.http, of_logs(place, prometheus)
    asked = {**tried, "labels": {"zone": "a"}}
    answer = http.post(f"/api/detectors/{place.detectors[2]}/train", json={"history": asked})
    assert answer.status_code == 202, answer.text
    done = place.until(answer.json()["id"], "done")
    assert (done["samples"], done["learned"], done["duplicates"]) == (300 * SERIES, 300 * SERIES, 0)
    assert (done["series_matched"], done["series_unmatched"], done["rows_replaced"]) == (SERIES, 0, SERIES)
    detect = f"/api/detectors/{place.detectors[0]}/detect"
    by_query, by_samples = (
        http.post(detect, json=body).json() for body in ({"history": tried}, samples(range(NOW - 300, NOW)))
    )
    assert by_query == by_samples, "live, preview and training judge the same samples alike"
    nameless = {**asked, "transforms": AS_LIVE[:1]}
    answer = http.post(f"/api/detectors/{place.detectors[2]}/train", json={"history": nameless})
    without = place.until(answer.json()["id"], "done")
    assert (without["samples"], without["series_unmatched"], without["rows_replaced"]) == (0, SERIES, 0)


def relabel(target: str, replacement: str, regex: str = "(.*)") -> dict[str, str]:
    return {"type": "relabel", "source": "n", "target": target, "regex": regex, "replacement": replacement}


def test_what_transforms_make_of_a_query_is_bounded_and_told(place: Place, prometheus: str) -> None:
    http, tried = place.api.http, of_logs(place, prometheus)
    detect = f"/api/detectors/{place.detectors[0]}/detect"
    collided = http.post(detect, json={"history": {**tried, "transforms": [*AS_LIVE, relabel("n", "same")]}}).json()
    assert [one["labels"][0]["n"] for one in collided["signals"]] == ["same"], "the first alone, as live"
    dropped = {**tried, "transforms": [*AS_LIVE, {"type": "drop", "label": "n", "regex": ".*"}]}
    answer = http.post(detect, json={"history": dropped})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "history.source"), answer.text
    endless = {**tried, "transforms": [relabel("n", "\\1" * 256)] * 4}
    assert http.post(detect, json={"history": endless}).status_code == 413
    made = http.post("/api/detectors", json={**SUMMED, "name": "by g", "group": {**SUMMED["group"], "by": ["g"]}})
    path = f"/api/detectors/{made.json()['id']}"
    nines = {"type": "relabel", "source": "g", "target": "g", "replacement": "\\1" * 9}
    doubled = {**tried, "transforms": [relabel("g", "x" * 1000), nines]}
    answer = http.post(f"{path}/detect", json={"history": doubled})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "history.query"), answer.text
    refused = http.post(f"{path}/train", json={"history": doubled}).json()["id"]
    assert len(place.until(refused, "failed")["reason"]) == training_sender.MAX_REASON, "Kafka takes no endless ones"


def test_the_api_asks_often_while_it_trains(place: Place) -> None:
    """The next samples wait for what the flow tells of those before; what it tells every half minute can wait."""
    context = place.api.context
    assert context is not None
    status = place.settings.topics.status
    keys = (b"training/t-0123456789abcdef/0", b"detector/d/0", b"partition/0", None)
    hurried = [context._hurries(Received(status, 0, 0, 0, key, b"", [])) for key in keys]
    assert hurried == [True, False, False, False]
    assert context._hurries(Received(place.settings.topics.anomalies, 0, 0, 0, b"x", b"", []))


def test_samples_that_were_not_asked_for_are_neither_learned_nor_tried(place: Place, prometheus: str) -> None:
    """A source answers backwards, with another value at a time that it gave already, and beyond both ends."""
    http, steps = place.api.http, 300
    trials = []
    for path in ("", CARELESS):
        made = http.post("/api/datasources", json={"name": f"at{path}", "kind": "prometheus", "url": prometheus + path})
        asked = {"source": made.json()["id"], "from_ms": time_of(NOW - steps), "to_ms": time_of(NOW - 1)}
        history = {**asked, "step_s": STEP_MS // 1000}
        answer = http.post("/api/detectors/preview", json={"config": MAD, "history": history})
        assert answer.status_code == 200, answer.text
        trials.append(answer.json()["trial"])
    assert trials[0] == trials[1]
    for reason, samples in (("outside", 2 * SERIES), ("duplicate", SERIES), ("unsorted", (steps - 1) * SERIES)):
        assert place.api.metric("tocsin_api_source_samples_amended_total", reason=reason) == samples

    train = f"/api/detectors/{place.detectors[2]}/train"
    answer = http.post(train, json={"history": {**history, "labels": {"zone": "a"}}})
    done = place.until(answer.json()["id"], "done")
    assert (done["samples"], done["learned"], done["duplicates"]) == (steps * SERIES, steps * SERIES, 0)


@pytest.mark.parametrize("of_a_source", [False, True])
def test_groups_learn_their_values_from_samples_and_from_their_expression(
    place: Place, prometheus: str, of_a_source: bool
) -> None:
    """On one partition; where they are judged they know it, and say so."""
    http, path = place.api.http, f"/api/detectors/{place.detectors[3]}/train"
    sums = {"labels": {"__name__": "of_all"}, "values": VALUES[NOW - 500 : NOW].sum(axis=1).tolist()}
    body: dict[str, Any] = {
        "samples": {"times_ms": [time_of(step) for step in range(NOW - 500, NOW)], "series": [sums]}
    }
    if of_a_source:
        made = http.post("/api/datasources", json={"name": "sums", "kind": "prometheus", "url": prometheus}).json()
        span = {"from_ms": time_of(NOW - 500) - 3, "to_ms": time_of(NOW - 1), "step_s": STEP_MS // 1000}
        body = {"history": {"source": made["id"], **span}}
        refused = http.post(path, json={"history": {**body["history"], "step_s": 15}}).json()
        assert refused["errors"][0]["field"] == "history.step_s"
    answer = http.post(path, json=body)
    assert answer.status_code == 202, answer.text
    done = place.until(answer.json()["id"], "done")
    assert (done["samples"], done["learned"], done["ahead"], done["rows_replaced"]) == (500, 500, 0, 1)
    assert (done["partitions"], done["partitions_done"], done["series_matched"]) == (1, 1, 1)


def test_what_cannot_be_trained_is_named(place: Place) -> None:
    http, detector = place.api.http, place.detectors[0]
    stopped = http.post("/api/detectors", json={**MAD, "name": "off", "threshold": 9, "enabled": False}).json()["id"]
    some = samples(range(3))
    other = {"times_ms": [1], "series": [{"labels": {"__name__": "x"}, "values": [1]}]}
    for detector_id, body, field in (
        (place.detectors[3], {**some, "times_ms": [time_of(0), time_of(1), time_of(1) + 1]}, "samples.times_ms"),
        (stopped, some, "enabled"),
        (detector, other, "samples.series"),
        (detector, {**some, "times_ms": [1]}, "samples.series.0.values"),
    ):
        answer = http.post(f"/api/detectors/{detector_id}/train", json={"samples": body})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    assert http.post("/api/detectors/nobody/train", json={"samples": some}).status_code == 404
    assert http.get("/api/trainings/t-0").status_code == 404
    assert http.post("/api/trainings/t-0/cancel").status_code == 404


def test_a_flow_that_says_nothing_is_not_waited_for_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.flow.kill()
    monkeypatch.setattr(training_sender, "ALIVE_S", 0.1)
    monkeypatch.setattr(training_sender, "PATIENCE_S", 0.3)
    failed = place.until(train(place, place.api, 0, range(NOW - 10, NOW)), "failed")
    assert "the flow has said nothing for" in failed["reason"]
    assert (failed["sent"], failed["learned"], failed["partitions_done"]) == (10 * SERIES, 0, 0)


def test_old_trainings_are_taken_out_of_the_topic_when_another_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every replica, and their keys are empty."""
    place.flow.kill()
    monkeypatch.setattr(training_sender, "ALIVE_S", 0.1)
    monkeypatch.setattr(training_sender, "PATIENCE_S", 0.3)
    monkeypatch.setattr(training_board, "KEPT_MS", -1)
    train(place, place.api, 0, range(NOW - 10, NOW))
    for api in (place.api, place.other):
        wait_for(lambda api=api: api.http.get("/api/trainings").json()["trainings"] == [], "no training to be left")
    last = {record.key: record.value for record in read_all(place.settings, place.settings.topics.status)}
    keys = [key for key in last if key is not None and key.startswith(b"training/")]
    assert keys
    assert [last[key] for key in keys] == [None] * len(keys)
