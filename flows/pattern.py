"""What a regular expression asks for, as far as it can be told without running it.

Most matchers of people are ``a|b``, ``prefix.*``, ``.*part.*`` or mixtures of these. Compiling and running RE2 on them
costs tens of times as much as comparing text, and nobody can look up in an index what a compiled expression wants.
The idea is that of Prometheus' ``model/labels/regexp.go`` (``FastRegexMatcher``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import re2

MAX_PATTERNS = 16_384
"""Expressions that are kept compiled, more than there may be detectors."""
MAX_ANSWERS = 65_536
"""Answers that are remembered: many expressions meet the same few values of a label again and again."""
MAX_TEXTS = 256
"""Texts of one expression that are listed, as in Prometheus."""
_SPECIAL = frozenset(".+*?()[]{}^$|\\")
_ANYTHING = {".*": 0, ".+": 1}


class Home(NamedTuple):
    """Where texts that match may be found: texts that equal ``text``, or begin with it."""

    text: str
    exact: bool


class Plain(NamedTuple):
    """One alternative: a text with anything around it, at least so many characters; None: the text begins or ends."""

    before: int | None
    text: str
    after: int | None

    def matches(self, text: str) -> bool:
        """Whether a whole text is of this form."""
        before, after = self.before or 0, self.after or 0
        if len(text) < before + len(self.text) + after:
            return False
        if self.before is None:
            return text == self.text if self.after is None else text.startswith(self.text)
        if self.after is None:
            return text.endswith(self.text)
        return self.text in text[before : len(text) - after]


def check_pattern(pattern: str) -> None:
    """Raise ``re2.error`` if this is not a regular expression."""
    if plain_of(pattern) is None:
        _compiled(pattern)


@lru_cache(maxsize=MAX_ANSWERS)
def matches_pattern(pattern: str, text: str) -> bool:
    """Whether an expression, anchored at both ends and with ``.`` for any character, matches a text."""
    plain = plain_of(pattern)
    if plain is None:
        return _compiled(pattern).fullmatch(text) is not None
    return any(one.matches(text) for one in plain)


@lru_cache(maxsize=MAX_PATTERNS)
def plain_of(pattern: str) -> tuple[Plain, ...] | None:
    """The alternatives of an expression if all of them are plain, else None."""
    found = []
    for part in _alternatives(pattern):
        before, after = _ANYTHING.get(part[:2]), None
        rest = part if before is None else part[2:]
        if rest[-2:] in _ANYTHING and rest[-3:-2] != "\\":
            rest, after = rest[:-2], _ANYTHING[rest[-2:]]
        text, length = _literal(rest)
        if length < len(rest):
            return None
        found.append(Plain(before, text, after))
    return tuple(found)


def homes_of(pattern: str) -> tuple[Home, ...]:
    """Every text that matches is at home in one of these; none if that cannot be told."""
    plain = plain_of(pattern)
    if plain is None:
        prefix = _prefix(pattern)
        return (Home(prefix, exact=False),) if prefix else ()
    if any(one.before is not None or not one.text for one in plain):
        return ()
    return tuple(Home(one.text, one.after is None) for one in plain)


def beginnings_of(pattern: str) -> tuple[Plain, ...] | None:
    """The alternatives if each of them is a text, or says with which texts begin; else None."""
    plain = plain_of(pattern)
    return plain if plain is not None and all(one.before is None for one in plain) else None


def texts_of(pattern: str) -> tuple[str, ...] | None:
    """All texts that match; None if they cannot be listed, or are too many."""
    plain = plain_of(pattern)
    if plain is None or len(plain) > MAX_TEXTS or any(one.before is not None or one.after is not None for one in plain):
        return None
    return tuple(one.text for one in plain)


def texts_without(pattern: str) -> tuple[str, ...] | None:
    """All texts that may not match; None if they cannot be listed."""
    everything = (one for one in plain_of(pattern) or () if not one.text and (one.before, one.after) != (None, None))
    return ("",) if any((one.before or 0) + (one.after or 0) <= 1 for one in everything) else None


@lru_cache(maxsize=MAX_PATTERNS)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(f"(?s:{pattern})", options)


def _alternatives(pattern: str) -> list[str]:
    """Parts between bars, without one pair of brackets around all; meaningless unless each part is plain."""
    for opening in ("(?:", "("):
        if pattern.startswith(opening) and pattern.endswith(")"):
            pattern = pattern[len(opening) : -1]
            break
    return pattern.split("|")


def _literal(pattern: str) -> tuple[str, int]:
    """The text that the expression begins with, and how much of the expression that is."""
    text: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and _may_be_escaped(pattern[at + 1 : at + 2]):
            at, char = at + 1, pattern[at + 1]
        elif char in _SPECIAL:
            break
        text.append(char)
        at += 1
    return "".join(text), at


def _may_be_escaped(char: str) -> bool:
    return char.isascii() and char != "" and not char.isalnum() and char != "_"


def _prefix(pattern: str) -> str:
    """A text that all matches begin with."""
    if "|" in pattern:
        return ""
    text, length = _literal(pattern)
    return text[:-1] if pattern[length : length + 1] in ("*", "?", "{") else text
