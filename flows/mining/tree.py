"""Patterns: what masked lines have in common, found as they come.

This is Drain (He et al., ICWS 2017) on masked lines: those of one scope, with as many words, the same separators and
the same first two words are compared, and one joins the pattern with which it has most words in common. Words in which
it differs become wildcards. Differences from the paper: what stands between words counts, and two words from the front
lead through the tree, where the paper has four levels of tokens cut at blanks. On 8 systems of Loghub it groups more
lines rightly than drain3 (docs/logs.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from flows.mining.mask import WILDCARD
from flows.mining.scope import Scope

SIMILAR = 0.7
"""Share of words that must be the same; from .65 to .75 hardly a line of Loghub is grouped otherwise."""
LEADING = 2
"""Words from the front that must be the same, as long as there are not too many of the second."""
MAX_SECONDS = 15
"""So many second words lead to patterns of their own, as many as in Loki's Drain: what comes then are names of users,
or of what else there is no end, and such lines are compared whatever their second word is."""
MAX_BRANCH = 100
"""Patterns that are compared with a line; where there are more, the most similar takes it in, however different."""
MAX_NAME = 200
"""Characters of a pattern's name; of a longer one the check sum of its text is told too, so that names differ."""
SHOWN = "<*>"
EMPTY = "(empty)"
_WORD = re.compile(rb"\x01|[A-Za-z0-9_.@\-\x80-\xff]*[A-Za-z0-9_@\x80-\xff]")
_MASKED = bytes([WILDCARD])
_Key = tuple[Scope, tuple[bytes, ...], tuple[bytes, ...]]


@dataclass(slots=True)
class Pattern:
    """What lines have in common. ``name`` is its text when it was born, and stays."""

    number: int
    scope: Scope
    gaps: tuple[bytes, ...]
    """what stood around the words of its first line"""
    words: list[bytes]
    name: str
    lines: int = 0
    born: int = 0
    """step"""
    seen: int = 0
    """step of its last line"""
    surprise: float = 0.0
    """−log10 of the chance of its birth"""
    any_second: bool = False
    """whether it is compared with lines whatever their second word is"""

    @property
    def key(self) -> _Key:
        """Patterns with the same are compared."""
        return _key(self.scope, self.gaps, self.words, self.any_second)

    @property
    def first(self) -> _Key:
        """Patterns with the same differ at most in the second of the words that lead to them."""
        return _key(self.scope, self.gaps, self.words, any_second=True)

    @property
    def text(self) -> str:
        """What its lines have in common, as of now."""
        return shown(b"".join(map(bytes.__add__, self.gaps, (*self.words, b""))))


class Tree:
    """All patterns, by number; a number is never given twice."""

    def __init__(self) -> None:
        self.patterns: dict[int, Pattern] = {}
        self.next_number = 0
        self._branches: dict[_Key, list[Pattern]] = {}
        self._seconds: dict[_Key, set[bytes]] = {}
        """second words that lead to patterns of their own"""
        self._names: set[tuple[Scope, str]] = set()

    def learn(self, scope: Scope, text: bytes, step: int) -> tuple[Pattern, bool]:
        """The pattern of a masked line, and whether it was born of it."""
        words, gaps = split_words(text)
        any_second = self._is_one_of_many(scope, gaps, words)
        branch = self._branches.get(_key(scope, gaps, words, any_second), [])
        found = _most_similar(branch, words)
        if found is None:
            name = self._name(scope, text)
            pattern = Pattern(self.next_number, scope, gaps, words, name, 0, step, step, any_second=any_second)
            self.next_number += 1
            self.add(pattern)
            return pattern, True
        found.words = [its if ours == its else _MASKED for ours, its in zip(words, found.words, strict=True)]
        return found, False

    def add(self, pattern: Pattern) -> None:
        """Take in a pattern, as one of a snapshot."""
        self.patterns[pattern.number] = pattern
        self._branches.setdefault(pattern.key, []).append(pattern)
        if len(pattern.words) >= LEADING and not pattern.any_second:
            self._seconds.setdefault(pattern.first, set()).add(pattern.words[1])
        self._names.add((pattern.scope, pattern.name))

    def forget(self, number: int) -> None:
        """Let a pattern go; its next line is a birth."""
        pattern = self.patterns.pop(number)
        self._names.remove((pattern.scope, pattern.name))
        branch = self._branches[pattern.key]
        branch.remove(pattern)
        if not branch:
            del self._branches[pattern.key]
            self._forget_second(pattern)

    def _forget_second(self, pattern: Pattern) -> None:
        seconds = self._seconds.get(pattern.first, set())
        if not pattern.any_second:
            seconds.discard(pattern.words[1] if len(pattern.words) >= LEADING else b"")
        if not seconds:
            self._seconds.pop(pattern.first, None)

    def _is_one_of_many(self, scope: Scope, gaps: Sequence[bytes], words: Sequence[bytes]) -> bool:
        """Whether too many second words are known behind the first one of a line, and its own is not among them."""
        seconds = self._seconds.get(_key(scope, gaps, words, any_second=True), set())
        return len(seconds) >= MAX_SECONDS and words[1] not in seconds

    def _name(self, scope: Scope, text: bytes) -> str:
        """One that no other pattern of the scope has: two may read alike, as where a line itself says ``<*>``."""
        name = shown(text)
        return name if (scope, name) not in self._names else f"{name} #{self.next_number}"

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns.values())


def _most_similar(branch: list[Pattern], words: list[bytes]) -> Pattern | None:
    """The pattern that the words belong to, the oldest of several that are as near.

    They belong to one whose words, wildcards apart, are all theirs, even if they have less in common: one that took in
    what was not similar would never be found again otherwise.
    """
    best, most = None, -1
    for pattern in branch:
        same = sum(map(bytes.__eq__, pattern.words, words))
        if same + sum(word == _MASKED != its for word, its in zip(pattern.words, words, strict=True)) == len(words):
            return pattern
        if same > most:
            best, most = pattern, same
    return best if most >= SIMILAR * len(words) or len(branch) >= MAX_BRANCH else None


def _key(scope: Scope, gaps: Iterable[bytes], words: Sequence[bytes], any_second: bool) -> _Key:
    return scope, tuple(map(bytes.strip, gaps)), tuple(words[: 1 if any_second else LEADING])


def split_words(text: bytes) -> tuple[list[bytes], tuple[bytes, ...]]:
    """Words of a masked line, and what stands around them."""
    words, gaps, at = list[bytes](), list[bytes](), 0
    for found in _WORD.finditer(text):
        words.append(found.group())
        gaps.append(text[at : found.start()])
        at = found.end()
    return words, (*gaps, text[at:])


def shown(text: bytes) -> str:
    """A masked line as people read it, cut to ``MAX_NAME`` characters."""
    name = text.replace(_MASKED, SHOWN.encode()).decode(errors="replace").strip() or EMPTY
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}… ({crc32(text):08x})"
