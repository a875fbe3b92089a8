"""The scan of records of logs beside google.protobuf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import config

from connectors.codec.encode import encode_field, encode_varint
from connectors.codec.entries import FIRST_LINES, LEVEL_FROM, LEVEL_TO, LINE_FROM, LINE_TO, TIME_MS, read_entries
from connectors.codec.stream import Entry, encode_entry, encode_stream
from connectors.errors import Rejected
from tests import wire
from tests.pushes import LOGS

ANY = settings(deadline=None, derandomize=True, max_examples=50 if config.DISABLE_JIT else 500)
LEVEL_NAMES = ("level", "severity", "severity_text")
Found = tuple[bytes, list[tuple[int, bytes, bytes | None]]]


def scanned(value: bytes) -> Found:
    """Labels, and of each line its time in ms, its text and the level that its metadata tell."""
    labels, buf, table = read_entries(value)
    text = buf.tobytes()
    return labels, [
        (
            int(one[TIME_MS]), text[one[LINE_FROM] : one[LINE_TO]],
            text[one[LEVEL_FROM] : one[LEVEL_TO]] if one[LEVEL_FROM] >= 0 else None,
        )
        for one in table.T
    ]  # fmt: skip


def twin(value: bytes) -> Found | None:
    """The same by google.protobuf; None if it is no stream with labels."""
    try:
        stream = wire.parse(LOGS["Stream"], value)
    except Exception:  # noqa: BLE001 - whatever it says, it is no stream
        return None
    return (stream.labels, [_line(entry) for entry in stream.entries]) if stream.HasField("labels") else None


def _line(entry: Any) -> tuple[int, bytes, bytes | None]:
    levels = [pair.value for pair in entry.metadata if _tells_level(pair.name)]
    time_ms = entry.timestamp.seconds * 1000 + entry.timestamp.nanos // 1_000_000
    return time_ms, entry.line, levels[-1] if levels else None


def _tells_level(name: bytes) -> bool:
    return any(name.endswith(end.encode()) for end in LEVEL_NAMES)


NAMES = (b"level", b"detected_level", b"log.level", b"severity", b"x_severity_text", b"severity_txt", b"evel", b"",
         b"levels", b"Level")  # fmt: skip
pairs = st.tuples(st.sampled_from(NAMES), st.binary(min_size=1, max_size=9))
FIELDS = (
    b"\x0a\x03{a}",
    encode_entry(Entry(5, b"one")),
    encode_entry(Entry(7, b"two", [(b"level", b"w")])),
    b"\x18\x05",
    b"\x22\x02xx",
    b"\x29" + b"8" * 8,
    b"\x35" + b"4" * 4,
    b"\x12\x00",
    b"\x12\x06\x0a\x04\x08\x07\x10\x09",
    b"\x12\x03\x1a\x01\x08",
)
"""Labels, entries, a hash, fields that nobody knows, and an entry whose metadata are damaged."""
entries = st.builds(
    Entry, st.integers(0, 4_102_444_799_999_999_999), st.binary(max_size=300), st.lists(pairs, max_size=3)
)


@ANY
@given(st.binary(min_size=1, max_size=50), st.lists(entries, max_size=20), st.integers(0, 2**64 - 1))
def test_it_finds_what_stands_there(labels: bytes, found: list[Entry], stream_hash: int) -> None:
    value = encode_field(1, labels) + b"".join(map(encode_entry, found)) + b"\x18" + encode_varint(stream_hash)
    assert scanned(value) == twin(value)
    assert [(time, line) for time, line, _ in scanned(value)[1]] == [
        (one.time_ns // 1_000_000, one.line) for one in found
    ]


@ANY
@given(st.lists(st.sampled_from(FIELDS), max_size=8))
def test_fields_may_stand_in_any_order_and_others_are_passed_over(fields: list[bytes]) -> None:
    value = b"".join(fields)
    expected = twin(value)
    if expected is None:
        with pytest.raises(Rejected, match=r"malformed protobuf|no labels"):
            scanned(value)
    else:
        assert scanned(value) == expected


@ANY
@given(st.data())
@example(None)
def test_damaged_bytes_are_refused_or_read_as_they_stand(data: st.DataObject | None) -> None:
    """Whatever google.protobuf reads is read alike; what it refuses may be read, if a line needs nothing of it."""
    whole = encode_stream('{a="b"}', [Entry(1_700_000_000_123_456_789, b"line", [(b"level", b"info")])] * 3, 7)
    if data is None:
        damaged = whole[:-40]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    expected = twin(damaged)
    try:
        found = scanned(damaged)
    except Rejected:
        return
    if expected is not None:
        assert [line for _, line, _ in found[1]] == [line for _, line, _ in expected[1]]


@ANY
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(value: bytes) -> None:
    """And nothing beyond them is: spans lie within."""
    try:
        _, buf, table = read_entries(value)
    except Rejected:
        return
    assert len(buf) == len(value)
    assert (table[LINE_FROM : LINE_TO + 1] >= 0).all()
    assert (table[LINE_FROM : LEVEL_TO + 1] <= len(value)).all()


def test_more_lines_than_there_is_room_for_at_first() -> None:
    many = 10 * FIRST_LINES
    _, found = scanned(encode_stream("{}", [Entry(1_000_000 * n, b"") for n in range(many)], 1))
    assert [time_ms for time_ms, _, _ in found] == [*range(many)]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "record of 0 bytes: no labels"),
        (encode_entry(Entry(1, b"x")), "no labels"),
        (b"\x0a\x05{}", "record of 4 bytes: malformed protobuf"),
        (b"\x0a\x02{}\x12\x05", "malformed protobuf"),
        (b"\x0a\x02{}\x0b", "malformed protobuf"),
        (b"\x0a\x02{}\x12\x02\x0a\x09", "malformed protobuf"),
        (b"\x0a\x02{}\x12\x04\x0a\x02\x08\xff", "malformed protobuf"),
        (b"\x0a\x02{}\x12\x04\x1a\x02\x0a\x09", "malformed protobuf"),
    ],
)
def test_a_refusal_says_why(value: bytes, says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        read_entries(value)
    assert caught.value.reason == "poison"


def test_times_of_all_kinds() -> None:
    def at(timestamp: bytes) -> int:
        return scanned(b"\x0a\x02{}" + encode_field(2, encode_field(1, timestamp)))[1][0][0]

    assert at(b"") == 0
    assert at(b"\x08\x02") == 2000
    assert at(b"\x10" + encode_varint(999_999)) == 0
    assert at(b"\x10" + encode_varint(1_999_999) + b"\x08\x01") == 1001
    assert at(b"\x08" + encode_varint(-1) + b"\x10" + encode_varint(500_000_000)) == -500
    assert at(b"\x1a\x01x\x08\x05") == 5000
