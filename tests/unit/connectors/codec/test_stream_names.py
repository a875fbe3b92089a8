from __future__ import annotations

import pytest

from connectors.codec.encode import encode_labels
from connectors.codec.limits import LabelLimits
from connectors.codec.series_hash import series_hash
from connectors.codec.stream_labels import LabelFault
from connectors.codec.stream_names import MAX_TEXT_BYTES, SHORT_TEXT_BYTES, Named, StreamNames, shown_labels
from tests.pushes import read_stream

LIMITS = LabelLimits(labels=3, name_bytes=128, value_bytes=200, series_bytes=1024)


@pytest.fixture
def names() -> StreamNames:
    return StreamNames(LIMITS, 4, known=2)


def named(found: Named | LabelFault) -> Named:
    assert isinstance(found, Named)
    return found


def fault(found: Named | LabelFault) -> LabelFault:
    assert isinstance(found, LabelFault)
    return found


def test_first_and_last_bytes_of_a_record(names: StreamNames) -> None:
    stream = named(names.of_text("t", b'{b="2", gone="", a="\\x41\n"}'.replace(b"\n", b"\\n")))
    read = read_stream(stream.head + stream.tail)
    labels = {"a": "A\n", "b": "2"}
    assert (read.labels, read.hash) == ('{a="A\\n", b="2"}', series_hash(encode_labels(labels), "t"))
    assert (stream.hash, stream.partition) == (read.hash, read.hash % 4)
    assert names.of_pairs("t", tuple(labels.items())) == stream
    assert named(names.of_text("other", b'{a="A\\n",b="2"}')).hash != stream.hash


def test_what_was_read_once_is_remembered_up_to_a_bound(names: StreamNames) -> None:
    for text in (b'{a="1"}', b'{a="1"}', b"{", b"{", b'{a="1"}'):
        names.of_text("t", text)
    assert (names.known, names.read_total) == (2, 2)
    names.of_text("t", b'{a="2"}')
    names.of_text("u", b'{a="2"}')
    assert (names.known, names.read_total) == (2, 4)


def test_long_labels_are_not_remembered(names: StreamNames) -> None:
    long = b'{a="' + b" " * SHORT_TEXT_BYTES + b'"}'
    assert fault(names.of_text("t", long)).reason == "label_value_too_long"
    assert fault(names.of_pairs("t", (("a", "x" * 2000),))).reason == "label_value_too_long"
    assert fault(names.of_pairs("t", tuple((f"l{n}", "") for n in range(33)))).reason == "no_labels"
    assert names.known == 0


@pytest.mark.parametrize(
    ("pairs", "reason", "said"),
    [
        ((), "no_labels", "at least one"),
        ((("a", ""),), "no_labels", "at least one"),
        ((("a", "1"), ("a", "2")), "duplicate_label", "label a"),
        ((("a", "1"), ("a", "")), "duplicate_label", "label a"),
        ((("", "1"),), "bad_label_name", "''"),
        ((("a\n", "1"),), "bad_label_name", "'a\\n'"),
        (tuple((f"l{n}", "x") for n in range(4)), "too_many_labels", "TOCSIN_INGEST_MAX_LABELS"),
        ((("a" * 129, "x"),), "label_name_too_long", "TOCSIN_INGEST_MAX_LABEL_NAME_BYTES"),
        ((("a", "é" * 101),), "label_value_too_long", "TOCSIN_INGEST_MAX_LABEL_VALUE_BYTES"),
    ],
)
def test_faults(names: StreamNames, pairs: tuple[tuple[str, str], ...], reason: str, said: str) -> None:
    found = fault(names.of_pairs("t", pairs))
    assert found.reason == reason
    assert said in found.text


def test_all_labels_together_are_bounded() -> None:
    names = StreamNames(LabelLimits(series_bytes=1024), 4)
    pairs = tuple((f"l{n}", "x" * 200) for n in range(6))
    assert fault(names.of_pairs("t", pairs)).reason == "labels_too_large"
    assert isinstance(names.of_pairs("t", pairs[:4]), Named)
    found = fault(names.of_text("t", b"{" + b" " * MAX_TEXT_BYTES))
    assert (found.reason, "TOCSIN_INGEST_MAX_SERIES_LABEL_BYTES" in found.text) == ("labels_too_large", True)


def test_labels_are_shown_cut() -> None:
    assert shown_labels(b'{a="\xff"}') == '{a="\ufffd"}'
    assert shown_labels((("a", "1"), ("b", 2))) == '{a="1", b="?"}'  # type: ignore[arg-type]  # as JSON may have it
    assert len(shown_labels(b"x" * 1000)) == len(shown_labels(tuple((f"l{n}", "x") for n in range(500)))) == 301
