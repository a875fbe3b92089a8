from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.json_shape import Shape, shape_of
from tests.examples import examples

VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=6), st.sampled_from(['"', "\\", '\\"[{,', "]}"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=12,
)


def depth(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def count(value: Any) -> int:
    """Values, in so far as each stands before a comma, behind a bracket, or alone."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + sum(map(count, inner))


@examples(300)
@given(VALUES, st.sampled_from([None, 1]))
def test_the_shape_of_json(value: Any, indent: int | None) -> None:
    found = shape_of(json.dumps(value, indent=indent).encode())
    assert found.depth == depth(value)
    assert found.values >= count(value)
    assert found.values <= 2 * count(value)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"", Shape(0, 1)), (b'"', Shape(0, 1)), (b'"\\', Shape(0, 1)), (b'"\\"', Shape(0, 1)), (b"[,[", Shape(2, 4)),
        (b"]]]", Shape(0, 1)), (b'"a\\\\",', Shape(0, 2)),
    ],
)  # fmt: skip
def test_what_is_no_json_ends_somewhere(text: bytes, shape: Shape) -> None:
    assert shape_of(text) == shape
