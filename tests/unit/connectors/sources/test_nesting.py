"""Depth is that of the JSON, however it is cut into pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.nesting import MAX_DEPTH, Nesting
from tests.examples import examples

WORDS = st.text(alphabet='[]{}"\\aé😀\n', max_size=8)
TREES = st.recursive(
    WORDS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


def depth_of(tree: object) -> int:
    if isinstance(tree, dict):
        return 1 + max((depth_of(one) for one in tree.values()), default=0)
    return 1 + max((depth_of(one) for one in tree), default=0) if isinstance(tree, list) else 0


def feed(text: bytes, size: int) -> None:
    nesting = Nesting()
    for start in range(0, len(text), size):
        nesting.feed(text[start : start + size])


@examples(60)
@given(tree=TREES, size=st.integers(1, 40), escaped=st.booleans())
def test_brackets_in_strings_do_not_count(tree: object, size: int, *, escaped: bool) -> None:
    around = MAX_DEPTH - depth_of(tree)
    text = b"[" * around + json.dumps(tree, ensure_ascii=escaped).encode() + b"]" * around
    feed(text, size)
    feed(text * 3, size)
    with pytest.raises(ValueError, match="nests deeper than 32"):
        feed(b"[" + text if depth_of(tree) or around else b"[" * (MAX_DEPTH + 1), size)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_deep_one_is_refused_though_it_comes_bit_by_bit(opening: bytes) -> None:
    with pytest.raises(ValueError, match="nests deeper"):
        feed(opening * (MAX_DEPTH + 1), 3)
    feed(opening * MAX_DEPTH, 3)
