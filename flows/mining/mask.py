"""Masked lines: a wildcard in the place of whatever differs from line to line by its nature.

A word is a run of letters, digits, ``_ . - @`` and bytes above 127. Masked are words with a digit or an ``@``, long
ones, hexadecimal ones, names of days and months, absolute paths, and the nothing between empty brackets or quotes.
Wildcards with hardly anything between them become one: dates, addresses and lists have parts without number.

What is masked is the first step of Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree",
ICWS 2017), with fixed rules in the place of expressions that somebody has to write for each system.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from connectors.codec.entries import LEVEL_FROM, LEVEL_TO, LINE_FROM, LINE_TO
from connectors.codec.series_hash import xxh64
from connectors.codec.varint import kernel, read_byte
from flows.mining.levels import KEY, level_of, packed

WILDCARD = 0x01
"""Stands in masked lines for what was masked; control characters of a line become blanks."""
MAX_SCANNED = 65_536
"""Bytes of a line that are looked at."""
MAX_MASKED = 4096
"""Bytes of a masked line that are kept: a cut of what came would lie elsewhere with numbers of other lengths."""
MAX_WORD = 64
"""Longer words are tokens, keys or encoded data."""
HEX_WORD = 8
"""Hexadecimal words of so many letters or more are numbers."""
LEVEL_WORDS = 16
"""A level that nothing announces is believed among so many words; behind them it is part of the message."""
SOFT_GAP = 2
"""So many soft bytes may stand between two wildcards that become one."""
OTHER, WORD, DIGIT, HEX, AT, DOT, SLASH, SOFT, OPEN = 0, 1, 2, 4, 8, 16, 32, 64, 128
"""Classes of bytes, as bits: SOFT may stand between two parts of one thing, OPEN may be closed at once."""
HASH, LEVEL, TEXT_FROM, TEXT_TO = range(4)
"""Rows of the table that ``mask_lines`` fills, a column per line; spans are of its ``out``."""
AT_OUT, GAP, MASKED, WORDS, NAMED, ANNOUNCED = range(6)
"""``state`` of a line: where its masked line ends, bytes since the last word, whether that is a wildcard, words so far,
the level that it names, and whether the last word announces one, or one before did and it is ``SETTLED``."""
SETTLED = 2
ROOM = 2
"""A masked line is at most so many times as long as the line: an empty pair of quotes gets a wildcard."""


def _classes() -> npt.NDArray[np.uint8]:
    out = np.zeros(256, np.uint8)
    for text, bits in (
        ("abcdefABCDEF", WORD | HEX),
        ("ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ_", WORD),
        ("0123456789", WORD | DIGIT | HEX),
        ("@", WORD | AT),
        (".-", WORD | DOT | SOFT),
        ("/", SLASH | SOFT),
        (" ,:;+", SOFT),
        ('([{"', OPEN),
    ):
        for character in text:
            out[ord(character)] |= bits
    out[128:] = WORD
    return out


CLASSES = _classes()
_NAMES = "janfebmaraprmayjunjulaugsepoctnovdecmontuewedthufrisatsun"
DAYS_AND_MONTHS = tuple(packed(_NAMES[at : at + 3]) for at in range(0, len(_NAMES), 3))
CLOSES = tuple(zip(b'([{"', b')]}"', strict=True))


@kernel
def _is_date(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether the word is the name of a day or month, of three letters and with a capital."""
    if end - start != 3 or read_byte(buf, start) > 0x5A:
        return False
    value = np.int64(0)
    for i in range(3):
        value |= (read_byte(buf, start + i) | np.int64(0x20)) << np.int64(8 * i)
    found = False
    for name in DAYS_AND_MONTHS:
        found |= value == name
    return found


@kernel
def _closes(opened, byte):  # type: ignore[no-untyped-def]
    closed = False
    for pair in CLOSES:
        closed |= opened == pair[0] and byte == pair[1]
    return closed


@kernel
def _word_end(buf, pos, end, classes):  # type: ignore[no-untyped-def]
    """End of the word or path at ``pos``, the bits that all its bytes have and that any has, and its slashes.

    Dots at its end are none of it, but for one that has nothing before it.
    """
    path = read_byte(buf, pos) == 0x2F
    every = so_far = np.int64(0xFF)
    some, slashes, last = np.int64(0), np.int64(0), pos + 1
    while pos < end:
        bits = np.int64(classes[read_byte(buf, pos)])
        if bits & WORD == 0 and not (path and bits & SLASH):
            break
        so_far &= bits
        some |= bits
        slashes += bits & SLASH != 0
        pos += 1
        if bits & DOT == 0:
            every, last = so_far, pos
    return last, every, some, slashes


@kernel
def _put_wildcard(out, state, classes):  # type: ignore[no-untyped-def]
    """Write a wildcard, or leave it to the one before if only soft bytes stand between, which go."""
    at, gap = state[AT_OUT], state[GAP]
    joins = state[MASKED] != 0 and gap <= SOFT_GAP
    for i in range(at - gap, at):
        joins = joins and classes[out[i]] & SOFT != 0
    if joins:
        state[AT_OUT] = at - gap
    else:
        out[at] = WILDCARD
        state[AT_OUT] = at + 1
    state[MASKED] = 1
    state[GAP] = 0


@kernel
def _see_level(buf, pos, end, state):  # type: ignore[no-untyped-def]
    """See whether a word that stays names a level, or announces one. The first that is announced is the line's."""
    first = read_byte(buf, pos) | np.int64(0x20)
    announced = state[ANNOUNCED] != 0
    wanted = announced or (state[NAMED] == 0 and state[WORDS] < LEVEL_WORDS)
    names = level_of(buf, pos, end) if wanted or first == 0x6C or first == 0x73 else 0  # l, s: of words that announce
    if wanted and names > 0:
        state[NAMED] = names
    state[ANNOUNCED] = SETTLED if announced and names > 0 else names == KEY


@kernel
def _put_word(buf, pos, end, out, state):  # type: ignore[no-untyped-def]
    """Copy a word that stays."""
    at = state[AT_OUT]
    for i in range(pos, end):
        out[at + i - pos] = buf[i]
    state[AT_OUT] = at + end - pos
    state[MASKED] = 0
    state[GAP] = 0


@kernel
def _take_word(buf, pos, end, out, state, classes):  # type: ignore[no-untyped-def]
    """Mask or copy the word or path at ``pos``; the position behind it."""
    last, every, some, slashes = _word_end(buf, pos, end, classes)
    hexadecimal = last - pos >= HEX_WORD and every & HEX != 0
    long = last - pos > MAX_WORD or slashes >= 2
    if some & (DIGIT | AT) or hexadecimal or long or _is_date(buf, pos, last):
        _put_wildcard(out, state, classes)
        state[ANNOUNCED] &= SETTLED
    else:
        if state[ANNOUNCED] != SETTLED:
            _see_level(buf, pos, last, state)
        _put_word(buf, pos, last, out, state)
    state[WORDS] += 1
    return last


@kernel
def mask_line(buf, pos, end, out, state, classes):  # type: ignore[no-untyped-def]
    """Write the masked line of ``buf[pos:end]`` to ``out`` from ``state[AT_OUT]`` on, which has ``ROOM``."""
    state[GAP] = state[MASKED] = state[WORDS] = state[NAMED] = state[ANNOUNCED] = 0
    end = min(end, pos + MAX_SCANNED)
    start = state[AT_OUT]
    before, at = np.int64(OTHER), start
    while pos < end:
        byte = read_byte(buf, pos)
        bits = np.int64(classes[byte])
        path = bits & SLASH and before & (WORD | SLASH) == 0 and pos + 1 < end
        if (bits & WORD and before & WORD == 0) or (path and classes[read_byte(buf, pos + 1)] & WORD):
            state[GAP], state[AT_OUT] = at - state[AT_OUT], at
            pos = _take_word(buf, pos, end, out, state, classes)
            at, before = state[AT_OUT], np.int64(WORD)
            continue
        out[at] = max(byte, np.int64(0x20))
        at += 1
        pos += 1
        before = bits
        if bits & OPEN and pos < end and _closes(byte, read_byte(buf, pos)):
            state[GAP], state[AT_OUT] = at - state[AT_OUT], at
            _put_wildcard(out, state, classes)
            at = state[AT_OUT]
    state[AT_OUT] = min(at, start + MAX_MASKED)


@kernel
def mask_lines(buf, table, seed, level_of_all, classes, out, state, found):  # type: ignore[no-untyped-def]
    """Mask the lines of ``table`` (see ``read_entries``), one behind the other, into ``out``; ``found`` is (4, n).

    The hash is that of the masked line with ``seed``, and differs by level. A level of the stream (``level_of_all``,
    −1: none) counts before one of the line's metadata, and that before one that the line names.
    """
    for n in range(table.shape[1]):
        start = state[AT_OUT]
        mask_line(buf, table[LINE_FROM, n], table[LINE_TO, n], out, state, classes)
        level = state[NAMED]
        if level_of_all >= 0:
            level = level_of_all
        elif table[LEVEL_FROM, n] >= 0:
            level = max(level_of(buf, table[LEVEL_FROM, n], table[LEVEL_TO, n]), 0) or level
        end = state[AT_OUT]
        found[HASH, n] = np.int64(xxh64(out, start, end, seed + np.uint64(level)))
        found[LEVEL, n] = level
        found[TEXT_FROM, n] = start
        found[TEXT_TO, n] = end
