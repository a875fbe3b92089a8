"""Patterns: what masked lines have in common, found as they come.

This is Drain (He et al., ICWS 2017) on masked lines: those of one scope, with as many words, the same separators and
the same first two words are compared, and one joins the pattern with which it has most words in common. Words in which
it differs become wildcards. Differences from the paper: what stands between words counts, and two words from the front
lead through the tree, where the paper has four levels of tokens cut at blanks. On 8 systems of Loghub it groups more
lines rightly than drain3 (docs/logs.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from flows.mining.mask import WILDCARD
from flows.mining.scope import Scope

SIMILAR = 0.7
"""Share of words that must be the same; from .65 to .75 hardly a line of Loghub is grouped otherwise."""
LEADING = 2
"""Words from the front that must be the same, as long as there are not too many."""
MAX_WORDS = 100, 15
"""So many words in the first place, and in the second behind each of these, lead to patterns of their own, as many as
in the paper and as in Loki's Drain. What comes then are names of users, or of what else there is no end: a wildcard."""
MAX_BRANCH = 100
"""Patterns that are compared with a line; where there are more, the most similar takes it in, however different."""
MAX_NAME = 200
"""Characters of a pattern's name; of a longer one the check sum of its text is told too, so that names differ."""
SHOWN = "<*>"
EMPTY = "(empty)"
_WORD = re.compile(rb"\x01|[A-Za-z0-9_.@\-\x80-\xff]+")
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

    @property
    def key(self) -> _Key:
        """Patterns with the same are compared."""
        return _key(self.scope, self.gaps, self.words[:LEADING])

    @property
    def text(self) -> str:
        """What its lines have in common, as of now."""
        return shown(_joined(self.gaps, self.words))


class Tree:
    """All patterns, by number; a number is never given twice."""

    def __init__(self) -> None:
        self.patterns: dict[int, Pattern] = {}
        self.next_number = 0
        self._branches: dict[_Key, list[Pattern]] = {}
        self._leading: dict[_Key, Counter[bytes]] = {}
        """words that lead on from those before them, with how many branches they lead to"""
        self._names: set[tuple[Scope, str]] = set()

    def learn(self, scope: Scope, text: bytes, step: int) -> tuple[Pattern, bool]:
        """The pattern of a masked line, and whether it was born of it."""
        words, gaps = split_words(text)
        self._mask_names(scope, gaps, words)
        found = _most_similar(self._branches.get(_key(scope, gaps, words[:LEADING]), []), words)
        if found is None:
            name = self._name(scope, _joined(gaps, words))
            pattern = Pattern(self.next_number, scope, gaps, words, name, 0, step, step)
            self.next_number += 1
            self.add(pattern)
            return pattern, True
        found.words = [its if ours == its else _MASKED for ours, its in zip(words, found.words, strict=True)]
        return found, False

    def _mask_names(self, scope: Scope, gaps: Sequence[bytes], words: list[bytes]) -> None:
        """Put a wildcard in the place of a leading word that is one of too many."""
        for place, most in enumerate(MAX_WORDS[: len(words)]):
            known = self._leading.get(_key(scope, gaps, words[:place]), Counter())
            if len(known) >= most and words[place] not in known:
                words[place] = _MASKED

    def add(self, pattern: Pattern) -> None:
        """Take in a pattern, as one of a snapshot."""
        self.patterns[pattern.number] = pattern
        self._names.add((pattern.scope, pattern.name))
        branch = self._branches.setdefault(pattern.key, [])
        branch.append(pattern)
        if len(branch) == 1:
            for before, word in _leading(pattern):
                self._leading.setdefault(before, Counter())[word] += 1

    def forget(self, number: int) -> None:
        """Let a pattern go; its next line is a birth."""
        pattern = self.patterns.pop(number)
        self._names.remove((pattern.scope, pattern.name))
        branch = self._branches[pattern.key]
        branch.remove(pattern)
        if not branch:
            del self._branches[pattern.key]
            for before, word in _leading(pattern):
                self._forget_leading(before, word)

    def _forget_leading(self, before: _Key, word: bytes) -> None:
        known = self._leading[before]
        known[word] -= 1
        if not known[word]:
            del known[word]
        if not known:
            del self._leading[before]

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


def _key(scope: Scope, gaps: Iterable[bytes], leading: Iterable[bytes]) -> _Key:
    return scope, tuple(map(bytes.strip, gaps)), tuple(leading)


def _leading(pattern: Pattern) -> Iterator[tuple[_Key, bytes]]:
    """The words that lead to a pattern, each with what stands before it; wildcards are none of many."""
    scope, gaps, words = pattern.key
    for place, word in enumerate(words):
        if word != _MASKED:
            yield (scope, gaps, words[:place]), word


def _joined(gaps: Iterable[bytes], words: Iterable[bytes]) -> bytes:
    return b"".join(map(bytes.__add__, gaps, (*words, b"")))


def split_words(text: bytes) -> tuple[list[bytes], tuple[bytes, ...]]:
    """Words of a masked line, and what stands around them, dots at their ends too."""
    words, gaps, at = list[bytes](), list[bytes](), 0
    for found in _WORD.finditer(text):
        word = found.group().rstrip(b".-")
        if word:
            words.append(word)
            gaps.append(text[at : found.start()])
            at = found.start() + len(word)
    return words, (*gaps, text[at:])


def shown(text: bytes) -> str:
    """A masked line as people read it, cut to ``MAX_NAME`` characters."""
    name = text.replace(_MASKED, SHOWN.encode()).decode(errors="replace").strip() or EMPTY
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}… ({crc32(text):08x})"
