"""A push of JSON to records, as handlers of logging libraries send it: in plain Python, line by line. Pure.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from typing import Any, NoReturn

import orjson

from connectors.codec.json_shape import shape_of
from connectors.codec.limits import MAX_PAIR_BYTES, MAX_PAIRS
from connectors.codec.line_faults import (
    MAX_TIME_S,
    LineFault,
    bad_line,
    bad_metadata,
    bad_time,
    bad_value,
    line_too_long,
    shown,
    too_much_metadata,
)
from connectors.codec.pushed import Gathering, Piece, Pushed
from connectors.codec.stream import NS, Entry, encode_entry
from connectors.codec.stream_labels import LabelFault, Pairs
from connectors.codec.stream_names import Named, StreamNames
from connectors.errors import Rejected, TooLarge

MAX_DEPTH = 32
MAX_VALUES = 2_000_000
"""A value takes at most 72 bytes beside its text, and one push at a time is read."""
TIME_DIGITS = len(str(MAX_TIME_S * NS))
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape of JSON; the group is half a character alone."""


def split_json(body: bytes | memoryview, tenant: str, names: StreamNames, line_bytes: int) -> Pushed:
    """Split a push of JSON; lines longer than ``line_bytes`` are refused.

    Raises ``Rejected`` when the body is not laid out as a push (nothing of it may be written then), and ``TooLarge``
    when it has more than ``MAX_STREAMS`` streams or ``MAX_VALUES`` values. A stream without lines is passed over.
    """
    streams = _streams(_parsed(body))
    gathering = Gathering(len(streams))
    for number, stream in enumerate(streams):
        labels, values = _parts(number, stream)
        if values:
            named = (
                names.of_pairs(tenant, labels) if all(type(value) is str for _, value in labels) else _no_text(labels)
            )
            if isinstance(named, LabelFault):
                gathering.refuse_stream(number, labels, named, len(values))
            else:
                _add(gathering, number, named, labels, values, line_bytes)
    return gathering.done()


def _parsed(body: bytes | memoryview) -> Any:
    shape = shape_of(body)
    if shape.depth > MAX_DEPTH:
        _refuse(f"nests deeper than {MAX_DEPTH} levels")
    if shape.values > MAX_VALUES:
        message = f"body: JSON of more than {MAX_VALUES} values; send fewer lines per request"
        raise TooLarge(reason="too_many_values", message=message)
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    try:
        return orjson.loads(_whole_characters(bytes(body)))
    except orjson.JSONDecodeError as error:
        _refuse(f"is no JSON: {error}", error)


def _whole_characters(text: bytes) -> bytes:
    """The same, as long, with the sign for what is none in place of half a character, as Go reads it."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)


def _streams(found: Any) -> list[Any]:
    if not isinstance(found, dict):
        _refuse('must be an object with "streams"')
    streams = _given(found, "streams", [])
    if not isinstance(streams, list):
        _refuse('"streams" must be a list')
    return streams


def _parts(number: int, stream: Any) -> tuple[Pairs, list[Any]]:
    """Labels and values of a stream; other fields are not looked at."""
    if not isinstance(stream, dict):
        _refuse(f'stream {number} must be an object with "stream" and "values"')
    labels, values = _given(stream, "stream", {}), _given(stream, "values", [])
    if not isinstance(labels, dict):
        _refuse(f'"stream" of stream {number} must be an object of labels')
    if not isinstance(values, list):
        _refuse(f'"values" of stream {number} must be a list')
    return tuple(labels.items()), values


def _given(found: dict[str, Any], name: str, otherwise: Any) -> Any:
    """A field, or what it is when it is left out or null, which Go takes for the same."""
    value = found.get(name)
    return otherwise if value is None else value


def _refuse(what: str, cause: Exception | None = None) -> NoReturn:
    message = f"body: {what}"
    raise Rejected(reason="bad_json", message=message) from cause


def _no_text(labels: Pairs) -> LabelFault:
    name, value = next((name, value) for name, value in labels if type(value) is not str)
    return LabelFault("bad_label_value", f"label {name[:60]}: its value {shown(value)} must be a string")


def _add(gathering: Gathering, number: int, stream: Named, labels: Pairs, values: list[Any], line_bytes: int) -> None:
    pieces: list[Piece] = []
    refused: Counter[str] = Counter()
    first: tuple[int, LineFault] | None = None
    for line, value in enumerate(values):
        made = _entry(value, line_bytes)
        if isinstance(made, LineFault):
            refused[made.reason] += 1
            first = first or (line, made)
        else:
            pieces.append(made)
    if first is not None:
        gathering.refuse_lines(number, labels, *first, refused)
    gathering.add(stream, pieces, len(pieces))


def _entry(value: Any, line_bytes: int) -> bytes | LineFault:
    """One line as a field of a Stream."""
    if type(value) is not list or not 2 <= len(value) <= 3:
        return bad_value(value)
    time, line = value[0], value[1]
    if type(time) is not str or not time.isdecimal() or not time.isascii() or len(time) > TIME_DIGITS:
        return bad_time(time)
    time_ns = int(time)
    if time_ns >= MAX_TIME_S * NS:
        return bad_time(time)
    if type(line) is not str:
        return bad_line(line)
    raw = line.encode()
    if len(raw) > line_bytes:
        return line_too_long(len(raw), line_bytes)
    pairs = _pairs(value[2]) if len(value) == 3 else []
    return pairs if isinstance(pairs, LineFault) else encode_entry(Entry(time_ns, raw, pairs))


def _pairs(given: Any) -> list[tuple[bytes, bytes]] | LineFault:
    if not isinstance(given, dict) or not all(type(value) is str for value in given.values()):
        return bad_metadata(given)
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    size = sum(len(name) + len(value) for name, value in pairs)
    return too_much_metadata(len(pairs), size) if len(pairs) > MAX_PAIRS or size > MAX_PAIR_BYTES else pairs
