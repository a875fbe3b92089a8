"""The slow, obvious twin of masking: the rules of ``flows.mining.mask``, in regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from flows.mining.levels import KEYS, SPELLINGS, Level

WILDCARD = b"\x01"
WORD = rb"A-Za-z0-9_.\-@\x80-\xff"
SCANNED, MASKED, LONG, HEXADECIMAL, LEVEL_WORDS, SOFT_GAP = 65_536, 4096, 64, 8, 16, 2
TOKEN = re.compile(rb"(?<![%b/])/(?=[%b])[%b/]+|(?<![%b])[%b]+" % ((WORD,) * 5), re.DOTALL)
EMPTY_PAIR = re.compile(rb"""(?<=\()(?=\))|(?<=\[)(?=\])|(?<=\{)(?=\})|(?<=")(?=")""")
DATE = re.compile(rb"[A-Z][A-Za-z]{2}")
DATES = b"jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun"


@dataclass
class Naive:
    """A masked line on its way: pieces that stay, and wildcards (None)."""

    pieces: list[bytes | None] = field(default_factory=list)
    words: list[bytes | None] = field(default_factory=list)
    """None: masked"""


def mask(line: bytes) -> tuple[bytes, Level]:
    """The masked line, and the level that it names."""
    naive, at, text = Naive(), 0, line[:SCANNED]
    for start, word in _tokens(text):
        naive.pieces += _of_gap(text[at:start])
        masked = _is_masked(word)
        naive.pieces.append(None if masked else word)
        naive.words.append(None if masked else word)
        at = start + len(word)
    naive.pieces += _of_gap(text[at:])
    return _joined(naive.pieces)[:MASKED], _level(naive.words)


def _tokens(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Words and paths, without dots at their end, but one where there is nothing else."""
    for found in TOKEN.finditer(text):
        yield found.start(), found.group().rstrip(b".-") or found.group()[:1]


def _is_masked(word: bytes) -> bool:
    return bool(
        re.search(rb"[0-9@]", word)
        or len(word) > LONG
        or (len(word) >= HEXADECIMAL and re.fullmatch(rb"[A-Fa-f0-9]+", word))
        or word.count(b"/") >= 2
        or (DATE.fullmatch(word) and word.lower() in DATES.split())
    )


def _of_gap(gap: bytes) -> Iterator[bytes | None]:
    """What stands between words: control characters are blanks, empty pairs have a wildcard."""
    at = 0
    for found in EMPTY_PAIR.finditer(gap):
        yield _blanked(gap[at : found.start()])
        yield None
        at = found.start()
    yield _blanked(gap[at:])


def _blanked(gap: bytes) -> bytes:
    return bytes(max(byte, 0x20) for byte in gap)


def _joined(pieces: list[bytes | None]) -> bytes:
    text = b"".join(WILDCARD if piece is None else piece for piece in pieces)
    return re.sub(rb"\x01(?:[ ,:;+./\-]{0,%d}\x01)+" % SOFT_GAP, WILDCARD, text)


def _level(words: list[bytes | None]) -> Level:
    named, announced = Level.UNKNOWN, False
    for n, word in enumerate(words):
        level = None if word is None else _spelled(word)
        if level and (announced or (named is Level.UNKNOWN and n < LEVEL_WORDS)):
            named = level
        if level and announced:
            return named
        announced = word is not None and _is_key(word)
    return named


def _start(word: bytes) -> str:
    """By so much of it a word is told."""
    return word.decode("latin-1").lower()[:8] if 3 <= len(word) <= 13 else ""


def _spelled(word: bytes) -> Level | None:
    start = _start(word)
    return next((level for level, all_ in SPELLINGS.items() if start in {one[:8] for one in all_}), None)


def _is_key(word: bytes) -> bool:
    return _start(word) in KEYS
