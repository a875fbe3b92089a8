from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
import pytest

import flows.decode
from connectors.codec.encode import encode_labels, encode_sample, encode_varint, encode_write_request
from connectors.codec.families import encode_types
from connectors.codec.series_hash import series_hash, tenant_seed
from connectors.messages import ControlRecord, MetricType
from flows.chunks import Chunk, Histograms, NewSeries, Poison, Samples, Types
from flows.decode import Decoder
from flows.detectors.base import STALE_MARKER
from tests.groups import histogram_record
from tests.series import START_MS
from tests.streams import Log, sample_bits
from tests.unit.connectors.codec.test_native import message

A, B = {"__name__": "a"}, {"__name__": "b", "x": "1"}


def decode(log: Log, decoder: Decoder | None = None) -> list[Chunk]:
    out = (decoder or Decoder(60, 100)).decode(log.records)
    assert [key for key, _ in out] == [str(log.partition)] * len(out)
    return [chunk for _, chunks in out for chunk in chunks]


def only(chunks: list[Chunk]) -> Samples:
    assert len(chunks) == 1
    assert isinstance(chunks[0], Samples)
    return chunks[0]


def test_records_become_columns_with_the_labels_of_new_series() -> None:
    log = Log()
    log.samples((A, 0, 1.5), (B, 1.25, 2.5))
    log.samples((A, 2, 3.5))
    samples = only(decode(log))
    a, b = (series_hash(encode_labels(labels), "anonymous") for labels in (A, B))
    assert samples.series.tolist() == [a, b, a]
    assert samples.times_ms.tolist() == [START_MS, START_MS + 1250, START_MS + 2000]
    assert samples.values.tolist() == [1.5, 2.5, 3.5]
    assert samples.starts_ms is None
    assert samples.new == (
        NewSeries(a, "anonymous", encode_labels(A)), NewSeries(b, "anonymous", encode_labels(B)),
    )  # fmt: skip


def test_labels_of_joined_records_are_those_of_their_record() -> None:
    """Every record has its own bytes; the spans must not be taken from a neighbour's."""
    log, many = Log(), [{"__name__": f"m{n}", "long": "x" * n} for n in range(20)]
    for n, labels in enumerate(many):
        log.samples((A, n, 0.0), (labels, n, 1.0), tenant="t" if n % 2 else None)
    samples = only(decode(log))
    found = {new.labels: new for new in samples.new}
    for n, labels in enumerate(many):
        new = found[encode_labels(labels)]
        assert new.tenant == ("t" if n % 2 else "anonymous")
        assert new.series == series_hash(encode_labels(labels), new.tenant)
    assert len(samples.new) == 22, "the series that all have in common is one per tenant"


def test_tenants_have_series_of_their_own() -> None:
    log = Log()
    log.samples((A, 0, 1.0))
    log.samples((A, 0, 1.0), tenant="other")
    samples = only(decode(log))
    assert len(set(samples.series.tolist())) == 2
    assert [new.tenant for new in samples.new] == ["anonymous", "other"]


def test_bits_of_values_survive() -> None:
    log = Log()
    log.append(sample_bits(encode_labels(A), START_MS, STALE_MARKER))
    assert only(decode(log)).values.view(np.int64).tolist() == [STALE_MARKER]


def test_created_timestamps_are_aligned_with_records_that_have_none() -> None:
    log = Log()
    log.samples((A, 0, 1.0))
    body = encode_labels(B) + encode_sample(START_MS + 5, 2.0, start_ms=START_MS - 7)
    log.append(b"\x0a" + encode_varint(len(body)) + body)
    samples = only(decode(log))
    assert samples.starts_ms is not None
    assert samples.starts_ms.tolist() == [0, START_MS - 7]


def test_control_records_part_the_samples() -> None:
    log = Log()
    log.samples((A, 0, 1.0))
    log.samples((A, 1, 1.0))
    log.control(5)
    log.control(6)
    log.samples((A, 7, 1.0))
    chunks = decode(log)
    assert [type(chunk) for chunk in chunks] == [Samples, ControlRecord, ControlRecord, Samples]
    assert isinstance(chunks[1], ControlRecord)
    assert chunks[1].time_ms == START_MS + 5000


@pytest.mark.parametrize(("value", "key", "headers", "reason"), [
    (b"\x0a\xff", None, [], "poison"),
    (b"", b"\xff\xfe", [], "poison"),
    (b"not json", None, [("tocsin-control", b"1")], "bad_json"),
    (struct.pack("<Q", 7), None, [], "poison"),
])  # fmt: skip
def test_what_cannot_be_read_is_poison_and_parts_nothing_else(
    value: bytes, key: bytes | None, headers: list[tuple[str, bytes]], reason: str
) -> None:
    log = Log(3)
    log.samples((A, 0, 1.0))
    log.append(value, key, headers)
    log.samples((A, 1, 1.0))
    before, poison, after = decode(log)
    assert isinstance(before, Samples)
    assert isinstance(after, Samples)
    assert isinstance(poison, Poison)
    assert (poison.reason, poison.origin, poison.value) == (reason, "tocsin.metrics/3/1", value)
    assert poison.message


def test_partitions_are_apart() -> None:
    logs = Log(0), Log(5)
    for log in logs:
        log.samples((A, 0, 1.0))
    out = Decoder(60, 100).decode([record for log in logs for record in log.records])
    assert [key for key, _ in out] == ["0", "5"]
    assert all(len(only(chunks).new) == 1 for _, chunks in out), "each block must learn the labels"


def test_seeds_of_tenants_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = lru_cache(maxsize=3)(tenant_seed.__wrapped__)
    monkeypatch.setattr(flows.decode, "tenant_seed", remembered)
    log, decoder = Log(), Decoder(60, 100)
    for n in range(10):
        log.samples((A, 0, 1.0), tenant=f"t{n}")
    samples = only(decode(log, decoder))
    assert 0 < remembered.cache_info().currsize <= 3
    assert samples.series.tolist() == [series_hash(encode_labels(A), f"t{n}") for n in range(10)]


def test_nothing_gives_nothing() -> None:
    assert Decoder(60, 100).decode([]) == []


def test_labels_go_along_once_and_again_when_their_time_has_come() -> None:
    decoder, announced = Decoder(60, 100), []
    for at_s in (0, 30, 59, 60, 61, 119, 121, 0):
        log = Log()
        log.control(at_s)
        log.samples((A, at_s, 1.0))
        announced.append(
            len([new for chunk in decode(log, decoder) if isinstance(chunk, Samples) for new in chunk.new])
        )
    assert announced == [1, 0, 0, 1, 0, 0, 1, 0]


def test_announcements_have_a_bound_and_are_counted() -> None:
    decoder = Decoder(60, 10)
    names = [{"__name__": f"m{n}"} for n in range(11)]

    def announced(*labels: dict[str, str]) -> int:
        log = Log()
        log.samples(*((one, 0, 1.0) for one in labels))
        return len(only(decode(log, decoder)).new)

    announcements = decoder.partitions  # made by the first record
    assert [announced(*names[:10]), announced(*names[:10])] == [10, 0]
    size_bytes = announcements[0].size_bytes
    assert announced(names[5], names[10]) == 1
    assert (announcements[0].cleared, announcements[0].size_bytes) == (1, size_bytes)
    assert announced(*names[:10]) == 10, "after there was no room all are announced again"


def test_each_new_series_is_due_once_in_the_order_of_the_samples() -> None:
    log, order = Log(), [9, 3, 9, 7, 3, 200]
    labels = [{"__name__": f"m{n}"} for n in order]
    log.samples(*((one, n, 1.0) for n, one in enumerate(labels[:3])))
    log.samples(*((one, n, 1.0) for n, one in enumerate(labels[3:])))
    decoder = Decoder(60, 1000)
    assert [new.labels for new in only(decode(log, decoder)).new] == [encode_labels(labels[n]) for n in (0, 1, 3, 5)]
    assert only(decode(log, decoder)).new == ()


def test_a_series_met_twice_while_there_was_no_room_goes_along_once() -> None:
    """A block must not be told twice of one series in one chunk."""
    log, decoder = Log(), Decoder(60, 2)
    for n in (0, 1, 2, 0, 1, 2):
        log.samples(({"__name__": f"m{n}"}, n, 1.0))
    new = only(decode(log, decoder)).new
    assert len(new) == len({one.series for one in new}) == 3


def test_series_of_a_poison_record_are_still_new() -> None:
    log = Log()
    log.samples((A, 0, 1.0))
    good = log.records[0].value or b""
    log = Log()
    log.append(good + b"\x0b")
    log.append(good)
    poison, samples = decode(log)
    assert isinstance(poison, Poison)
    assert isinstance(samples, Samples)
    assert [new.labels for new in samples.new] == [encode_labels(A)]


@pytest.mark.parametrize("bad", [b"\x1a\x02\x08\xff", b"\x1a\x01\x0b"])
def test_types_that_cannot_be_read_are_poison(bad: bytes) -> None:
    log = Log()
    log.append(bad)
    (poison,) = decode(log)
    assert isinstance(poison, Poison)
    assert poison.value == bad


def test_native_histograms_and_types_have_chunks_of_their_own_where_they_stand() -> None:
    log = Log()
    log.samples((A, 0, 1.0))
    log.append(histogram_record(B, message(count_int=1, timestamp=5)) + encode_write_request([(A, [(7, 2.0)])]), b"t")
    log.append(encode_types([("requests", MetricType.COUNTER)]), b"t")
    log.samples((A, 9, 3.0))
    first, histograms, types, last = decode(log)
    assert isinstance(first, Samples)
    assert first.values.tolist() == [1.0, 2.0]
    assert first.histograms == 1
    assert isinstance(histograms, Histograms)
    b = series_hash(encode_labels(B), "t")
    assert (histograms.series.tolist(), histograms.times_ms.tolist()) == ([b], [5])
    assert histograms.new == (NewSeries(b, "t", encode_labels(B)),)
    assert histograms.raws == (message(count_int=1, timestamp=5),)
    assert types == Types("t", (("requests", MetricType.COUNTER),))
    assert isinstance(last, Samples)
    assert last.values.tolist() == [3.0]
