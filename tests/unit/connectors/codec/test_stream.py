"""Records of logs as they are written, read by google.protobuf and by the parser of labels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.codec.stream import Entry, encode_stream, labels_text
from connectors.codec.stream_labels import read_labels
from tests.pushes import read_stream

ANY = settings(deadline=None, derandomize=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
metadata = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)).filter(any), max_size=3).map(tuple)


def test_labels_are_written_as_loki_writes_them() -> None:
    labels = {"b": 'say "x"\\', "a": "two\nlines\t\r", "c": ""}
    assert labels_text(labels) == '{a="two\\nlines\\t\\r", b="say \\"x\\"\\\\", c=""}'
    assert labels_text({}) == "{}"


@ANY
@given(st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]*", fullmatch=True), texts, min_size=1, max_size=5))
def test_labels_can_be_read_again(labels: dict[str, str]) -> None:
    found = read_labels(labels_text(labels).encode())
    assert isinstance(found, tuple)
    assert found == tuple(sorted(labels.items()))


@ANY
@given(
    st.lists(st.builds(Entry, st.integers(0, 4_102_444_799_999_999_999), st.binary(max_size=50), metadata), max_size=5),
    st.integers(0, 2**64 - 1),
)
def test_entries_can_be_read_again(entries: list[Entry], stream_hash: int) -> None:
    read = read_stream(encode_stream('{a="b"}', entries, stream_hash))
    assert read == ('{a="b"}', [tuple(entry) for entry in entries], stream_hash)
