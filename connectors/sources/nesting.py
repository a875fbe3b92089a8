"""How deep JSON nests, seen before a parser keeps the whole way to where it is, which takes gigabytes of a deep one."""

from __future__ import annotations

import re

import numpy as np

MAX_DEPTH = 32
"""An answer of Prometheus has 9 levels, with the buckets of native histograms in it."""
ESCAPED = re.compile(rb"\\.", re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STEPS = np.zeros(256, np.int64)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1


class Nesting:
    """Follows a text piece by piece; brackets in strings do not count."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._cut = b""
        """a backslash at the end of a piece, whose other half comes with the next one"""

    def feed(self, piece: bytes) -> None:
        """Take some more; raises ``ValueError`` where it nests deeper than ``MAX_DEPTH``."""
        text = self._cut + piece
        self._cut = b""
        if b"\\" in text:
            text = ESCAPED.sub(b"", text)
            if text.endswith(b"\\"):
                text, self._cut = text[:-1], b"\\"
        parts = text.split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        brackets = outside.translate(None, NO_BRACKETS)
        if not brackets:
            return
        depths = self._depth + np.cumsum(STEPS[np.frombuffer(brackets, np.uint8)])
        if depths.max() > MAX_DEPTH:
            message = f"it nests deeper than {MAX_DEPTH} levels"
            raise ValueError(message)
        self._depth = int(depths[-1])
