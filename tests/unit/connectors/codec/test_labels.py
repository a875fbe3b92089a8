from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.codec.labels import lenient_labels, parse_labels
from connectors.errors import Rejected


@pytest.mark.long
@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=300), max_size=8))
def test_there_and_back(labels: dict[str, str]) -> None:
    raw = encode_labels(labels)
    assert parse_labels(raw) == labels
    assert lenient_labels(raw) == sorted(labels.items(), key=lambda pair: pair[0].encode())


def test_names_are_sorted_by_bytes_and_empty_values_dropped() -> None:
    assert list(parse_labels(encode_labels({"b": "1", "B": "1", "é": "1", "a": ""}))) == ["B", "b", "é"]


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_any_bytes_are_labels_or_poison(raw: bytes) -> None:
    try:
        labels = parse_labels(raw)
    except Rejected:
        return
    assert len(encode_labels(labels)) <= len(raw) + 4 * len(labels)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"\x12\x00", "instead of a label"),
        (b"\x0a\x05\x0a", "reaches outside"),
        (b"\x0a\x03\x0a\x01\xff", "not UTF-8"),
        (b"\x0a\x02\x18\x01", "instead of name or value"),
        (b"\x0a" + b"\x80" * 11, "bad varint"),
    ],
)
def test_poison_says_where(raw: bytes, what: str) -> None:
    with pytest.raises(Rejected, match=what):
        parse_labels(raw)


def test_lenient_labels_replace_what_is_not_utf8() -> None:
    assert lenient_labels(b"\x0a\x06\x0a\x01a\x12\x01\xff") == [("a", "�")]
