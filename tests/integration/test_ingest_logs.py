"""Every answer to a push of logs, each proved by what stands in Kafka afterwards."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import pytest

from connectors.codec.limits import LONGEST_LINE_BYTES, MAX_LABEL_BYTES
from connectors.codec.stream import labels_text
from connectors.messages import ControlRecord
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ROOT, read_all
from tests.ingests import RunningIngest, is_control, running, sample, snappy
from tests.processes import wait_until
from tests.pushes import JSON, NS, PROTOBUF, PUSH, T, json_request, push, raw_push, request, written

pytestmark = pytest.mark.integration


def by_reason(value: object) -> str:
    """Name of a variant: gzip has the time in its header, and workers must find the same tests."""
    return value if isinstance(value, str) else ""


GZIP = {**JSON, "Content-Encoding": "gzip"}
SHOP = '{app="shop"}'


@pytest.fixture(scope="module")
def shared(broker: str) -> Iterator[RunningIngest]:
    """One server for all tests that look only at their own tenant."""
    settings = KafkaSettings(kafka=broker, topic_prefix="ingest-logs", partitions=4)
    create_topics(settings)
    with running(settings) as ingest:
        yield ingest


@pytest.fixture
def ingest(shared: RunningIngest) -> RunningIngest:
    return shared


@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "snappy"}])
def test_protobuf(ingest: RunningIngest, encoding: dict[str, str]) -> None:
    tenant = f"protobuf-{len(encoding)}"
    lines = [(T, "first", {}), (T + 1, "", {}), (T - 5, "zweite: äöü", {"trace_id": "abc", "level": "info"})]
    answer = push(
        ingest, request((SHOP, lines), ('{b="2", a="1"}', [b"\xff\x00raw"])), {**PROTOBUF, **encoding}, tenant
    )
    assert (answer.status, answer.body) == (204, b"")
    metadata = ((b"trace_id", b"abc"), (b"level", b"info"))
    assert written(ingest, tenant) == {
        SHOP: [(T, b"first", ()), (T + 1, b"", ()), (T - 5, "zweite: äöü".encode(), metadata)],
        '{a="1", b="2"}': [(T, b"\xff\x00raw", ())],
    }


@pytest.mark.parametrize("zipped", [False, True])
def test_json(ingest: RunningIngest, zipped: bool) -> None:
    tenant = f"json-{zipped}"
    body = json_request(
        ({"app": "shop", "env": "dev"}, [[str(T), "one"], [str(T + 1), ""], [str(T), "two ü", {"trace_id": "abc"}]]),
        ({"app": "shop", "gone": "", "env": "dev"}, [[str(T), "one"]]),
    )
    answer = raw_push(ingest, gzip.compress(body) if zipped else body, GZIP if zipped else JSON, tenant)
    assert (answer.status, answer.body) == (204, b"")
    expected = [(T, b"one", ()), (T + 1, b"", ()), (T, "two ü".encode(), ((b"trace_id", b"abc"),)), (T, b"one", ())]
    assert written(ingest, tenant) == {'{app="shop", env="dev"}': expected}


def test_what_loki_lets_pass(ingest: RunningIngest) -> None:
    text = (
        '{"streams": [{"stream": {"app": "old", "app": "shop"}, "values": [["%d", "twice"]], "more": true},'
        ' {"stream": {}, "values": []}, {"stream": {"app": "shop"}, "values": [["0", "of 1970"], ["%d", "far"]]}]}'
    )
    far = 4_102_444_799 * NS
    assert raw_push(ingest, (text % (T, far)).encode(), JSON, "lenient").status == 204
    assert written(ingest, "lenient") == {SHOP: [(T, b"twice", ()), (0, b"of 1970", ()), (far, b"far", ())]}


def test_half_characters_become_the_sign_for_what_is_none(ingest: RunningIngest) -> None:
    body = json.dumps({"streams": [{"stream": {"app": "shop"}, "values": [[str(T), "a\udc80b\\ud800 \U0001f600"]]}]})
    assert raw_push(ingest, body.encode(), JSON, "halves").status == 204
    assert written(ingest, "halves") == {SHOP: [(T, "a\ufffdb\\ud800 \U0001f600".encode(), ())]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (snappy(b""), PROTOBUF),
        (b'{"streams": []}', JSON),
        (b"{}", JSON),
        (gzip.compress(b'{"streams": null}'), GZIP),
    ],
    ids=by_reason,
)
def test_no_streams(ingest: RunningIngest, body: bytes, headers: dict[str, str]) -> None:
    answer = raw_push(ingest, body, headers, "none")
    assert (answer.status, answer.error["reason"]) == (422, "no_streams")


GOOD_JSON = json_request(({"app": "shop"}, [[str(T), "good"]]))
GOOD = request((SHOP, ["good"]))


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"", PROTOBUF, "empty_body"),
        (b"", JSON, "empty_body"),
        (GOOD_JSON[:-2], JSON, "bad_json"),
        (b"[]", JSON, "bad_json"),
        (b'{"streams": {}}', JSON, "bad_json"),
        (b'{"streams": [1]}', JSON, "bad_json"),
        (b'{"streams": [{"stream": [], "values": [["1", ""]]}]}', JSON, "bad_json") ,
        (b'{"streams": [{"stream": {"a": "b"}, "values": {"1": ""}}]}', JSON, "bad_json"),
        (b'{"streams": ' + b"[" * 5000, JSON, "bad_json"),
        (b'{"streams": [{"stream": {"a": "\xff"}, "values": [["1", ""]]}]}', JSON, "bad_json"),
        (json_request(({"app": "shop"}, [[T, "numeric"]])), JSON, "bad_time"),
        (json_request(({"app": "shop"}, [["2023-11-14T22:13:20Z", "text"]])), JSON, "bad_time"),
        (json_request(({"app": "shop"}, [["-1", "before"]])), JSON, "bad_time"),
        (json_request(({"app": "shop"}, [[str(4_102_444_800 * NS), "beyond"]])), JSON, "bad_time"),
        (json_request(({"app": "shop"}, [[str(T), {"no": "line"}]])), JSON, "bad_line"),
        (json_request(({"app": "shop"}, ["no list"])), JSON, "bad_line"),
        (json_request(({"app": "shop"}, [[str(T), "x", {"number": 1}]])), JSON, "bad_metadata"),
        (json_request(({"app": "shop"}, [[str(T), "x" * 262_145]])), JSON, "line_too_long"),
        (json_request(({}, [[str(T), "x"]])), JSON, "no_labels"),
        (json_request(({"app": ""}, [[str(T), "x"]])), JSON, "no_labels"),
        (json_request(({"app-name": "x"}, [[str(T), "x"]])), JSON, "bad_label_name"),
        (json_request(({"app": 1}, [[str(T), "x"]])), JSON, "bad_label_value"),
        (json_request(({"app": "x" * 2049}, [[str(T), "x"]])), JSON, "label_value_too_long"),
        (request(("{}", ["x"])), PROTOBUF, "no_labels"),
        (request(("", ["x"])), PROTOBUF, "bad_labels"),
        (request(('{app-name="x"}', ["x"])), PROTOBUF, "bad_label_name"),
        (request(('{app="x", app="y"}', ["x"])), PROTOBUF, "duplicate_label"),
        (request((b'{app="\xff"}', ["x"])), PROTOBUF, "invalid_utf8"),
        (request(("{app='x'}", ["x"])), PROTOBUF, "bad_labels"),
        (request((SHOP, [(-1, "before", {})])), PROTOBUF, "bad_time"),
        (request((SHOP, [(4_102_444_800 * NS, "beyond", {})])), PROTOBUF, "bad_time"),
        (request((SHOP, ["x" * 262_145])), PROTOBUF, "line_too_long"),
        (request((SHOP, [(T, "x", {"m": "x" * 65_536})])), PROTOBUF, "too_much_metadata"),
        (GOOD[:-3], PROTOBUF, "malformed_protobuf"),
    ],
    ids=by_reason,
)  # fmt: skip
def test_what_is_refused_with_400(ingest: RunningIngest, body: bytes, headers: dict[str, str], reason: str) -> None:
    sent = snappy(body) if headers is PROTOBUF and body else body
    answer = raw_push(ingest, sent, headers, "bad")
    assert (answer.status, answer.error["reason"]) == (400, reason), answer.body
    assert answer.headers["content-type"] == "application/json"
    assert written(ingest, "bad") == {}


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (snappy(GOOD), {}, "content_type"),
        (snappy(GOOD), {"Content-Type": "application/octet-stream"}, "content_type"),
        (snappy(GOOD), {**PROTOBUF, "Content-Encoding": "gzip"}, "content_encoding"),
        (bytes(cramjam.zstd.compress(GOOD)), {**PROTOBUF, "Content-Encoding": "zstd"}, "content_encoding"),
        (bytes(cramjam.zstd.compress(GOOD)), PROTOBUF, "bad_snappy"),
        (GOOD_JSON, {**JSON, "Content-Encoding": "zstd"}, "content_encoding"),
        (GOOD_JSON, PROTOBUF, "bad_snappy"),
        (snappy(GOOD)[:-2], PROTOBUF, "bad_snappy"),
        (GOOD_JSON, GZIP, "bad_gzip"),
        (gzip.compress(GOOD_JSON)[:-9], GZIP, "bad_gzip"),
        (snappy(GOOD), {**PROTOBUF, "X-Scope-OrgID": "a/b"}, "bad_tenant"),
    ],
    ids=by_reason,
)
def test_what_is_not_what_it_says(ingest: RunningIngest, body: bytes, headers: dict[str, str], reason: str) -> None:
    answer = raw_push(ingest, body, headers)
    assert (answer.status, answer.error["reason"]) == (400, reason), answer.body


def test_good_lines_of_a_partly_bad_push_are_kept(ingest: RunningIngest) -> None:
    body = request(
        (SHOP, ["one", (-5 * NS, "bad", {}), "two"]),
        ("{", ["lost", "lost"]),
        ('{app="other"}', ["three", "x" * 262_145]),
    )
    answer = push(ingest, body, PROTOBUF, "partly")
    assert (answer.status, answer.error["reason"]) == (400, "bad_time")
    assert answer.error["error"] == (
        'stream 0, {app="shop"}, line 1: time of -5 s and 0 ns: must be after 1970 and before the year 2100, with 0 to '
        "999999999 ns (4 of 7 lines refused, the others are written)"
    )
    assert written(ingest, "partly") == {
        SHOP: [(T, b"one", ()), (T + 2, b"two", ())],
        '{app="other"}': [(T, b"three", ())],
    }
    for reason, count in (("bad_time", 1), ("bad_labels", 2), ("line_too_long", 1)):
        assert ingest.metric(f'tocsin_ingest_rejected_log_lines_total{{reason="{reason}"}}') >= count


def test_good_lines_of_partly_bad_json_are_kept(ingest: RunningIngest) -> None:
    values = [[str(T), "one"], [T, "numeric"], [str(T + 1), "two"]]
    answer = raw_push(ingest, json_request(({"app": "shop"}, values), ({"a b": ""}, values)), JSON, "partly-json")
    assert answer.status == 400
    assert answer.error["error"] == (
        f'stream 0, {{app="shop"}}, line 1: time {T}: must be a string of nanoseconds since 1970, before the year 2100 '
        "(4 of 6 lines refused, the others are written)"
    )
    assert written(ingest, "partly-json") == {SHOP: [(T, b"one", ()), (T + 1, b"two", ())]}


def test_a_large_stream_becomes_several_records_in_order(ingest: RunningIngest) -> None:
    lines = [os.urandom(100_000) for _ in range(40)]
    assert push(ingest, request((SHOP, lines[:20]), (' {app = "shop"} ', lines[20:])), PROTOBUF, "large").status == 204
    assert [line for _, line, _ in written(ingest, "large")[SHOP]] == lines
    records = [one for one in read_all(ingest.settings, ingest.settings.topics.logs) if one.key == b"large"]
    assert len(records) == 8
    assert all(len(record.value or b"") < 600_000 for record in records)


def test_control_records_stand_in_every_partition(ingest: RunningIngest) -> None:
    def controls() -> list[tuple[int, ControlRecord]]:
        records = read_all(ingest.settings, ingest.settings.topics.logs)
        return [(one.partition, ControlRecord.decode(one.value or b"")) for one in records if is_control(one)]

    wait_until(lambda: len(controls()) >= 8, 20.0, "two ticks")
    found = controls()
    assert {partition for partition, _ in found} == set(range(4))
    assert {record.partitions for _, record in found} == {4}
    for partition in range(4):
        times = [record.time_ms for at, record in found if at == partition]
        assert times == sorted(set(times))


def test_sizes_are_bounded_before_they_are_read(kafka_settings: KafkaSettings) -> None:
    limits = {
        "ingest_max_body_bytes": 10_000,
        "ingest_max_decoded_bytes": 20_000,
        "ingest_max_in_flight_bytes": 60_000,
        "ingest_max_line_bytes": 4_000,
    }
    with running(kafka_settings, **limits) as ingest:
        padded = json_request(({"app": "shop"}, [[str(T), "x" * 1_000] for _ in range(30)]))
        bombs: list[tuple[bytes, dict[str, str]]] = [
            (os.urandom(10_001), PROTOBUF),
            (snappy(request((SHOP, ["x" * 20_000]))), PROTOBUF),
            (gzip.compress(padded), GZIP),
            (gzip.compress(padded) + gzip.compress(b"\n"), GZIP),
            (gzip.compress(b"x" * 15_000) + gzip.compress(b"x" * 15_000), GZIP),
        ]
        for body, headers in bombs:
            answer = raw_push(ingest, body, headers)
            assert (answer.status, answer.error["reason"]) == (413, "too_large"), answer.body
        assert push(ingest, request((SHOP, ["x" * 4_001]))).error["reason"] == "line_too_long"
        assert push(ingest, request((SHOP, ["x" * 4_000]))).status == 204
        assert ingest.metric("tocsin_ingest_in_flight_bytes") == 0


def test_a_body_that_is_never_whole_and_a_full_broker(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    with running(kafka_settings, broker_status_file=status, ingest_body_timeout_s=0.2) as ingest:
        head = f"POST {PUSH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", ingest.port), 30) as connection:
            connection.sendall(head.encode() + b"{")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert ingest.metric("tocsin_ingest_in_flight_bytes") == 0
        status.write_text(json.dumps({"full": True, "message": "full: use a real Kafka with TOCSIN_KAFKA=host:port"}))
        wait_until(lambda: ingest.get("/health")["status"] == "degraded", 5.0, "the file to be read")
        answer = push(ingest, GOOD)
        assert (answer.status, "TOCSIN_KAFKA" in answer.error["error"]) == (429, True)
        assert int(answer.headers["retry-after"]) > 0


def test_too_many_streams_at_once_are_refused_for_now(kafka_settings: KafkaSettings) -> None:
    limits = {
        "ingest_max_body_bytes": 10_000,
        "ingest_max_decoded_bytes": 20_000,
        "ingest_max_in_flight_bytes": 60_000,
    }
    with running(kafka_settings, **limits) as ingest:
        answer = push(ingest, request(*[(f'{{n="{number}"}}', ["x"]) for number in range(50)]))
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert "TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES" in answer.error["error"]
        assert push(ingest, GOOD).status == 204
        assert ingest.metric("tocsin_ingest_in_flight_bytes") == 0


def test_the_largest_record_is_taken_by_kafka(kafka_settings: KafkaSettings) -> None:
    """Labels that double when they are quoted, the longest line and all the metadata that settings allow."""
    limits = {
        "ingest_max_line_bytes": LONGEST_LINE_BYTES,
        "ingest_max_series_label_bytes": MAX_LABEL_BYTES,
        "ingest_max_label_value_bytes": MAX_LABEL_BYTES,
    }
    labels = {f"l{number}": "\n" * 32_600 for number in range(2)}
    line, metadata = random.Random(1).randbytes(LONGEST_LINE_BYTES), {f"n{n}": "x" * 500 for n in range(128)}
    with running(kafka_settings, **limits) as ingest:
        answer = push(ingest, request((labels_text(labels), [(T, line, metadata)] * 2)))
        assert (answer.status, answer.body) == (204, b"")
        ((found, lines),) = written(ingest, "anonymous").items()
        assert found == labels_text(labels)
        assert [one for _, one, _ in lines] == [line, line]
        records = [one for one in read_all(ingest.settings, ingest.settings.topics.logs) if not is_control(one)]
        assert max(len(one.value or b"") for one in records) > 700_000


def test_too_many_streams(ingest: RunningIngest) -> None:
    streams: list[tuple[bytes | str, list[Any]]] = [(f'{{n="{number}"}}', ["x"]) for number in range(10_001)]
    answer = push(ingest, request(*streams), PROTOBUF, "many")
    assert (answer.status, answer.error["reason"]) == (413, "too_many_streams")
    assert push(ingest, request(*streams[1:]), PROTOBUF, "many").status == 204
    assert len(written(ingest, "many")) == 10_000


def test_counters(ingest: RunningIngest) -> None:
    names = ("log_lines_total", "log_streams_total", "kafka_bytes_total", "stream_labels")
    before = [ingest.metric(f"tocsin_ingest_{name}") for name in names]
    assert (
        push(ingest, request(('{counted="1"}', ["a", "b"]), ('{counted="2"}', ["c"])), PROTOBUF, "count").status == 204
    )
    lines, streams, size, known = (
        ingest.metric(f"tocsin_ingest_{name}") - was for name, was in zip(names, before, strict=True)
    )
    assert (lines, streams, known) == (3, 2, 2)
    assert size > 0
    assert ingest.metric('tocsin_ingest_requests_total{code="204"}') > 0


def test_samples_and_lines_go_their_own_ways(ingest: RunningIngest) -> None:
    assert ingest.write(sample("beside_lines")).status == 204
    assert push(ingest, request((SHOP, ["beside samples"]))).status == 204
    assert "beside_lines" in ingest.names()
    assert written(ingest, "anonymous")[SHOP][-1][1] == b"beside samples"


def test_the_command_of_the_docs(ingest: RunningIngest) -> None:
    page = (ROOT / "docs" / "ingest.md").read_text()
    (command,) = re.findall(r"^```sh\n(curl .*?/loki/api/v1/push.*?)^```$", page, re.MULTILINE | re.DOTALL)
    here = command.replace("127.0.0.1:8001", f"127.0.0.1:{ingest.port}").replace(
        "curl ", "curl -sS -H 'X-Scope-OrgID: d' "
    )
    before_ns = time.time_ns()
    done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ((time_ns, line, metadata),) = written(ingest, "d")['{app="shop", level="error"}']
    assert (line, metadata) == (b"payment failed", ((b"trace_id", b"0242ac12"),))
    assert abs(time_ns - before_ns) < 30 * NS


def test_only_posts(ingest: RunningIngest) -> None:
    answer = ingest.request("GET", PUSH)
    assert (answer.status, answer.error["reason"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert PUSH in ingest.request("GET", "/nowhere").error["error"]


def test_not_ready_without_kafka(kafka_settings: KafkaSettings) -> None:
    nobody = kafka_settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with running(nobody, ready=False) as ingest:
        answer = push(ingest, GOOD)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "TOCSIN_KAFKA" in answer.error["error"]
