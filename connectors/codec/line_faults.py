"""What is wrong with a line of a push: the word that is counted, and the text that is answered."""

from __future__ import annotations

import json
from typing import NamedTuple

from connectors.codec import entry
from connectors.codec.limits import MAX_PAIR_BYTES, MAX_PAIRS
from connectors.messages import MAX_TIME_MS

MAX_TIME_S = MAX_TIME_MS // 1000
REASONS = {
    entry.BAD_TIME: "bad_time",
    entry.LINE_TOO_LONG: "line_too_long",
    entry.TOO_MANY_PAIRS: "too_much_metadata",
    entry.METADATA_TOO_LARGE: "too_much_metadata",
}
TIME_RULE = "must be a string of nanoseconds since 1970, before the year 2100"
SHOWN_CHARACTERS = 60


class LineFault(NamedTuple):
    """The word that is counted, and the text that is answered."""

    reason: str
    text: str


def bad_time(given: object) -> LineFault:
    """A time stamp that is none, as JSON has it."""
    return LineFault("bad_time", f"time {shown(given)}: {TIME_RULE}")


def bad_line(given: object) -> LineFault:
    """A line that is none, as JSON has it."""
    return LineFault("bad_line", f"line {shown(given)}: must be a string")


def bad_value(given: object) -> LineFault:
    """What stands where time and line should."""
    return LineFault(
        "bad_line", f'value {shown(given)}: must be ["<nanoseconds>", "<line>"], with or without an object'
    )


def bad_metadata(given: object) -> LineFault:
    """Structured metadata that is none, as JSON has it."""
    return LineFault("bad_metadata", f"structured metadata {shown(given)}: must be an object of strings")


def line_too_long(size_bytes: int, most_bytes: int) -> LineFault:
    """A line above the limit."""
    text = f"line of {size_bytes} bytes: must be at most {most_bytes} (TOCSIN_INGEST_MAX_LINE_BYTES)"
    return LineFault("line_too_long", text)


def too_much_metadata(pairs: int, size_bytes: int) -> LineFault:
    """Structured metadata above its limits."""
    text = (
        f"structured metadata of {pairs} names and {size_bytes} bytes: must be at most {MAX_PAIRS} names and "
        f"{MAX_PAIR_BYTES} bytes"
    )
    return LineFault("too_much_metadata", text)


def fault_of(code: int, a: int, b: int, most_bytes: int) -> LineFault:
    """What the kernel found, with its two numbers."""
    match code:
        case entry.BAD_TIME:
            text = f"time of {a} s and {b} ns: must be after 1970 and before the year 2100, with 0 to 999999999 ns"
            return LineFault("bad_time", text)
        case entry.LINE_TOO_LONG:
            return line_too_long(a, most_bytes)
    return too_much_metadata(a, b)


def shown(given: object) -> str:
    """A value of JSON, cut."""
    if isinstance(given, list | dict):
        return f"{'a list' if isinstance(given, list) else 'an object'} of {len(given)}"
    text = json.dumps(given[: SHOWN_CHARACTERS + 1] if isinstance(given, str) else given)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
