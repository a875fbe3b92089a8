"""Labels of a stream as senders write them, ``{job="shop", level="info"}``, to pairs. Strict, and in one pass.

Names are ``[a-zA-Z_][a-zA-Z0-9_]*``, values are strings of Go between double quotes or backticks; a comma may stand
behind the last one. Source: https://go.dev/ref/spec#String_literals and ``pkg/logql/syntax`` of grafana/loki.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_PAIRS = 1280
"""Labels of one stream, with a value and without, that are read at most: those of ``limits`` together."""
SHOWN_BYTES = 60
"""Of what stands where something else is expected."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_PAIR = re.compile(
    rb"([a-zA-Z_][a-zA-Z0-9_]*+)[ \t\r\n]*+=[ \t\r\n]*+"
    rb'(?:"([^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+)"|`([^`]*+)`)[ \t\r\n]*+(,?)[ \t\r\n]*+'
)
_OTHER_NAME = re.compile(rb'([^=,{}"`\s]++)\s*+=')
_ESCAPE = re.compile(
    rb"""\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))""", re.DOTALL
)
_SIMPLE = dict(zip(b'abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True))
_SURROGATES = range(0xD800, 0xE000)
_CHARACTERS = 0x110000


class LabelFault(NamedTuple):
    """What is wrong with the labels of a stream: the word that is counted, and the text that is answered."""

    reason: str
    text: str


Pairs = tuple[tuple[str, str], ...]


class _BadEscapeError(ValueError):
    """Its text says what stands there."""


def is_label_name(name: str) -> bool:
    """Whether a stream may bear a label of this name."""
    return _NAME.fullmatch(name) is not None


def bad_name(name: str) -> LabelFault:
    """Of a name that is none."""
    return LabelFault("bad_label_name", f"label name {name[:SHOWN_BYTES]!r}: must be [a-zA-Z_][a-zA-Z0-9_]*")


def read_labels(text: bytes) -> Pairs | LabelFault:
    """The pairs in their order, names may repeat; or why these are no labels."""
    pos = _skip(text, 0)
    if text[pos : pos + 1] != b"{":
        return _syntax(text, pos, "must begin with {")
    pairs: list[tuple[str, str]] = []
    pos, more = _skip(text, pos + 1), b","
    while more and (found := _PAIR.match(text, pos)):
        if len(pairs) == MAX_PAIRS:
            return LabelFault("too_many_labels", f"labels: more than {MAX_PAIRS}")
        try:
            pairs.append(_pair(found))
        except _BadEscapeError as error:
            return _syntax(text, pos, f"must be a string of Go ({error})")
        except UnicodeDecodeError:
            return LabelFault("invalid_utf8", f"label {found[1][:SHOWN_BYTES].decode()}: its value is not UTF-8")
        pos, more = found.end(), found[4]
    if text[pos : pos + 1] != b"}":
        return _no_pair(text, pos) if more else _syntax(text, pos, "must go on with a comma or end with }")
    after = _skip(text, pos + 1)
    return tuple(pairs) if after == len(text) else _syntax(text, after, "nothing may stand behind the }")


def _skip(text: bytes, pos: int) -> int:
    found = _SPACE.match(text, pos)
    assert found is not None  # noqa: S101 - it matches nothing, too
    return found.end()


def _pair(found: re.Match[bytes]) -> tuple[str, str]:
    name, quoted, raw, _ = found.groups()
    return name.decode(), (raw if quoted is None else _unquoted(quoted)).decode()


def _unquoted(text: bytes) -> bytes:
    return _ESCAPE.sub(_meant, text) if b"\\" in text else text


def _meant(found: re.Match[bytes]) -> bytes:
    r"""The bytes that an escape stands for; those of ``\x`` and of octal numbers need not be UTF-8 alone."""
    simple, hexadecimal, octal, short, long, _ = found.groups()
    if simple:
        return bytes([_SIMPLE[simple[0]]])
    if hexadecimal or octal:
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)])
    code = int(short or long or b"110000", 16)
    if code >= _CHARACTERS or code in _SURROGATES:
        message = f"{found[0].decode(errors='replace')} is no escape"
        raise _BadEscapeError(message)
    return chr(code).encode()


def _no_pair(text: bytes, pos: int) -> LabelFault:
    other = _OTHER_NAME.match(text, pos)
    if other and not is_label_name(name := other[1].decode(errors="replace")):
        return bad_name(name)
    return _syntax(text, pos, 'must go on with name="value" or end with }')


def _syntax(text: bytes, pos: int, wanted: str) -> LabelFault:
    shown = text[pos : pos + SHOWN_BYTES].decode(errors="replace")
    return LabelFault("bad_labels", f"labels, at byte {pos} ({shown!r}): {wanted}")
