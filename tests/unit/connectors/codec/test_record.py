from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels, encode_sample, encode_varint, encode_write_request
from connectors.codec.labels import parse_labels
from connectors.codec.record import Columns, Decoded, decode_record
from connectors.codec.runs import Runs
from connectors.codec.series_hash import series_hash, tenant_seed
from connectors.errors import Rejected
from tests import wire
from tests.examples import examples
from tests.unit.connectors.codec.test_remote_write import changed, time_ms, value_bits

SEED = tenant_seed("anonymous")
UP = {"__name__": "up", "job": "x" * 200}


def series(*fields: bytes) -> bytes:
    content = b"".join(fields)
    return b"\x0a" + encode_varint(len(content)) + content


@st.composite
def records(draw: st.DrawFn) -> bytes:
    request = wire.V1["Request"]()
    for number in range(draw(st.integers(0, 4))):
        given_series = request.timeseries.add()
        given_series.labels.add(name=b"__name__", value=draw(st.binary(max_size=300)))
        given_series.labels.add(name=b"n", value=str(number).encode())
        for _ in range(draw(st.integers(0, 3))):
            given_series.samples.add(value=draw(value_bits), timestamp=draw(time_ms))
            if draw(st.booleans()):
                given_series.samples[-1].start_timestamp = draw(time_ms)
        for _ in range(draw(st.integers(0, 1))):
            given_series.histograms.add(timestamp=1, sum=2)
    return bytes(request.SerializeToString())


def stricter_than_protobuf(record: bytes) -> bool:
    """Refused for what protobuf allows: no labels, labels apart, or padded tags."""
    try:
        decode_record(record, SEED)
    except Rejected as error:
        return b"\x8a" in record or b"\x92" in record or "label" in str(error)
    return False


def check_against_twin(record: bytes) -> None:
    try:
        twin = wire.parse(wire.RECORD["Request"], record).timeseries
    except wire.Malformed:
        with pytest.raises(Rejected, match="record of") as refused:
            decode_record(record, SEED)
        assert refused.value.reason == "poison"
        return
    if stricter_than_protobuf(record):
        return
    decoded = decode_record(record, SEED)
    rows = [(one, sample) for one in twin for sample in one.samples]
    assert decoded.times_ms.tolist() == [sample.timestamp for _, sample in rows]
    assert decoded.values.view(np.uint64).tolist() == [sample.value for _, sample in rows]
    starts = [sample.start_timestamp for _, sample in rows]
    assert (decoded.starts_ms.tolist() if decoded.starts_ms is not None else [0] * len(rows)) == starts
    assert decoded.histograms == sum(len(one.histograms) for one in twin)
    met = dict(Columns().add(record, SEED, Runs(0)))
    assert met.keys() == set(decoded.series.tolist())
    for (one, _), digest in zip(rows, decoded.series.tolist(), strict=True):
        labels = wire.parse(wire.RECORD["TimeSeries"], met[digest]).labels
        assert [(label.name, label.value) for label in labels] == [(la.name, la.value) for la in one.labels]
        assert digest == series_hash(met[digest], "anonymous")


@examples(120)
@given(records())
def test_as_the_twin(record: bytes) -> None:
    check_against_twin(record)


@examples(300)
@given(records(), st.integers(0, 2**32))
def test_damaged_as_the_twin(record: bytes, seed: int) -> None:
    check_against_twin(changed(record, seed))


@examples(120)
@given(st.binary(max_size=50))
def test_any_bytes_as_the_twin(record: bytes) -> None:
    check_against_twin(record)


def test_every_truncation_of_a_record_is_poison_or_shorter() -> None:
    record = encode_write_request([(UP, [(1, 1.0), (2, 2.0)]), ({"__name__": "b"}, [(3, 3.0)])])
    for length in range(len(record)):
        check_against_twin(record[:length])


def test_columns() -> None:
    decoded = decode_record(encode_write_request([(UP, [(5, 1.5), (6, -2.0)]), ({"__name__": "b"}, [(7, 0.0)])]), SEED)
    assert decoded.times_ms.tolist() == [5, 6, 7]
    assert decoded.values.tolist() == [1.5, -2.0, 0.0]
    assert decoded.starts_ms is None
    expected = [series_hash(encode_labels(labels), "anonymous") for labels in (UP, UP, {"__name__": "b"})]
    assert decoded.series.tolist() == expected
    assert isinstance(decoded.histograms, int)


@pytest.mark.parametrize("bits", [wire.STALE_BITS, wire.QUIET_NAN_BITS, 0xFFF0000000000001, 1 << 63])
def test_bits_of_a_value_survive(bits: int) -> None:
    sample = b"\x12\x0b\x09" + bits.to_bytes(8, "little") + b"\x10\x01"
    decoded = decode_record(series(encode_labels(UP), sample), SEED)
    assert decoded.values.view(np.uint64).tolist() == [bits]


def test_starts() -> None:
    record = series(encode_labels(UP), encode_sample(9, 1.0, start_ms=4), encode_sample(10, 1.0))
    starts_ms = decode_record(record, SEED).starts_ms
    assert starts_ms is not None
    assert starts_ms.tolist() == [4, 0]


def test_labels_that_are_not_first_are_found() -> None:
    record = series(encode_sample(9, 1.0), encode_labels(UP), encode_sample(10, 1.0))
    assert decode_record(record, SEED).times_ms.tolist() == [9, 10]
    assert [parse_labels(met.labels) for met in Columns().add(record, SEED, Runs(0))] == [UP]


def test_more_samples_than_guessed() -> None:
    record = encode_write_request([({"__name__": "a"}, [(time, float(time)) for time in range(5_000)])])
    assert decode_record(record, SEED).times_ms.tolist() == list(range(5_000))


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (series(encode_sample(1, 1.0)), "no labels"),
        (series(encode_labels(UP), encode_sample(1, 1.0), encode_labels({"z": "1"})), "do not follow"),
        (series(encode_labels(UP), b"\x12\x05\x09"), "malformed"),
        (b"\x0a\xff\xff\xff\xff\x0f", "malformed"),
        (b"\x0a\x80\x80\x80\x80\x80\x80", "malformed"),
        (b"\x0b", "malformed"),
    ],
)
def test_poison(record: bytes, what: str) -> None:
    with pytest.raises(Rejected, match=what) as refused:
        decode_record(record, SEED)
    assert refused.value.reason == "poison"


def test_two_records_joined_are_one() -> None:
    one = encode_write_request([(UP, [(1, 1.0)])])
    other = encode_write_request([({"__name__": "b"}, [(2, 2.0)])])
    joined: Decoded = decode_record(one + other, SEED)
    assert joined.times_ms.tolist() == [1, 2]
    assert len(set(joined.series.tolist())) == 2


def test_records_are_joined_in_their_order() -> None:
    columns, known = Columns(), Runs(10)
    columns.add(series(encode_labels(UP), encode_sample(1, 1.0), encode_sample(2, 2.0, start_ms=1)), SEED, known)
    columns.add(series(encode_labels({"__name__": "b"}), encode_sample(3, 3.0)), SEED, known)
    taken = columns.take()
    assert taken.times_ms.tolist() == [1, 2, 3]
    assert taken.starts_ms is not None
    assert taken.starts_ms.tolist() == [0, 1, 0]
    assert len(columns) == 0
    columns.add(series(encode_labels(UP), encode_sample(4, 4.0)), SEED, known)
    assert columns.take().starts_ms is None
    assert taken.times_ms.tolist() == [1, 2, 3], "what was taken is a copy"


def test_poison_leaves_nothing_behind() -> None:
    columns, known = Columns(), Runs(10)
    columns.add(series(encode_labels(UP), encode_sample(1, 1.0)), SEED, known)
    other = series(encode_labels({"__name__": "b"}), encode_sample(9, 9.0, start_ms=5), b"\x22\x00")
    with pytest.raises(Rejected):
        columns.add(other + b"\x0b", SEED, known)
    assert len(known) == 1
    met = columns.add(other, SEED, known)
    assert [parse_labels(one.labels) for one in met] == [{"__name__": "b"}]
    taken = columns.take()
    assert (taken.times_ms.tolist(), taken.histograms) == ([1, 9], 1)


def test_room_for_a_giant_is_given_back() -> None:
    columns = Columns(first=3, kept=6)
    for samples, room in ((6, 6), (7, 3), (100, 3), (2, 3)):
        times_ms = list(range(1, samples + 1))
        columns.add(encode_write_request([({"__name__": "a"}, [(time, 0.0) for time in times_ms])]), SEED, Runs(0))
        assert columns.room >= samples
        assert columns.take().times_ms.tolist() == times_ms
        assert columns.room == room
