from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import reader as module
from connectors.errors import OffsetGone
from connectors.reader import Reader, gone
from connectors.received import Received
from connectors.settings import KafkaSettings
from tests.unit.connectors.test_follower import FakeConsumer

TOPIC = "t.metrics"


class Fed(Reader[Received]):
    """A reader whose records come from the test instead of a thread."""

    def _ensure_thread(self) -> None:
        pass

    def feed(self, partition: int, sizes: list[int]) -> None:
        start = self._queues[partition].fetched
        self._keep(partition, [received(partition, start + at, size) for at, size in enumerate(sizes)])

    def die(self, error: BaseException) -> None:
        self._error = error


def received(partition: int, offset: int, size: int) -> Received:
    return Received(TOPIC, partition, offset, 0, b"", bytes(size), [])


@pytest.fixture
def reader() -> Iterator[Fed]:
    fed = Fed(KafkaSettings(), TOPIC, list, bound_bytes=1_000, bound_records=100)
    fed.add(0, 7)
    fed.add(1, 0)
    yield fed
    fed.stop()


def test_nothing_came(reader: Fed) -> None:
    assert reader.pop(0) == []
    assert not reader.waiting(0)
    assert reader.position(0) == 7


def test_pops_follow_the_offsets_of_their_partition(reader: Fed) -> None:
    reader.feed(0, [1, 1])
    reader.feed(1, [1])
    assert reader.waiting(0)
    assert [record.offset for record in reader.pop(0)] == [7, 8]
    assert reader.position(0) == 9
    assert reader.position(1) == 0
    assert [record.offset for record in reader.pop(1)] == [0]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=50), st.integers(1, 500), st.integers(1, 20))
def test_a_batch_ends_with_the_portion_that_reaches_a_limit(sizes: list[int], max_bytes: int, max_records: int) -> None:
    fed = Fed(KafkaSettings(), TOPIC, list)
    fed.add(0, 0)
    for size in sizes:
        fed.feed(0, [size])
    popped: list[Received] = []
    while batch := fed.pop(0, max_bytes, max_records):
        assert len(batch) <= max_records
        assert sum(len(record.value or b"") for record in batch[:-1]) < max_bytes
        popped += batch
    assert [record.offset for record in popped] == list(range(len(sizes)))
    assert fed.stats()[:2] == (0, 0)
    assert fed.stats().received_bytes_total == sum(sizes)


def test_depth_is_counted_in_records_and_bytes(reader: Fed) -> None:
    reader.feed(0, [10, 20])
    reader.feed(1, [5])
    assert reader.stats()[:2] == (3, 35)
    reader.pop(0)
    assert reader.stats()[:2] == (1, 5)


@pytest.mark.parametrize("sizes", [[1_000], [0] * 100])
def test_bytes_and_records_are_bounded(reader: Fed, sizes: list[int]) -> None:
    assert not reader._full()
    reader.feed(0, sizes)
    assert reader._full()
    reader.pop(0)
    assert not reader._full()


def test_records_are_decoded_a_portion_at_a_time_and_the_offset_follows() -> None:
    fed = Fed(KafkaSettings(), TOPIC, lambda records: [f"{len(records)} records"])
    fed.add(0, 5)
    fed.feed(0, [1, 1, 1])
    fed.feed(0, [1])
    assert fed.pop(0, max_records=1) == ["3 records"]
    assert fed.position(0) == 8
    assert fed.pop(0) == ["1 records"]
    assert fed.position(0) == 9


def test_an_error_comes_after_the_records_before_it(reader: Fed) -> None:
    reader.feed(0, [1])
    reader.die(OffsetGone("gone"))
    assert len(reader.pop(0)) == 1
    assert reader.waiting(0)
    for partition in (0, 1):
        with pytest.raises(OffsetGone, match="gone"):
            reader.pop(partition)


@pytest.mark.parametrize(
    ("start", "end", "holds"), [(5, 10, "from 5 up to 10"), (None, 10, "up to 10"), (5, None, "from 5")]
)
def test_a_gone_offset_names_where_and_what_is_held(start: int | None, end: int | None, holds: str) -> None:
    message = gone(TOPIC, 3, 42, start, end)
    assert message.startswith(f"{TOPIC} partition 3: must continue at offset 42, but the broker holds records {holds}:")


def test_a_reader_with_full_queues_misses_no_answer() -> None:
    fed = Fed(KafkaSettings(kafka="k:1"), TOPIC, list, bound_bytes=100)
    assert fed.missing_reason() == "no partition is read yet"
    fed.add(0, 0)
    assert fed.missing_reason() == "Kafka at k:1 (TOCSIN_KAFKA) has not answered yet"
    fed.feed(0, [100])
    assert fed.missing_reason() == ""


def test_who_stops_waits_for_no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    polls, closed, consumer = threading.Event(), threading.Event(), FakeConsumer()

    def wait() -> None:
        polls.set()
        closed.wait()
        message = "NetworkSelector closed!"  # as kafka-python says where a consumer was closed
        raise RuntimeError(message)

    consumer.polling, consumer.close = wait, closed.set  # type: ignore[method-assign]
    monkeypatch.setattr(module, "make_consumer", lambda *_, **__: consumer)
    reader = Reader(KafkaSettings(), TOPIC, list)
    reader.add(0, 0)
    assert reader.pop(0) == []
    assert polls.wait(10)
    reader.stop()
    assert not reader.waiting(0), "no error"
