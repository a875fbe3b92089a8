"""Every answer of ingest, each proved by what stands in Kafka afterwards."""

from __future__ import annotations

import http.client
import json
import math
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import cramjam
import pytest

from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.families import read_types
from connectors.codec.series_hash import series_hash
from connectors.messages import MetricType, metadata_key
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests import wire
from tests.brokers import read_all
from tests.ingests import V1, V2, RunningIngest, running, sample, snappy
from tests.processes import wait_until

pytestmark = pytest.mark.integration

T = 1_700_000_000_000
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "prometheus").glob("*.json"))
UP = {"__name__": "up", "job": "a"}


@pytest.fixture(scope="module")
def shared(broker: str) -> Iterator[RunningIngest]:
    """One server for all tests that look only at series of their own names."""
    settings = KafkaSettings(kafka=broker, topic_prefix="ingest-shared", partitions=4)
    create_topics(settings)
    with running(settings) as ingest:
        yield ingest


@pytest.fixture
def ingest(shared: RunningIngest) -> RunningIngest:
    return shared


def found(ingest: RunningIngest, name: str) -> list[wire.Series]:
    return [series for _, _, series in ingest.written() if (b"__name__", name.encode()) in series.labels]


def one_2(labels: dict[str, str]) -> tuple[Any, Any]:
    """A 2.0 request and its one series with these labels."""
    symbols = [b""]
    refs = []
    for part in (text for pair in labels.items() for text in pair):
        symbols.append(part.encode())
        refs.append(len(symbols) - 1)
    request = wire.V2["Request"](symbols=symbols)
    return request, request.timeseries.add(labels_refs=refs)


SPECIAL = {
    "one": wire.bits(1.0), "nan": wire.QUIET_NAN_BITS, "stale": wire.STALE_BITS,
    "inf": wire.bits(math.inf), "minus_inf": wire.bits(-math.inf), "minus_zero": wire.bits(-0.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("version", [1, 2])
def test_values_are_written_bit_for_bit(ingest: RunningIngest, kind: str, version: int) -> None:
    name = f"special_{kind}_{version}"
    if version == 1:
        request = wire.V1["Request"]()
        series = request.timeseries.add()
        series.labels.add(name=b"__name__", value=name.encode())
        headers = V1
    else:
        request, series = one_2({"__name__": name})
        headers = V2
    series.samples.add(value=SPECIAL[kind], timestamp=T)
    answer = ingest.write(request.SerializeToString(), headers)
    assert (answer.status, answer.body) == (204, b"")
    assert [one.samples for one in found(ingest, name)] == [[(T, SPECIAL[kind], 0)]]
    if version == 2:
        assert answer.written == (1, 0, 0)
    else:
        assert not any(header.startswith("x-prometheus") for header in answer.headers)


@pytest.mark.parametrize(
    "labels",
    [
        {"job": "test\njob\n", "instance": "localhost:9090"},
        {"job.name": "testjob", "instance name": "x"},
        {"environment": "test🚀", "größe": "äöü"},
        {f"label_{number:03}": "x" * number for number in range(1, 200)},
    ],
)
def test_labels_of_all_kinds(ingest: RunningIngest, labels: dict[str, str]) -> None:
    name = f"labels {len(labels)} {next(iter(labels))}"
    labels = {"__name__": name, **labels}
    request, series = one_2(labels)
    series.samples.add(value=0, timestamp=T)
    assert ingest.write(request.SerializeToString(), V2).written == (1, 0, 0)
    assert [one.label_bytes() for one in found(ingest, name)] == [encode_labels(labels)]


def test_key_partition_and_order(ingest: RunningIngest) -> None:
    labels = [{"__name__": "placed", "n": str(number)} for number in range(40)]
    for time_ms in (1, 2, 3):
        body = encode_write_request((one, [(time_ms, 0.0)]) for one in labels)
        assert ingest.write(body, X_Scope_OrgID="team-a").status == 204
    times: dict[bytes, list[int]] = {}
    for key, partition, series in ingest.written():
        if (b"__name__", b"placed") in series.labels:
            assert key == b"team-a"
            assert partition == series_hash(series.label_bytes(), "team-a") % 4
            times.setdefault(series.label_bytes(), []).extend(time for time, _, _ in series.samples)
    assert times == {encode_labels(one): [1, 2, 3] for one in labels}


def test_unsorted_and_empty_labels(ingest: RunningIngest) -> None:
    request = wire.V1["Request"]()
    series = request.timeseries.add()
    for name, value in ((b"z", b"1"), (b"gone", b""), (b"__name__", b"unsorted"), (b"a", b"2")):
        series.labels.add(name=name, value=value)
    series.samples.add(value=0, timestamp=T)
    assert ingest.write(request.SerializeToString()).status == 204
    assert [one.labels for one in found(ingest, "unsorted")] == [
        ((b"__name__", b"unsorted"), (b"a", b"2"), (b"z", b"1"))
    ]


def test_zstd_as_vmagent_sends_it(ingest: RunningIngest) -> None:
    headers = {**V1, "Content-Encoding": "zstd", "X-VictoriaMetrics-Remote-Write-Version": "1"}
    assert ingest.raw(bytes(cramjam.zstd.compress(sample("by_zstd"))), headers).status == 204
    assert len(found(ingest, "by_zstd")) == 1


def test_the_npm_client_names_no_encoding(ingest: RunningIngest) -> None:
    content_type = {"Content-Type": "application/x-protobuf"}
    assert ingest.raw(snappy(sample("by_npm")), content_type).status == 204
    assert ingest.raw(bytes(cramjam.zstd.compress(sample("by_nobody"))), content_type).status == 204
    assert len(found(ingest, "by_npm")) == len(found(ingest, "by_nobody")) == 1


@pytest.mark.parametrize("body", [b"", b"\x00"])
def test_an_empty_body(ingest: RunningIngest, body: bytes) -> None:
    before = len(ingest.written())
    assert ingest.raw(body).status == 204
    assert len(ingest.written()) == before


def test_metadata_only(ingest: RunningIngest) -> None:
    request = wire.V1["Request"]()
    request.metadata.add(type=2, family=b"temperature_celsius", help=b"How warm.", unit=b"celsius")
    assert ingest.write(request.SerializeToString(), X_Scope_OrgID="m").status == 204
    two, series = one_2({"__name__": "orphan_total", "help": "Lost.", "unit": "things"})
    del series.labels_refs[2:]
    series.metadata.type, series.metadata.help_ref, series.metadata.unit_ref = 1, 4, 6
    answer = ingest.write(two.SerializeToString(), V2, X_Scope_OrgID="m")
    assert (answer.status, answer.written) == (204, (0, 0, 0))
    families = ingest.families()
    gauge, counter = families[metadata_key("m", "temperature_celsius")], families[metadata_key("m", "orphan_total")]
    assert (gauge.tenant, gauge.type, gauge.unit, gauge.help) == ("m", MetricType.GAUGE, "celsius", "How warm.")
    assert (counter.type, counter.unit, counter.help) == (MetricType.COUNTER, "things", "Lost.")
    assert found(ingest, "orphan_total") == []
    records = [one for one in read_all(ingest.settings, ingest.settings.topics.metrics) if one.key == b"m"]
    told = [(one.partition, family) for one in records for family in read_types(one.value or b"")]
    wanted = [("temperature_celsius", MetricType.GAUGE), ("orphan_total", MetricType.COUNTER)]
    assert sorted(told) == sorted((p, family) for p in range(ingest.settings.partitions) for family in wanted)


@pytest.mark.parametrize("number", range(8))
def test_metadata_of_every_type(ingest: RunningIngest, number: int) -> None:
    request = wire.V1["Request"]()
    request.metadata.add(type=number, family=f"typed_{number}".encode(), help=b"h")
    assert ingest.write(request.SerializeToString()).status == 204
    assert ingest.families()[metadata_key("anonymous", f"typed_{number}")].type == list(MetricType)[number]


def test_metadata_that_is_no_news_is_not_written_again(ingest: RunningIngest) -> None:
    request = wire.V1["Request"]()
    request.metadata.add(type=1, family=b"repeated", help=b"h")
    for _ in range(3):
        assert ingest.write(request.SerializeToString()).status == 204
    topic, key = ingest.settings.topics.metadata, metadata_key("anonymous", "repeated")
    assert [record.key for record in read_all(ingest.settings, topic)].count(key) == 1


@pytest.mark.parametrize("with_sample", [True, False])
def test_exemplars(ingest: RunningIngest, with_sample: bool) -> None:
    name = f"exemplars_{with_sample}"
    request, series = one_2({"__name__": name, "trace_id": "abc123def456", "user_id": "x"})
    del series.labels_refs[2:]
    if with_sample:
        series.samples.add(value=0, timestamp=T)
    series.exemplars.add(labels_refs=[3, 4], value=wire.bits(0.5), timestamp=T)
    series.exemplars.add(labels_refs=[5, 6], value=wire.bits(0.5), timestamp=T)
    series.exemplars.add(value=wire.bits(0.5), timestamp=T)
    answer = ingest.write(request.SerializeToString(), V2)
    assert (answer.status, answer.written) == (204, (int(with_sample), 0, 3))
    (one,) = found(ingest, name)
    assert [labels for labels, _, _ in one.exemplars] == [((b"trace_id", b"abc123def456"),), ((b"user_id", b"x"),), ()]
    assert len(one.samples) == int(with_sample)


def histogram(positive: bool, negative: bool, zero: bool, custom: bool = False, bad: bool = False) -> Any:
    """The histograms of the public compliance suite."""
    made = wire.V2["Histogram"](sum=wire.bits(1.0), timestamp=T, count_int=0)
    if positive:
        made.positive_spans.add(offset=0, length=3)
        made.positive_spans.add(offset=2, length=2)
        made.positive_deltas.extend([1, 2, 1, 3, 1])
        made.count_int += 23
    if negative:
        made.negative_spans.add(offset=0, length=2)
        made.negative_deltas.extend([1, 1])
        made.count_int += 3
    if zero:
        made.zero_count_int = 1
        made.count_int += 1
    if custom:
        made.schema, made.count_int = -53, 30
        made.custom_values.extend(wire.bits(bound) for bound in (0.1, 0.5, 1.0, 2.5, 5.0, 10.0))
        made.positive_spans.add(offset=0, length=6)
        made.positive_deltas.extend([2, 1, 2, 3, -1, -2])
    if bad:
        made.count_int = 99
    return made


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("full", histogram(True, True, True)),
        ("custom", histogram(False, False, False, custom=True)),
        ("positive", histogram(True, False, True)),
        ("negative", histogram(False, True, False)),
        ("zero", histogram(False, False, True)),
        ("empty", histogram(False, False, False)),
    ],
)
def test_native_histograms(ingest: RunningIngest, name: str, made: Any) -> None:
    request, series = one_2({"__name__": f"native_{name}"})
    series.histograms.append(made)
    series.created_timestamp = T - 5
    answer = ingest.write(request.SerializeToString(), V2)
    assert (answer.status, answer.written) == (204, (0, 1, 0))
    (one,) = found(ingest, f"native_{name}")
    assert one.histograms == [wire.canonical(made, T - 5)]


def test_one_bad_histogram_among_good_series(ingest: RunningIngest) -> None:
    request, series = one_2({"__name__": "good_beside", "bad_histogram": "good_after"})
    del series.labels_refs[2:]
    series.samples.add(value=0, timestamp=T)
    request.timeseries.add(labels_refs=[1, 3]).histograms.append(histogram(True, False, False, bad=True))
    request.timeseries.add(labels_refs=[1, 4]).histograms.append(histogram(True, False, False))
    answer = ingest.write(request.SerializeToString(), V2)
    assert (answer.status, answer.written) == (400, (1, 1, 0))
    assert answer.error["reason"] == "histogram_count"
    assert 'series 1 of the request, {__name__="bad_histogram"}' in answer.error["error"]
    names = ingest.names()
    assert "good_beside" in names
    assert "good_after" in names
    assert "bad_histogram" not in names


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([(b"job", b"nameless")], "no_name"),
        ([], "no_labels"),
        ([(b"__name__", b"twice"), (b"a", b"1"), (b"a", b"2")], "duplicate_label"),
        ([(b"__name__", b"twice"), (b"a", b"1"), (b"a", b"")], "duplicate_label"),
        ([(b"__name__", b"\xff\xfe")], "invalid_utf8"),
        ([(b"__name__", b"huge"), (b"a", b"x" * 60_000)], "label_value_too_long"),
        ([(b"__name__", b"huge"), *((f"l{n}".encode(), b"x" * 2000) for n in range(30))], "labels_too_large"),
    ],
)
def test_one_bad_series_among_good_ones(ingest: RunningIngest, labels: list[tuple[bytes, bytes]], reason: str) -> None:
    name = f"beside_{reason}_{len(labels)}_{sum(len(value) for _, value in labels)}"
    request = wire.V1["Request"]()
    for given in ([(b"__name__", name.encode())], labels, [(b"__name__", name.encode()), (b"n", b"2")]):
        series = request.timeseries.add()
        for label, value in given:
            series.labels.add(name=label, value=value)
        series.samples.add(value=0, timestamp=T)
    answer = ingest.write(request.SerializeToString())
    assert (answer.status, answer.error["reason"]) == (400, reason)
    assert "series 1 of the request" in answer.error["error"]
    assert not any(header.startswith("x-prometheus") for header in answer.headers)
    assert len(found(ingest, name)) == 2
    assert not {"twice", "huge"} & set(ingest.names())


@pytest.mark.parametrize("all_bad", [True, False])
def test_counts_of_partly_bad_2_requests(ingest: RunningIngest, all_bad: bool) -> None:
    request, series = one_2({"__name__": f"counted_{all_bad}", "job": "x"})
    del series.labels_refs[2:]
    for number in range(4):
        refs = [3, 4] if number == 0 or all_bad else [1, 2, 3, 4]
        request.timeseries.add(labels_refs=refs).samples.add(value=0, timestamp=T + number)
    answer = ingest.write(request.SerializeToString(), V2)
    assert (answer.status, answer.written) == (400, (0 if all_bad else 3, 0, 0))
    assert len(found(ingest, f"counted_{all_bad}")) == answer.written[0]


WHOLE = encode_write_request([({"__name__": "whole"}, [(T, 1.0)])])


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"0" + snappy(WHOLE)[1:], V1, 400, "bad_snappy"),
        (b"\xff" + snappy(WHOLE)[1:], V1, 400, "bad_snappy"),
        (snappy(WHOLE)[:-4], V1, 400, "bad_snappy"),
        (snappy(WHOLE[:-3]), V1, 400, "malformed_protobuf"),
        (snappy(WHOLE + b"\x0a\x7f"), V1, 400, "malformed_protobuf"),
        (snappy(WHOLE), {**V1, "Content-Encoding": "zstd"}, 400, "bad_zstd"),
        (b"\x80\x80\x80\x80\x08" + snappy(WHOLE)[1:], V1, 413, "too_large"),
        (b"0" + snappy(WHOLE), {**V1, "Content-Type": "application/json"}, 415, "content_type"),
        (b"0" + snappy(WHOLE), {**V1, "Content-Type": "image/png"}, 415, "content_type"),
        (b"0" + snappy(WHOLE), {**V1, "Content-Encoding": "gzip"}, 415, "content_encoding"),
        (b"0" + snappy(WHOLE), {**V1, "Content-Encoding": "deflate"}, 415, "content_encoding"),
        (snappy(WHOLE), {**V1, "X-Scope-OrgID": "a/b"}, 400, "bad_tenant"),
        (snappy(WHOLE), V2, 400, "other_version"),
        (snappy(wire.V2["Request"](symbols=[b""]).SerializeToString()), V1, 400, "other_version"),
        (snappy(wire.V2["Request"](symbols=[b"x"]).SerializeToString()), V2, 400, "bad_symbols"),
    ],
)
def test_the_whole_body_is_bad(
    ingest: RunningIngest, body: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = ingest.raw(body, headers)
    assert (answer.status, answer.error["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/json"
    assert ingest.write(sample(f"after_{reason}")).status == 204
    names = ingest.names()
    assert "whole" not in names
    assert f"after_{reason}" in names


def test_sizes_are_bounded_before_they_are_read(kafka_settings: KafkaSettings) -> None:
    limits = {
        "ingest_max_body_bytes": 10_000,
        "ingest_max_decoded_bytes": 20_000,
        "ingest_max_in_flight_bytes": 60_000,
    }
    with running(kafka_settings, **limits) as ingest:
        assert ingest.raw(os.urandom(10_001)).status == 413
        assert chunked(ingest, 1000, 100) == 413
        body = encode_write_request([({"__name__": "m", "pad": "x" * 19_990}, [(T, 1.0)])])
        assert ingest.raw(snappy(body)).status == 413
        assert ingest.raw(bytes(cramjam.zstd.compress(body)), {**V1, "Content-Encoding": "zstd"}).status == 413
        assert ingest.write(sample("small")).status == 204
        assert ingest.names() == ["small"]
        assert ingest.metric("tocsin_ingest_in_flight_bytes") == 0


def chunked(ingest: RunningIngest, chunk_bytes: int, chunks: int) -> int:
    """Status of a request whose length is not told beforehand."""
    connection = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=30)
    try:
        connection.request("POST", "/api/v1/write", (b"x" * chunk_bytes for _ in range(chunks)), V1)
        return connection.getresponse().status
    finally:
        connection.close()


def test_far_past_and_future_are_carried(ingest: RunningIngest) -> None:
    times = [-(2**63), -1, 0, T + 10**12, 2**63 - 1]
    request = wire.V1["Request"]()
    series = request.timeseries.add()
    series.labels.add(name=b"__name__", value=b"times")
    for time_ms in times:
        series.samples.add(value=0, timestamp=time_ms)
    assert ingest.write(request.SerializeToString()).status == 204
    assert [time_ms for one in found(ingest, "times") for time_ms, _, _ in one.samples] == times


def test_a_client_that_goes_away_leaves_nothing(ingest: RunningIngest) -> None:
    head = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", ingest.port)) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
        wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") > 0, 10.0, "the body to be read")
    wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") == 0, 10.0, "the budget to be free again")


def test_too_much_in_flight(kafka_settings: KafkaSettings) -> None:
    limits = {
        "ingest_max_body_bytes": 8_000,
        "ingest_max_decoded_bytes": 20_000,
        "ingest_max_in_flight_bytes": 50_000,
    }
    with running(kafka_settings, **limits) as ingest:
        head = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 7500\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", ingest.port)) for _ in range(4)]
        try:
            for connection in slow:
                connection.sendall(head + b"x" * 7_000)
            wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") > 40_000, 10.0, "the budget to fill")
            answer = ingest.write(encode_write_request([({"__name__": "m", "pad": "x" * 4_000}, [(T, 1.0)])]))
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            held = int(ingest.metric("tocsin_ingest_in_flight_bytes"))
            assert f"in flight: {held} of bodies that are still being sent" in answer.error["error"]
            assert "TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES" in answer.error["error"]
        finally:
            for connection in slow:
                connection.close()
        wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") == 0, 10.0, "the budget to be free again")
        assert ingest.write(sample("later")).status == 204
        assert ingest.names() == ["later"]


def test_bodies_that_are_never_whole_hold_the_budget_for_a_while_only(kafka_settings: KafkaSettings) -> None:
    limits = {
        "ingest_max_body_bytes": 8_000,
        "ingest_max_decoded_bytes": 20_000,
        "ingest_max_in_flight_bytes": 50_000,
        "ingest_body_timeout_s": 0.5,
    }
    head = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 7500\r\n\r\n"
    with running(kafka_settings, **limits) as ingest, ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", ingest.port), 30))
            connection.sendall(head + b"x" * 7_499)
            response = stack.enter_context(closing(http.client.HTTPResponse(connection, method="POST")))
            response.begin()
            assert (response.status, response.headers["connection"]) == (408, "close")
            error = json.loads(response.read())
            assert error["reason"] == "body_timeout"
            assert "TOCSIN_INGEST_BODY_TIMEOUT_S" in error["error"]
            assert connection.recv(1) == b""
        assert ingest.metric("tocsin_ingest_in_flight_bytes") == 0
        assert ingest.metric('tocsin_ingest_rejected_requests_total{reason="body_timeout"}') == 4
        assert ingest.write(sample("later")).status == 204
        assert ingest.names() == ["later"]


def test_a_header_without_end_is_refused(ingest: RunningIngest) -> None:
    with socket.create_connection(("127.0.0.1", ingest.port), 30) as connection:
        connection.sendall(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 431 ")
        assert ingest.write(sample("beside_a_header")).status == 204


def test_two_tenants_are_refused(ingest: RunningIngest) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=30)
    with closing(connection):
        connection.putrequest("POST", "/api/v1/write")
        for name, value in [*V1.items(), ("X-Scope-OrgID", "a"), ("X-Scope-OrgID", "b"), ("Content-Length", "0")]:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 400
        assert json.loads(response.read())["reason"] == "bad_tenant"


def test_a_full_embedded_broker(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    with running(kafka_settings, broker_status_file=status) as ingest:
        assert ingest.write(sample("before")).status == 204
        status.write_text(json.dumps({"full": True, "message": "full: use a real Kafka with TOCSIN_KAFKA=host:port"}))
        wait_until(lambda: ingest.get("/health")["status"] == "degraded", 5.0, "the file to be read")
        answer = ingest.write(sample("during"))
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
        assert "TOCSIN_KAFKA" in answer.error["error"]
        status.write_text(json.dumps({"full": False, "message": ""}))
        wait_until(lambda: ingest.get("/health")["status"] == "ok", 5.0, "the file to be read again")
        assert ingest.write(sample("after")).status == 204
        assert ingest.names() == ["after", "before"]


def test_probes(ingest: RunningIngest) -> None:
    assert ingest.get("/alive") == {"alive": True}
    assert ingest.get("/ready") == {"ready": True, "reason": ""}
    health = ingest.get("/health")
    assert health["status"] == "ok"
    assert set(health["components"]) == {"kafka", "control", "broker"}
    before = ingest.metric('tocsin_ingest_requests_total{code="204"}')
    assert ingest.write(sample("counted")).status == 204
    assert ingest.metric('tocsin_ingest_requests_total{code="204"}') == before + 1
    for path, status, reason in (("/api/v1/write", 405, "method_not_allowed"), ("/nowhere", 404, "not_found")):
        answer = ingest.request("GET", path)
        assert (answer.status, answer.error["reason"]) == (status, reason)


def test_not_ready_without_kafka(kafka_settings: KafkaSettings) -> None:
    nobody = kafka_settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with running(nobody, ready=False) as ingest:
        assert ingest.request("GET", "/ready").status == 503
        answer = ingest.write(sample("lost"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "TOCSIN_KAFKA" in answer.error["error"]
        assert ingest.request("GET", "/alive").status == 200


def test_another_number_of_partitions_ends_the_process(kafka_settings: KafkaSettings) -> None:
    other = kafka_settings.model_copy(update={"partitions": 7})
    with running(other, ready=False) as ingest:
        app = ingest.app
        assert app is not None
        wait_until(lambda: app.died, 90.0, "ingest to notice")
        assert "TOCSIN_PARTITIONS" in str(app.courier.error)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_bodies_of_real_prometheus(ingest: RunningIngest, path: Path) -> None:
    ingest.assert_taken(path, tenant=f"golden-{path.stem}")
