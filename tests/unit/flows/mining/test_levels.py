"""Which level a line has: by its stream, its metadata, or its own words."""

from __future__ import annotations

import numpy as np
import pytest

from flows.mining.levels import KEY, KEYS, SPELLINGS, Level, level_of, level_of_word
from flows.mining.mask import LEVEL_WORDS
from tests.unit.flows.mining.test_mask import masks

ALL = [(level, word) for level, words in SPELLINGS.items() for word in words]


def told(word: bytes) -> int:
    buf = np.frombuffer(b"<" + word + b">", np.uint8)
    return int(level_of(buf, 1, 1 + len(word)))


@pytest.mark.parametrize(("level", "word"), ALL, ids=str)
def test_every_spelling_in_any_case(level: Level, word: str) -> None:
    assert told(word.encode()) == told(word.upper().encode()) == told(word.title().encode()) == level
    assert level_of_word(word) == level_of_word(word.upper()) == level
    assert one(f"{word}: disk is gone") == level


@pytest.mark.parametrize(
    "word", [b"", b"in", b"errors", b"warns", b"prefatal", b"informationally", b"err\xef", b"\x05rror"]
)
def test_other_words_name_none(word: bytes) -> None:
    assert told(word) == 0
    assert level_of_word(word.decode("latin-1")) is None


@pytest.mark.parametrize("key", KEYS)
def test_words_that_announce_one(key: str) -> None:
    assert told(key.encode()) == KEY
    assert level_of_word(key) is None


def one(line: str, level: int = -1, metadata: bytes = b"") -> Level:
    (masked,) = masks([line.encode()], level=level, metadata=metadata)
    return masked.level


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("nothing of the kind", Level.UNKNOWN),
        ("2026-11-30 12:00:00 WARN pool is full", Level.WARN),
        ("error after warning", Level.ERROR),
        ("word " * (LEVEL_WORDS - 1) + "error", Level.ERROR),
        ("word " * LEVEL_WORDS + "error", Level.UNKNOWN),
        ("word " * LEVEL_WORDS + "level=error", Level.ERROR),
        ('{"msg":"an error is no news","severity": "DEBUG"}', Level.DEBUG),
        ("an error, level of debug", Level.ERROR),
        ("level 3: error", Level.ERROR),
        ("INFO set level 3 error codes", Level.INFO),
        ('{"level":30,"msg":"panic"}', Level.FATAL),
        ('level=info msg=query query="{app=x} | level=error | severity=fatal"', Level.INFO),
        ("level=unheard msg=error", Level.ERROR),
        ("level level=warn", Level.WARN),
    ],
)
def test_what_a_line_says_of_itself(line: str, level: Level) -> None:
    assert one(line) is level


def test_the_stream_counts_before_metadata_and_metadata_before_the_line() -> None:
    line = "level=debug msg=x"
    assert one(line) is Level.DEBUG
    assert one(line, metadata=b"Error") is Level.ERROR
    assert one(line, level=Level.FATAL, metadata=b"Error") is Level.FATAL
    assert one(line, level=Level.UNKNOWN, metadata=b"Error") is Level.UNKNOWN


@pytest.mark.parametrize("metadata", [b"unknown", b"9", b"level", b"severity", b" error"])
def test_metadata_that_names_no_level_leaves_it_to_the_line(metadata: bytes) -> None:
    assert one("level=debug msg=x", metadata=metadata) is Level.DEBUG
