from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.codec.labels import parse_labels
from flows import label_columns
from flows.label_columns import CHOICE_PLACES, FEW_VALUES, MAX_CHOSEN, VERDICT_VALUES, Choices, LabelColumns
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
            assert column.places(code).tolist() == expected
    assert {name for name, _ in columns.columns()} == {n for n in names if any(labels.get(n) for labels in series)}


def test_fields_in_any_order_and_names_that_stand_twice() -> None:
    first = b"\x0a\x06\x12\x011\x0a\x01a"  # the value before the name
    second = b"\x0a\x06\x0a\x01a\x12\x012"
    empty = b"\x0a\x03\x0a\x01a"
    raws = [first, first + second, second + empty, empty]
    column = LabelColumns(raws, ["a"])["a"]
    assert [column.values[code] for code in column.codes.tolist()] == [parse_labels(raw).get("a", "") for raw in raws]
    assert np.array_equal(LabelColumns([], ["a"])["a"].codes, [])


def test_choices_are_kept_by_addresses_up_to_a_bound() -> None:
    choices, mine, others = Choices(), ("a",), ("b",)
    assert choices.get(mine) is None
    choices.keep(mine, np.array([1, 2]))
    assert (choices.get(mine) is not None, choices.get(others)) == (True, None)
    choices.keep(others, np.zeros(MAX_CHOSEN - CHOICE_PLACES, np.int64))
    assert choices.get(mine) is None, "all before is forgotten"
    assert choices.get(others) is not None
    assert choices.places == MAX_CHOSEN


@pytest.mark.parametrize("values", [FEW_VALUES, FEW_VALUES + 1, 60])
def test_what_is_remembered_of_conditions_is_bounded_and_counted(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = 3 * (values + VERDICT_VALUES)
    monkeypatch.setattr(label_columns, "MAX_VERDICTS", bound)
    columns = LabelColumns([encode_labels({"a": f"v{n}"}) for n in range(values)], ["a"])
    bare, everywhere = columns.size_bytes, np.arange(values)
    for n in range(20):
        matcher = Matcher("a", Op.REGEX, f"v{n}.*")
        for _ in range(2):
            chosen = columns["a"].choose(matcher, everywhere)
            assert [columns["a"].values[columns["a"].codes[at]] for at in chosen.tolist()] == [
                name for name in (f"v{m}" for m in range(values)) if matcher.matches(name)
            ]
        assert bare < columns.size_bytes <= bare + bound
