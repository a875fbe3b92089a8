"""Patterns of masked lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.mining.levels import Level
from flows.mining.scope import Scope, Service
from flows.mining.tree import MAX_BRANCH, MAX_NAME, MAX_WORDS, Pattern, Tree, shown, split_words

SHOP = Scope(Service("t", (("service_name", "shop"),)), Level.INFO)
MAIL = Scope(Service("t", (("service_name", "mail"),)), Level.INFO)


def learn(tree: Tree, *texts: str, scope: Scope = SHOP) -> list[int]:
    return [tree.learn(scope, text.replace("*", "\x01").encode(), step)[0].number for step, text in enumerate(texts)]


def only(tree: Tree) -> Pattern:
    (pattern,) = tree
    return pattern


def test_a_line_is_born_once_and_found_again() -> None:
    tree = Tree()
    first, born = tree.learn(SHOP, b"took \x01 ms", 7)
    assert (born, first.number, first.name, first.born, first.seen) == (True, 0, "took <*> ms", 7, 7)
    assert tree.learn(SHOP, b"took \x01 ms", 9) == (first, False)
    assert tree.learn(SHOP, b"took   \x01   ms", 9) == (first, False), "blanks do not part"


def test_words_in_which_lines_differ_become_wildcards_and_the_name_stays() -> None:
    tree = Tree()
    assert learn(tree, "user alice logged in at *", "user alice logged out at *") == [0, 0]
    assert only(tree).text == "user alice logged <*> at <*>"
    assert only(tree).name == "user alice logged in at <*>"


@pytest.mark.parametrize(
    "other",
    [
        "user bob logged in from *",  # another one of the first two words
        "user alice logged in from * now",  # more words
        "user alice logged in from: *",  # other separators
        "user alice was seen in *",  # hardly anything in common
    ],
)
def test_others_are_patterns_of_their_own(other: str) -> None:
    assert learn(Tree(), "user alice logged in from *", other) == [0, 1]


def test_scopes_have_nothing_in_common() -> None:
    tree = Tree()
    assert learn(tree, "it is *") + learn(tree, "it is *", scope=MAIL) == [0, 1]
    assert learn(tree, "it is *", scope=SHOP._replace(level=Level.ERROR)) == [2]


NAMES = [f"{letter}{other}" for letter in "abcdefghijklm" for other in "nopqrstuvwxyz"]


@pytest.mark.parametrize(
    ("form", "most", "shared"),
    [
        ("user {} logged in", MAX_WORDS[1], "user <*> logged in"),
        ("user {}", MAX_WORDS[1], "user <*>"),
        ("{} logged in", MAX_WORDS[0], "<*> logged in"),
        ("{}", MAX_WORDS[0], "<*>"),
    ],
)
def test_names_among_the_first_words_become_a_wildcard_when_there_are_too_many(
    form: str, most: int, shared: str
) -> None:
    """Each of the first has a pattern of its own, all others share one, numbers too."""
    tree = Tree()
    numbers = learn(tree, *(form.format(name) for name in NAMES), form.format("*"))
    assert numbers == [*range(most), *[most] * (len(NAMES) + 1 - most)]
    assert tree.patterns[most].name == tree.patterns[most].text == shared
    assert learn(tree, form.format(NAMES[0])) == [0], "one of the first"
    assert learn(tree, form.format("x") + " and more") == [most + 1], "lines of another form"
    tree.forget(0)
    assert learn(tree, form.format("nobody")) == [most + 2], "there is room again"


def test_words_are_counted_as_long_as_a_pattern_has_them() -> None:
    tree = Tree()
    learn(tree, "a b x y", "a c x y", "a b 1 2")
    tree.forget(0)
    assert learn(tree, *(f"{name} b x y" for name in NAMES[: MAX_WORDS[0] - 1])) == [*range(3, MAX_WORDS[0] + 2)]
    assert tree.learn(SHOP, b"z b x y", 0)[0].text == "<*> b x y", "a is still one of them"
    tree.forget(1)
    tree.forget(2)
    assert tree.learn(SHOP, b"zz b x y", 0)[0].text == "zz b x y"


def test_the_most_similar_takes_a_line_and_of_equals_the_oldest() -> None:
    tree = Tree()
    texts = "a b c d e f g h i j", "a b 1 2 3 4 g h i j"
    assert learn(tree, *texts, "a b 1 2 3 f g h i j", "a b c d e 4 g h i j") == [0, 1, 1, 0]


def test_a_full_branch_takes_in_whatever_comes_and_finds_it_again() -> None:
    tree = Tree()
    names = [f"{letter}{other}" for letter in "abcdefghijklm" for other in "nopqrstuvwxyz"][:MAX_BRANCH]
    assert learn(tree, *(f"a b {n}c {n}d {n}e" for n in names)) == [*range(MAX_BRANCH)]
    assert learn(tree, "a b x y z") == [0]
    assert len(tree.patterns) == MAX_BRANCH
    assert tree.patterns[0].text == "a b <*> <*> <*>"
    assert learn(tree, "a b anc and ane", "a b 1 2 3") == [0, 0]


def test_a_pattern_that_was_forgotten_is_born_again_under_another_number() -> None:
    tree = Tree()
    learn(tree, "one", "two")
    tree.forget(0)
    assert learn(tree, "two", "one") == [1, 2]
    assert sorted(pattern.name for pattern in tree) == ["one", "two"]


def test_no_two_patterns_of_a_scope_have_one_name() -> None:
    tree = Tree()
    texts = [
        b"a <*> b",
        b"a \x01 b",
        b"\xff",
        b"\xfe",
        b"",
        b"(empty)",
        b"z" * 50 + b" k" * 200,
        b"z" * 50 + b" k" * 201,
    ]
    assert [tree.learn(SHOP, text, 0)[1] for text in texts] == [True] * len(texts)
    names = [pattern.name for pattern in tree]
    assert len(set(names)) == len(texts)
    assert {"a <*> b", "a <*> b #1", "(empty)"} <= set(names)
    tree.learn(MAIL, b"a <*> b", 0)
    assert [pattern.name for pattern in tree if pattern.scope == MAIL] == ["a <*> b"]


def test_long_names_are_cut_and_still_differ() -> None:
    one, other = (shown(b"x " * MAX_NAME + end) for end in (b"a", b"b"))
    assert one[:MAX_NAME] == other[:MAX_NAME]
    assert one != other
    assert len(one) < MAX_NAME + 15


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=80))
def test_words_and_what_stands_around_them_are_the_line(text: bytes) -> None:
    words, gaps = split_words(text)
    assert len(gaps) == len(words) + 1
    assert b"".join(map(bytes.__add__, gaps, [*words, b""])) == text


@settings(deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=6).map(" ".join), max_size=30))
def test_each_line_has_the_words_of_its_pattern(texts: list[str]) -> None:
    tree = Tree()
    numbers = learn(tree, *texts)
    for number, text in zip(numbers, texts, strict=True):
        pattern = tree.patterns[number]
        words, _ = split_words(text.replace("*", "\x01").encode())
        assert all(its in (b"\x01", ours) for its, ours in zip(pattern.words, words, strict=True))
    assert tree.patterns.keys() == set(numbers)
