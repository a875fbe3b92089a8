"""Levels of log lines: their names, and the kernel that knows one by its word.

The names are those that Loki detects: https://grafana.com/docs/loki/latest/get-started/labels/#discovered-labels
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from connectors.codec.varint import kernel, read_byte


class Level(IntEnum):
    """How grave a line is, by its own account."""

    UNKNOWN = 0
    TRACE = 1
    DEBUG = 2
    INFO = 3
    WARN = 4
    ERROR = 5
    CRITICAL = 6
    FATAL = 7


SPELLINGS = {
    Level.TRACE: ("trace", "trc"),
    Level.DEBUG: ("debug", "dbg"),
    Level.INFO: ("info", "inf", "notice", "information", "informational"),
    Level.WARN: ("warn", "warning", "wrn"),
    Level.ERROR: ("error", "err", "eror", "severe"),
    Level.CRITICAL: ("critical", "crit", "alert"),
    Level.FATAL: ("fatal", "ftl", "emerg", "emergency", "panic"),
}
KEYS = ("level", "lvl", "severity", "loglevel")
"""Words before a level that leave no doubt: ``level=warn``, ``"severity": "ERROR"``."""
KEY = -1
LONGEST = 8
"""Words are compared by their first eight letters, as one number."""


def packed(word: str) -> int:
    """The first letters of a word as one number."""
    return int.from_bytes(word.encode()[:LONGEST], "little")


CODES = tuple((packed(word), int(level)) for level, words in SPELLINGS.items() for word in words) + tuple(
    (packed(word), KEY) for word in KEYS
)
_SHORTEST, _LONGEST = 3, 13


@kernel
def level_of(buf, start, end):  # type: ignore[no-untyped-def]
    """The level that the word in ``buf[start:end]`` names, 0 for none, ``KEY`` for a word that announces one."""
    length = end - start
    if length < _SHORTEST or length > _LONGEST:
        return 0
    value = np.int64(0)
    for i in range(min(length, LONGEST)):
        value |= (read_byte(buf, start + i) | np.int64(0x20)) << np.int64(8 * i)
    for code in CODES:
        if value == code[0]:
            return code[1]
    return 0


def level_of_word(word: str) -> Level | None:
    """The level that a whole word names, None for any other."""
    return next((level for level, words in SPELLINGS.items() if word.lower() in words), None)
