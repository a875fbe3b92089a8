"""How deep JSON nests and of how many values it is, seen before a parser makes an object of each.

A byte or three of JSON may become sixty of objects: without a look at it first, a small body would take gigabytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from connectors.codec.varint import kernel, read_byte

QUOTE, BACKSLASH, COMMA = ord('"'), ord("\\"), ord(",")
LIST, LIST_END, OBJECT, OBJECT_END = ord("["), ord("]"), ord("{"), ord("}")


class Shape(NamedTuple):
    """Levels of lists and objects, and how many values there are at most; nonsense of what is no JSON."""

    depth: int
    values: int


def shape_of(text: bytes | memoryview) -> Shape:
    """The shape of a JSON text; what stands in strings does not count."""
    found = np.zeros(2, np.int64)
    _look(np.frombuffer(memoryview(text).toreadonly(), np.uint8), found)
    return Shape(*found.tolist())


@kernel
def _after_string(buf, pos, end):  # type: ignore[no-untyped-def]
    """Position of the quote that ends the string which begins before ``pos``."""
    while pos < end:
        byte = read_byte(buf, pos)
        if byte == QUOTE:
            return pos
        pos += 2 if byte == BACKSLASH else 1
    return pos


@kernel
def _look(buf, found):  # type: ignore[no-untyped-def]
    depth, deepest, values = np.int64(0), np.int64(0), np.int64(1)
    pos, end = np.int64(0), np.int64(len(buf))
    while pos < end:
        byte = read_byte(buf, pos)
        if byte == QUOTE:
            pos = _after_string(buf, pos + 1, end)
        elif byte == COMMA:
            values += 1
        elif byte in (LIST, OBJECT):
            values += 1
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (LIST_END, OBJECT_END):
            depth -= 1
        pos += 1
    found[0], found[1] = deepest, values
