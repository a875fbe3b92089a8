from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.stream import labels_text
from connectors.codec.stream_labels import MAX_PAIRS, LabelFault, read_labels
from tests.examples import examples
from tests.pushes import NoLabels, naive_labels

PARTS = [
    "{", "}", ",", "=", '"', "`", "\\", " ", "\n", "a", "_b1", "9", "é", 'a="1"', 'b="2",', "c=`3`", "\\x41", "\\u00e9",
    "\\U0001F600", "\\ud800", "\\101", "\\777", "\\n", "\\q", '\\"', "\\xff", "\\xc3\\xa9", "-", "#", "'",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('{a="b", c="d"}', (("a", "b"), ("c", "d"))),
        (' {\ta = "b" ,c="d" , } \n', (("a", "b"), ("c", "d"))),
        ("{a=`b\\n\"'`}", (("a", "b\\n\"'"),)),
        ('{a="\\a\\b\\f\\n\\r\\t\\v\\\\\\""}', (("a", '\a\b\f\n\r\t\v\\"'),)),
        ('{a="\\x41\\101\\u0041\\U00000041"}', (("a", "AAAA"),)),
        ('{a="\\xc3\\xa9\\303\\251é"}', (("a", "ééé"),)),
        ('{a="", a="x"}', (("a", ""), ("a", "x"))),
        ('{__name__="{},=`"}', (("__name__", "{},=`"),)),
        ("{}", ()),
    ],
)
def test_labels(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert read_labels(text.encode()) == pairs


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("", "bad_labels", "at byte 0 (''): must begin with {"),
        ('a="b"', "bad_labels", "must begin with {"),
        ('{a="b"', "bad_labels", "must go on with a comma or end with }"),
        ('{a="b" c="d"}', "bad_labels", "at byte 7"),
        ('{a="b"} x', "bad_labels", "nothing may stand behind the }"),
        ('{,a="b"}', "bad_labels", 'must go on with name="value"'),
        ("{a='b'}", "bad_labels", "at byte 1 (\"a='b'}\")"),
        ('{a="b\nc"}', "bad_labels", "at byte 1"),
        ('{a="\\q"}', "bad_labels", "\\q is no escape"),
        ('{a="\\ud800"}', "bad_labels", "\\ud800 is no escape"),
        ('{a="\\U00110000"}', "bad_labels", "is no escape"),
        ('{a="\\x4"}', "bad_labels", "\\x is no escape"),
        ('{a="\\400"}', "bad_labels", "is no escape"),
        ('{a-b="c"}', "bad_label_name", "label name 'a-b': must be [a-zA-Z_][a-zA-Z0-9_]*"),
        ('{9a="c"}', "bad_label_name", "'9a'"),
        ('{a="b", é="c"}', "bad_label_name", "'é'"),
        ('{a="\\xff"}', "invalid_utf8", "label a: its value is not UTF-8"),
    ],
)
def test_what_are_no_labels(text: str, reason: str, said: str) -> None:
    fault = read_labels(text.encode())
    assert isinstance(fault, LabelFault)
    assert fault.reason == reason
    assert said in fault.text


def test_so_many_are_read_and_no_more() -> None:
    def text(count: int) -> bytes:
        return ("{" + ",".join(f'l{n}=""' for n in range(count)) + "}").encode()

    assert len(read_labels(text(MAX_PAIRS))) == MAX_PAIRS
    assert read_labels(text(MAX_PAIRS + 1)) == LabelFault("too_many_labels", f"labels: more than {MAX_PAIRS}")


@examples(300)
@given(st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]*", fullmatch=True), st.text(), max_size=4))
def test_what_records_hold_is_read_back(labels: dict[str, str]) -> None:
    assert read_labels(labels_text(labels).encode()) == tuple(sorted(labels.items()))


@examples(1500)
@given(st.lists(st.one_of(st.sampled_from(PARTS).map(str.encode), st.binary(max_size=2)), max_size=8), st.booleans())
def test_as_the_twin(parts: list[bytes], framed: bool) -> None:
    text = b'{a="' + b"".join(parts) + b'"}' if framed else b"{" + b"".join(parts) + b"}"
    found = read_labels(text)
    try:
        expected = naive_labels(text)
    except (NoLabels, UnicodeDecodeError):
        assert isinstance(found, LabelFault) or len(dict(found)) < len(found), text
    else:
        assert {name: value for name, value in found if value} == expected, text


def test_a_long_text_takes_no_longer_than_it_is_long() -> None:
    for text in (b'{a="' + b"\\\\" * 200_000, b"{a=" + b" " * 200_000, b"{" + b"a" * 200_000, b"{" + b"-" * 200_000):
        assert isinstance(read_labels(text), LabelFault)
