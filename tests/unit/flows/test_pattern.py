from __future__ import annotations

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from flows.pattern import Home, Plain, check_pattern, homes_of, matches_pattern, plain_of
from tests.examples import examples

PIECES = ["a", "b", ".", "*", "+", "?", "|", "(", ")", "(?:", "(?i)", "[ab]", "{2}", "\\.", "\\|", "\\\\", "\\d", "^",
          "$", ".*", ".+", "ab", "-", "\\Q", "é", "\n"]  # fmt: skip
PATTERNS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
TEXTS = st.text(st.sampled_from("ab.|\\-é\nA1"), max_size=6)


def reference(pattern: str, text: str) -> bool:
    return re2.compile(f"(?s:{pattern})").fullmatch(text) is not None


def valid(pattern: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(f"(?s:{pattern})", options)
    except re2.error:
        return False
    return True


@pytest.mark.long
@examples(400)
@given(PATTERNS, st.lists(TEXTS, max_size=6))
@example("a\\.*", ["a", "a.", "a..", "ab"])
@example(".+a.+", ["a", "aa", "aaa", "bab"])
@example("(a|b)|(c)", ["a", "c"])
@example("(a\\)", [])
@example("a|", ["", "a"])
def test_what_is_told_without_running_is_what_running_tells(pattern: str, texts: list[str]) -> None:
    if not valid(pattern):
        with pytest.raises(re2.error):
            check_pattern(pattern)
        return
    check_pattern(pattern)
    for text in texts:
        expected = reference(pattern, text)
        assert matches_pattern(pattern, text) == expected
        homes = homes_of(pattern)
        if expected and homes:
            assert any(text == home.text if home.exact else text.startswith(home.text) for home in homes)


@pytest.mark.parametrize(("pattern", "expected"), [
    ("api", [Plain(None, "api", None)]), ("a|b.c", None),
    ("(?:a|b\\.c)", [Plain(None, "a", None), Plain(None, "b.c", None)]),
    ("node_.*", [Plain(None, "node_", 0)]), (".+-canary", [Plain(1, "-canary", None)]),
    (".*x.*|y.+", [Plain(0, "x", 0), Plain(None, "y", 1)]),
    (".+", [Plain(1, "", None)]), ("[0-9]+", None), ("(?i)api", None),
])  # fmt: skip
def test_the_forms_that_people_write_are_plain(pattern: str, expected: list[Plain] | None) -> None:
    assert plain_of(pattern) == (None if expected is None else tuple(expected))


@pytest.mark.parametrize(("pattern", "expected"), [
    ("a|b", [Home("a", True), Home("b", True)]), ("api-.*", [Home("api-", False)]),
    ("web-[0-9]+", [Home("web-", False)]),
    ("web-?[0-9]", [Home("web", False)]), (".*a", []), ("a|[b]", []), ("|a", []), ("[ab]", []),
])  # fmt: skip
def test_homes(pattern: str, expected: list[Home]) -> None:
    assert homes_of(pattern) == tuple(expected)
