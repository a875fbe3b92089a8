from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.codec.labels import parse_labels
from flows import label_columns
from flows.label_columns import UNKNOWN, VERDICT_VALUES, LabelColumns
from flows.selector import Matcher, Op
from tests.examples import examples

NAMES = ["__name__", "a", "é", "long" * 40, "missing"]
LABELS = st.dictionaries(st.sampled_from(NAMES[:-1]), st.sampled_from(["", "1", "2", "ü", "v" * 300]), max_size=4)


@examples(60)
@given(st.lists(LABELS, max_size=12), st.sets(st.sampled_from(NAMES)))
def test_columns_say_what_the_labels_say(series: list[dict[str, str]], names: set[str]) -> None:
    columns = LabelColumns([encode_labels(labels) for labels in series], names)
    assert columns.size == len(series)
    for name in names:
        column = columns[name]
        assert [column.values[code] for code in column.codes.tolist()] == [labels.get(name, "") for labels in series]
        assert len(set(column.values)) == len(column.values)
        for value, code in column.numbers.items():
            expected = [i for i, labels in enumerate(series) if labels.get(name, "") == value]
            begin, end = column.living_at(value)
            assert column.by_code[begin:end].tolist() == (expected if value else [])
            assert column.codes[expected].tolist() == [code] * len(expected)
        for text in ("1", "v", "v" * 299, "w"):
            begin, end = column.living_below(text)
            expected = [i for i, labels in enumerate(series) if labels.get(name, "").startswith(text)]
            assert sorted(column.by_text[begin:end].tolist()) == expected
    assert {name for name, _ in columns.columns()} == {n for n in names if any(labels.get(n) for labels in series)}


def test_fields_in_any_order_and_names_that_stand_twice() -> None:
    first = b"\x0a\x06\x12\x011\x0a\x01a"  # the value before the name
    second = b"\x0a\x06\x0a\x01a\x12\x012"
    empty = b"\x0a\x03\x0a\x01a"
    raws = [first, first + second, second + empty, empty]
    column = LabelColumns(raws, ["a"])["a"]
    assert [column.values[code] for code in column.codes.tolist()] == [parse_labels(raw).get("a", "") for raw in raws]
    assert np.array_equal(LabelColumns([], ["a"])["a"].codes, [])


@pytest.mark.parametrize("values", [1, 60])
def test_what_is_remembered_of_conditions_is_bounded_and_counted(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = 3 * (values + VERDICT_VALUES)
    monkeypatch.setattr(label_columns, "MAX_VERDICTS", bound)
    columns = LabelColumns([encode_labels({"a": f"v{n}"}) for n in range(values)], ["a"])
    bare = columns.size_bytes
    for n in range(20):
        matcher = Matcher("a", Op.REGEX, f".*v{n}")
        verdicts = columns["a"].verdicts(str(matcher), matcher)
        assert set(verdicts.tolist()) == {UNKNOWN}
        verdicts[:] = 1
        assert set(columns["a"].verdicts(str(matcher), matcher).tolist()) == {1}, "what was written is known"
        assert bare < columns.size_bytes <= bare + bound


@pytest.mark.parametrize("pattern", ["1.*", "1.+", "(1|22|4.*)", "1.*|11.+|x", "22|", "é.*"])
@pytest.mark.parametrize("op", [Op.REGEX, Op.NOT_REGEX])
def test_beginnings_are_looked_up_in_the_order_of_the_values(pattern: str, op: Op) -> None:
    values = ["", "1", "10", "11", "110", "2", "22", "222", "4", "é", "éa", "ü"]
    column = LabelColumns([encode_labels({"n": "m", "a": value}) for value in values], ["a"])["a"]
    matcher = Matcher("a", op, pattern)
    assert column.verdicts(str(matcher), matcher).tolist() == [matcher.matches(value) for value in column.values]


def test_what_is_no_beginning_is_left_to_be_tried() -> None:
    column = LabelColumns([encode_labels({"a": f"{n}"}) for n in range(9)], ["a"])["a"]
    for pattern in (".*1", "1[0-9]", ".*1.*|2", ".+"):
        assert set(column.verdicts(pattern, Matcher("a", Op.REGEX, pattern)).tolist()) == {UNKNOWN}
