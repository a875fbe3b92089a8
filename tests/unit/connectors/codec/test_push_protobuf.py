"""The kernels of pushes against the twin, on requests of all kinds and on damaged ones."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_field, encode_varint
from connectors.codec.labels import read_fields
from connectors.codec.limits import RECORD_BYTES, USUAL_LIMITS, USUAL_LINE_BYTES
from connectors.codec.push_protobuf import split_protobuf
from connectors.codec.pushed import Pushed
from connectors.codec.stream import Entry, encode_entry, encode_stream
from connectors.codec.stream_names import StreamNames
from connectors.errors import Rejected, TooLarge
from tests import pushes, wire
from tests.examples import examples
from tests.pushes import LOGS, NS, YEAR_2100_S, T, request

LINE_BYTES = 40
LABEL_REASONS = {"bad_labels", "bad_label_name", "no_labels", "duplicate_label", "invalid_utf8"}
NAMES = StreamNames(USUAL_LIMITS, 4)
"""Shared by all tests: it knows what other tests, or earlier examples, have sent."""

labels = st.sampled_from(
    [
        b'{a="1"}',
        b'{ a = "1" , }',
        b'{b="x", a="1"}',
        b"{a=`1`, b=`x`}",
        b"{}",
        b"",
        b"{a}",
        b'{a="\xff"}',
        b'{a="", b=""}',
    ]
)
seconds = st.one_of(st.integers(-2, 2), st.integers(YEAR_2100_S - 2, YEAR_2100_S + 1), st.integers(-(2**63), 2**63 - 1))
nanos = st.one_of(st.integers(-1, 2), st.integers(NS - 2, NS + 1), st.integers(-(2**31), 2**31 - 1))
text = st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"x" * LINE_BYTES, b"x" * (LINE_BYTES + 1)]))


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """An entry's content, laid out as senders do or in any other way."""
    parts = [
        encode_field(1, b"\x08" + encode_varint(draw(seconds)) + b"\x10" + encode_varint(draw(nanos))),
        encode_field(2, draw(text)),
    ]
    pairs = st.tuples(st.binary(max_size=4), st.binary(max_size=4))
    parts += [encode_field(3, encode_field(1, n) + encode_field(2, v)) for n, v in draw(st.lists(pairs, max_size=3))]
    if draw(st.integers(0, 3)) == 0:
        odd = st.sampled_from(
            [
                encode_field(1, b"\x08\x05"), encode_field(1, b"\x10\x07"),
                encode_field(1, b"\x10\x85\x80\x80\x80\x10"),
                encode_field(1, b"\x10\x01\x08\x02\x28\x01"), encode_field(2, b"again"), encode_field(4, b"other"),
                encode_field(3, encode_field(2, b"v") + encode_field(1, b"n") + b"\x28\x00"), encode_field(3, b""),
                b"\x92\x00\x01y", b"\x1a\x82\x00\x0a\x00", b"\x08\x05", b"\x35\x00\x00\x00\x00",
            ]
        )  # fmt: skip
        parts += draw(st.lists(odd, max_size=3))
        parts = draw(st.permutations(parts))
    return b"".join(parts)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    streams = []
    for _ in range(draw(st.integers(0, 4))):
        fields = [encode_field(2, draw(entries())) for _ in range(draw(st.integers(0, 4)))]
        fields.append(encode_field(1, draw(labels)))
        if draw(st.booleans()):
            fields.append(b"\x18" + encode_varint(draw(st.integers(0, 2**64 - 1))))
        streams.append(encode_field(1, b"".join(draw(st.permutations(fields)))))
    return b"".join(streams)


def split(body: bytes, line_bytes: int = LINE_BYTES) -> Pushed:
    return split_protobuf(body, "t", NAMES, line_bytes)


def assert_plain(value: bytes) -> None:
    """Each field stands once and in its order, but entries and pairs that repeat, and there is no unknown one."""
    assert [field.number for field in read_fields(value) if field.number != 2] == [1, 3]
    for entry in fields_of(value, 2):
        numbers = [field.number for field in read_fields(entry)]
        assert numbers == sorted(numbers)
        assert set(numbers) <= {1, 2, 3}
        assert max(numbers.count(1), numbers.count(2)) <= 1
        for part in (*fields_of(entry, 1), *fields_of(entry, 3)):
            inner = [field.number for field in read_fields(part)]
            assert inner in ([], [1], [2], [1, 2])
        for time in fields_of(entry, 1):
            assert all(isinstance(field.value, int) and field.value < YEAR_2100_S for field in read_fields(time))


def fields_of(message: bytes, number: int) -> list[bytes]:
    return [field.value for field in read_fields(message) if field.number == number and isinstance(field.value, bytes)]


def lines_of(pushed: Pushed) -> dict[str, list[pushes.Line]]:
    found: dict[str, list[pushes.Line]] = {}
    for record in pushed.records:
        assert_plain(record.value)
        stream = pushes.read_stream(record.value)
        assert record.partition == stream.hash % 4
        assert record.size_bytes == len(record.value)
        found.setdefault(stream.labels, []).extend(stream.lines)
    return found


def check_against_twin(body: bytes) -> None:
    try:
        twin = pushes.split(body, LINE_BYTES)
    except wire.Malformed:
        with pytest.raises(Rejected, match="malformed protobuf"):
            split(body)
        return
    found = split(body)
    assert lines_of(found) == twin.lines
    assert (found.streams, found.lines) == (twin.streams, sum(map(len, twin.lines.values())))
    counted = Counter[str]()
    for reason, count in found.refused.items():
        counted["labels" if reason in LABEL_REASONS else reason] += count
    assert counted == twin.refused
    assert (found.complaint is None) == (not twin.first)
    assert found.complaint is None or found.complaint.text.startswith(twin.first)


@examples(300)
@given(requests())
def test_as_the_twin(body: bytes) -> None:
    check_against_twin(body)


@examples(300)
@given(requests(), st.integers(0, 2**32))
def test_damaged_as_the_twin(body: bytes, seed: int) -> None:
    chance = random.Random(seed)
    raw = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        if raw:
            at = chance.randrange(len(raw))
            match chance.randrange(4):
                case 0:
                    del raw[at:]
                case 1:
                    raw[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0x1A, chance.randrange(256)])
                case 2:
                    raw.insert(at, chance.randrange(256))
                case _:
                    del raw[at]
    check_against_twin(bytes(raw))


@examples(100)
@given(st.binary(max_size=30))
def test_noise_as_the_twin(body: bytes) -> None:
    check_against_twin(body)


def test_usual_entries_are_copied_as_they_stand() -> None:
    lines = [Entry(T, b"one", [(b"a", b"b"), (b"", b"")]), Entry(T + 1, b""), Entry(0, b"\xff")]
    body = encode_field(1, encode_field(1, b'{b="2",a="1"}') + b"".join(map(encode_entry, lines)))
    (record,) = split(body).records
    stream = pushes.read_stream(record.value)
    assert record.value == encode_stream('{a="1", b="2"}', lines, stream.hash)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (b"\x10\x01\x22\x03abc\x12\x01x\x0a\x05\x10\x05\x08\x81\x00", b"\x0a\x04\x08\x01\x10\x05\x12\x01x"),
        (b"\x0a\x06\x10\x85\x80\x80\x80\x10", b"\x0a\x02\x10\x05"),
        (b"\x0a\x04\x08\x01\x18\x01", b"\x0a\x02\x08\x01"),
        (b"\x1a\x06\x12\x01v\x0a\x01n", b"\x1a\x06\x0a\x01n\x12\x01v"),
        (b"\x1a\x03\x0a\x01n\x12\x01x", b"\x12\x01x\x1a\x03\x0a\x01n"),
        (b"\x1a\x02\x28\x01", b"\x1a\x00"),
        (b"\x92\x00\x01x", b"\x12\x01x"),
        (b"\x12\x01x\x12\x01y", b"\x12\x01y"),
    ],
)
def test_unusual_entries_are_written_anew_and_never_longer(given: bytes, made: bytes) -> None:
    found = split(encode_field(1, encode_field(1, b'{a="1"}') + encode_field(2, given)))
    assert lines_of(found)
    assert found.records[0].parts[1] == encode_field(2, made)
    assert len(made) <= len(given)


def test_streams_of_the_same_labels_are_joined_in_order() -> None:
    body = request(
        ('{a="1", b="2"}', ["one"]), ('{a="2"}', ["x"]), ('{b="2", c="", a="1"}', ["two"]), ("{b=`2`,a=`1`}", ["three"])
    )
    found = split(body)
    assert len(found.records) == 2
    assert [line for _, line, _ in lines_of(found)['{a="1", b="2"}']] == [b"one", b"two", b"three"]


def test_the_same_labels_of_another_tenant_are_another_stream() -> None:
    body = request(('{a="1"}', ["one"]))
    hashes = {
        pushes.read_stream(split_protobuf(body, tenant, NAMES, 40).records[0].value).hash for tenant in ("a", "b")
    }
    assert len(hashes) == 2


@pytest.mark.long
def test_records_end_where_a_line_more_would_exceed_their_size() -> None:
    sizes = [1, RECORD_BYTES // 2, RECORD_BYTES // 2 - 60, 5, RECORD_BYTES // 2, *[1000] * 2000]
    lines: list[Any] = [b"x" * size for size in sizes]
    found = split(request(('{a="1"}', lines[:3]), ('{a="2"}', ["y"]), ('{a="1"}', lines[3:])), RECORD_BYTES)
    assert [len(line) for _, line, _ in lines_of(found)['{a="1"}']] == sizes
    assert max(record.size_bytes for record in found.records) <= RECORD_BYTES + 40
    assert len(found.records) < 10


@pytest.mark.parametrize(
    ("pairs", "size", "fine"), [(128, 1, True), (129, 1, False), (1, 65_535, True), (1, 65_536, False)]
)
def test_bounds_of_metadata(pairs: int, size: int, fine: bool) -> None:
    metadata = {chr(0x100 + n): "" for n in range(pairs)} if pairs > 1 else {"n": "x" * size}
    found = split(request(('{a="1"}', [(T, "x", metadata)])))
    assert (found.lines, found.refused) == ((1, Counter()) if fine else (0, Counter({"too_much_metadata": 1})))


def test_the_longest_line() -> None:
    found = split(request(('{a="1"}', ["x" * USUAL_LINE_BYTES, "x" * (USUAL_LINE_BYTES + 1)])), USUAL_LINE_BYTES)
    assert (found.lines, found.refused) == (1, Counter({"line_too_long": 1}))
    assert found.complaint is not None
    assert "line 1: line of 262145 bytes: must be at most 262144 (TOCSIN_INGEST_MAX_LINE_BYTES)" in found.complaint.text


def test_too_many_streams() -> None:
    with pytest.raises(TooLarge, match="10001 in one request; send at most 10000"):
        split(b"\x0a\x00" * 10_001)
    assert split(b"\x0a\x00" * 10_000).streams == 10_000


def test_a_stream_without_lines_is_passed_over_whatever_its_labels() -> None:
    assert split(request(("no labels", []))) == Pushed([], 1, 0, Counter(), None, 0)


def test_groups_are_refused() -> None:
    with pytest.raises(Rejected, match="malformed"):
        split(encode_field(1, b"\x0b\x0c"))


def test_a_body_of_remote_write_is_no_push() -> None:
    body = wire.V1["Request"]()
    series = body.timeseries.add()
    series.labels.add(name=b"__name__", value=b"up")
    series.samples.add(value=0, timestamp=1)
    found = split(body.SerializeToString())
    assert (found.lines, found.refused) == (0, Counter({"bad_labels": 1}))


def test_the_twin_reads_what_protobuf_writes() -> None:
    assert LOGS["Request"].FromString(request(('{a="1"}', ["x"]))).streams[0].entries[0].line == b"x"
