from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec import push_json
from connectors.codec.limits import USUAL_LIMITS
from connectors.codec.push_json import split_json
from connectors.codec.push_protobuf import split_protobuf
from connectors.codec.pushed import Pushed
from connectors.codec.stream_names import StreamNames
from connectors.errors import Rejected, TooLarge
from tests import pushes
from tests.examples import examples
from tests.pushes import T, json_request, request

NAMES = StreamNames(USUAL_LIMITS, 4)
LABELS = {"a": "1"}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def split(body: bytes, line_bytes: int = 100) -> Pushed:
    return split_json(body, "t", NAMES, line_bytes)


def lines(pushed: Pushed) -> list[tuple[str, pushes.Line]]:
    read = [pushes.read_stream(record.value) for record in pushed.records]
    return [(stream.labels, line) for stream in read for line in stream.lines]


@examples(150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([{"a": "1"}, {"b": "ü\n", "a": ""}, {"c": '"\\'}]),
            st.lists(st.tuples(st.integers(0, 2**61), TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2)), max_size=3),
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_as_the_same_in_protobuf(streams: list[tuple[dict[str, str], list[tuple[int, str, dict[str, str]]]]]) -> None:
    texts = [(pushes.labels_text(labels), found) for labels, found in streams]
    values = [(labels, [[str(time), line, extra] for time, line, extra in found]) for labels, found in streams]
    one, other = split(json_request(*values)), split_protobuf(request(*texts), "t", NAMES, 100)
    assert lines(one) == lines(other)
    assert [record.partition for record in one.records] == [record.partition for record in other.records]
    assert one[1:5] == other[1:5]


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        ([T, "x"], "bad_time", f"time {T}: must be a string of nanoseconds"),
        ([1.5, "x"], "bad_time", "time 1.5:"),
        ([None, "x"], "bad_time", "time null:"),
        (["", "x"], "bad_time", 'time "":'),
        ([" 1", "x"], "bad_time", 'time " 1":'),
        (["+1", "x"], "bad_time", "time"),
        (["1e9", "x"], "bad_time", "time"),
        (["١٢", "x"], "bad_time", "time"),
        (["9" * 19, "x"], "bad_time", "before the year 2100"),
        (["9" * 1000, "x"], "bad_time", "…: must"),
        (["4102444800000000000", "x"], "bad_time", "time"),
        (["1"], "bad_line", "value a list of 1"),
        (["1", "x", {}, 4], "bad_line", "value a list of 4"),
        ("1", "bad_line", 'value "1"'),
        ({"ts": "1"}, "bad_line", "value an object of 1"),
        (["1", 5], "bad_line", "line 5: must be a string"),
        (["1", None], "bad_line", "line null"),
        (["1", "x", None], "bad_metadata", "structured metadata null: must be an object of strings"),
        (["1", "x", {"a": 1}], "bad_metadata", "an object of 1"),
        (["1", "ü" * 51], "line_too_long", "line of 102 bytes: must be at most 100"),
        (["1", "x", {"a": "x" * 65_536}], "too_much_metadata", "1 names and 65537 bytes"),
        (["1", "x", {f"n{n}": "" for n in range(129)}], "too_much_metadata", "129 names"),
    ],
)
def test_a_bad_line_among_good_ones(value: Any, reason: str, said: str) -> None:
    found = split(json_request((LABELS, [["0", "before"], value, value, ["1", "after", {}]])))
    assert [line for _, (_, line, _) in lines(found)] == [b"before", b"after"]
    assert (found.lines, found.refused) == (2, Counter({reason: 2}))
    assert found.complaint is not None
    assert found.complaint.reason == reason
    assert found.complaint.text.startswith('stream 0, {a="1"}, line 1: ')
    assert said in found.complaint.text


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({}, "no_labels"),
        ({"a": 1}, "bad_label_value"),
        ({"a": None}, "bad_label_value"),
        ({"a": {}}, "bad_label_value"),
        ({"a b": "x"}, "bad_label_name"),
    ],
)
def test_a_stream_with_bad_labels_among_good_ones(labels: dict[str, Any], reason: str) -> None:
    found = split(json_request((LABELS, [["0", "x"]]), (labels, [["1", "y"], [2, "z"]]), (LABELS, [["3", "x"]])))
    assert (found.lines, found.refused) == (2, Counter({reason: 2}))
    assert found.complaint is not None
    assert found.complaint.text.startswith("stream 1, {")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b'{"streams": NaN}', "is no JSON"),
        (b"null", 'must be an object with "streams"'),
        (b'{"streams": ""}', '"streams" must be a list'),
        (b'{"streams": [null]}', "stream 0 must be an object"),
        (b'{"streams": [{"stream": "{a=1}"}]}', '"stream" of stream 0 must be an object'),
        (b'{"streams": [{}, {"values": ""}]}', '"values" of stream 1 must be a list'),
        (b'{"more": ' + b"[" * 40 + b"]" * 40 + b"}", "nests deeper than 32 levels"),
        (b"[" * 1_000_000, "nests deeper than 32 levels"),
    ],
)
def test_what_is_no_push_at_all(body: bytes, said: str) -> None:
    with pytest.raises(Rejected, match=r"^body: ") as caught:
        split(body)
    assert caught.value.reason == "bad_json"
    assert said in str(caught.value)


def test_more_values_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_json, "MAX_VALUES", 12)
    assert split(json_request((LABELS, [["1", "[[,,"], ["2", "x"]]))).lines == 2
    with pytest.raises(TooLarge, match="more than 12 values"):
        split(json_request((LABELS, [["1", "x"]] * 3)))


def test_too_many_streams() -> None:
    with pytest.raises(TooLarge, match="10001 in one request"):
        split(b'{"streams": [' + b",".join([b"{}"] * 10_001) + b"]}")


def test_what_is_null_or_left_out_is_empty() -> None:
    assert split(b'{"streams": null}').streams == split(b"{}").streams == 0
    assert split(b'{"streams": [{}, {"stream": null, "values": null}]}') == Pushed([], 2, 0, Counter(), None, 0)


def test_half_characters() -> None:
    text = (
        r'{"streams": [{"stream": {"a": "\udc80\ud83d\ude00"}, "values": [["1", "\ud800\\ud800\uD83D\uDE00\ud83dx"]]}]}'
    )
    ((labels, (_, line, _)),) = lines(split(text.encode()))
    assert (labels, line.decode()) == ('{a="\ufffd😀"}', "\ufffd\\ud800😀\ufffdx")


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), TEXTS)
ANYTHING = st.recursive(
    st.one_of(SCALARS, st.sampled_from(["1", "streams"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b c", ""]), inner)),
    max_leaves=6,
)


@examples(400)
@given(
    st.one_of(
        ANYTHING,
        st.fixed_dictionaries({"streams": ANYTHING}),
        st.fixed_dictionaries(
            {"streams": st.lists(st.fixed_dictionaries({"stream": ANYTHING, "values": ANYTHING}), max_size=2)}
        ),
        st.fixed_dictionaries(
            {
                "streams": st.lists(
                    st.fixed_dictionaries(
                        {"stream": st.just(LABELS), "values": st.lists(st.lists(ANYTHING, max_size=4), max_size=3)}
                    )
                )
            }
        ),
    )
)
def test_whatever_it_is_it_is_taken_or_refused(body: Any) -> None:
    """Any other error would end the process."""
    try:
        found = split(json.dumps(body).encode())
    except Rejected as error:
        text = str(error)
    else:
        assert (found.complaint is None) == (not found.refused)
        assert len(lines(found)) == found.lines
        text = found.complaint.text if found.complaint else ""
    assert len(text) < 1000


def test_half_a_character_hides_no_other_fault() -> None:
    with pytest.raises(Rejected, match="unexpected end of data: line 1 column 14"):
        split(b'["\\ud800", {"')


def test_numbers_of_any_size_do_no_harm() -> None:
    large = "9" * 400
    text = (
        f'{{"streams": [{{"stream": {{"a": "1"}}, "values": [["1", "x"], [{large}, "y"]], "n": -{large}.5e{large}}}]}}'
    )
    with pytest.raises(Rejected, match="is no JSON"):
        split(text.encode())
