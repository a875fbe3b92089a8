"""Pushes without Kafka: what is handed to the courier, and what is reserved meanwhile."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest

from connectors.budget import Budget, Held
from connectors.codec.push_negotiation import Layout, Push
from connectors.codec.pushed import Pushed
from connectors.courier import Courier
from connectors.errors import NothingGiven, Overloaded, Rejected, TooLarge
from connectors.ingest_meters import IngestMeters
from connectors.ingest_settings import IngestSettings
from connectors.job import Batch, Settled
from connectors.messages import OutRecord
from connectors.pushes import RECORD_BYTES_BESIDE, Pushes
from tests.ingests import snappy
from tests.pushes import T, json_request, read_stream, request

B = TypeVar("B")


class FakeCourier:
    """Prepares in another thread and settles as a courier does; keeps what it was given and how much was reserved."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.records: list[OutRecord] = []
        self.used_bytes = 0

    async def deliver(self, prepare: Callable[[], Batch[B]], settled: Settled, timeout_s: float) -> B:
        assert timeout_s == 10.0
        failed: BaseException | None = None
        try:
            batch = await asyncio.to_thread(prepare)
            assert batch.pieces == [], "records of streams are not to be joined"
            self.records, self.used_bytes = batch.records, self._budget.used_bytes
        except BaseException as error:
            failed = error
            raise
        finally:
            settled(failed)
        return batch.outcome


class Place:
    """Pushes with a budget of their own."""

    def __init__(self, limit_bytes: int = 1 << 28, **settings: Any) -> None:
        self.budget = Budget(limit_bytes)
        self.courier = FakeCourier(self.budget)
        self.meters = IngestMeters()
        self.pushes = Pushes(IngestSettings(partitions=4, **settings), self.meters)

    def push(self, body: bytes, layout: Layout = Layout.PROTOBUF) -> Pushed:
        held = Held(self.budget)
        courier, said = cast("Courier", self.courier), Push(layout, "team-a")

        async def deliver() -> Pushed:
            try:
                return await self.pushes.deliver(courier, said, body, held)
            finally:
                held.let_go()

        try:
            return asyncio.run(deliver())
        finally:
            assert self.budget.used_bytes == 0

    def count(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(f"tocsin_ingest_{name}", labels)


def test_each_stream_is_a_record() -> None:
    place = Place()
    found = place.push(snappy(request(('{a="1"}', ["x", "y"]), ('{a="2"}', ["z"]), ('{ a="1" }', ["w"]))))
    assert (found.lines, found.complaint) == (4, None)
    assert {(one.topic, one.key, tuple(one.headers)) for one in place.courier.records} == {
        ("tocsin.logs", b"team-a", ())
    }
    streams = [read_stream(one.value or b"") for one in place.courier.records]
    assert [one.partition for one in place.courier.records] == [stream.hash % 4 for stream in streams]
    assert [[line for _, line, _ in stream.lines] for stream in streams] == [[b"x", b"y", b"w"], [b"z"]]


def test_what_is_counted() -> None:
    place = Place(ingest_max_line_bytes=1024)
    body = request(('{a="1"}', ["x", "y" * 1025]), ("{}", ["z", "z"]), ('{a="2"}', []))
    for _ in range(2):
        place.push(snappy(body))
    assert place.count("log_lines_total") == 2
    assert place.count("log_streams_total") == 6
    assert place.count("rejected_log_lines_total", reason="line_too_long") == 2
    assert place.count("rejected_log_lines_total", reason="no_labels") == 4
    assert place.count("stream_labels") == place.count("stream_labels_read_total") == 2
    assert place.count("decoded_bytes_total") == 2 * len(body)
    assert place.count("kafka_bytes_total") == 2 * sum(len(one.value or b"") for one in place.courier.records)


@pytest.mark.parametrize("layout", Layout)
def test_text_and_records_count_as_in_flight(layout: Layout) -> None:
    place = Place()
    text = json_request(({"a": "1"}, [[str(T), "x" * 1000]] * 200))
    body = {Layout.JSON: text, Layout.GZIPPED_JSON: gzip.compress(text)}.get(layout)
    if body is None:
        text = request(('{a="1"}', ["x" * 1000] * 200))
        body = snappy(text)
    assert place.push(body, layout).lines == 200
    made_bytes = sum(len(one.value or b"") for one in place.courier.records)
    assert place.courier.used_bytes >= len(text) + made_bytes > 400_000


def test_labels_that_stand_in_many_records_count_as_in_flight() -> None:
    place = Place()
    labels = "{" + ",".join(f'l{n}="{"x" * 2000}"' for n in range(15)) + "}"
    text = request((labels, ["y" * 262_144] * 40))
    assert place.push(snappy(text)).lines == 40
    made_bytes = sum(len(one.value or b"") for one in place.courier.records)
    assert made_bytes > len(text) + 19 * len(labels)
    assert place.courier.used_bytes >= len(text) + made_bytes


def test_records_cost_more_than_their_values() -> None:
    place = Place()
    place.push(snappy(request(*[(f'{{n="{number}"}}', ["x"]) for number in range(1000)])))
    assert len(place.courier.records) == 1000
    assert place.courier.used_bytes > 1000 * RECORD_BYTES_BESIDE
    with pytest.raises(Overloaded):
        Place(1_000_000).push(snappy(request(*[(f'{{n="{number}"}}', ["x"]) for number in range(1000)])))


def test_what_a_gzip_does_not_tell_is_reserved_when_it_is_known() -> None:
    text = json_request(({"a": "1"}, [[str(T), "x" * 1000]] * 100))
    several = gzip.compress(text) + gzip.compress(b" ")
    place = Place()
    assert place.push(several, Layout.GZIPPED_JSON).lines == 100
    assert place.courier.used_bytes >= 2 * len(text)
    with pytest.raises(Overloaded):
        Place(100_000).push(several, Layout.GZIPPED_JSON)
    with pytest.raises(TooLarge):
        Place(ingest_max_decoded_bytes=100_000).push(several, Layout.GZIPPED_JSON)


@pytest.mark.parametrize(
    ("body", "layout"),
    [
        (b"\x00", Layout.PROTOBUF),
        (b'{"streams": []}', Layout.JSON),
        (gzip.compress(b"{}", mtime=0), Layout.GZIPPED_JSON),
    ],
    ids=str,
)
def test_no_streams(body: bytes, layout: Layout) -> None:
    with pytest.raises(NothingGiven, match="there are none") as caught:
        Place().push(body, layout)
    assert caught.value.reason == "no_streams"


@pytest.mark.parametrize("layout", Layout)
def test_an_empty_body(layout: Layout) -> None:
    with pytest.raises(Rejected, match="it is empty"):
        Place().push(b"", layout)


def test_nothing_is_sent_when_all_lines_are_bad() -> None:
    place = Place()
    found = place.push(json_request(({"a": "1"}, [[1, "x"]])), Layout.JSON)
    assert (found.lines, place.courier.records) == (0, [])
    assert found.complaint is not None
