"""Pushes of logs as tests make and read them, by google.protobuf and plain Python: the slow, obvious twin."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.codec.stream import labels_text
from tests import wire
from tests.brokers import read_all
from tests.ingests import Answer, RunningIngest, is_control, snappy

PUSH = "/loki/api/v1/push"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
NS = 1_000_000_000
T = 1_700_000_000 * NS
YEAR_2100_S = 4_102_444_800

LOGS = wire.classes(
    "twinlogs",
    {
        "Timestamp": "1 seconds int64|2 nanos int32",
        "Pair": "1 name bytes|2 value bytes",
        "Entry": "1 timestamp Timestamp|2 line bytes|3 metadata *Pair",
        "Stream": "1 labels bytes|2 entries *Entry|3 hash uint64",
        "Request": "1 streams *Stream",
    },
)

Line = tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]
"""Time in ns, text, metadata."""


class ReadStream(NamedTuple):
    """A record of ``tocsin.logs``, read."""

    labels: str
    lines: list[Line]
    hash: int


def read_stream(value: bytes) -> ReadStream:
    read = wire.parse(LOGS["Stream"], value)
    return ReadStream(read.labels.decode(), [line_of(entry) for entry in read.entries], read.hash)


def line_of(entry: Any) -> Line:
    time_ns = entry.timestamp.seconds * NS + entry.timestamp.nanos
    return time_ns, entry.line, tuple((pair.name, pair.value) for pair in entry.metadata)


def request(*streams: tuple[bytes | str, Sequence[Any]]) -> bytes:
    """A PushRequest of labels and lines: a text, or a time, a text and metadata."""
    made = LOGS["Request"]()
    for labels, lines in streams:
        stream = made.streams.add(labels=labels.encode() if isinstance(labels, str) else labels)
        for number, line in enumerate(lines):
            time_ns, text, metadata = line if isinstance(line, tuple) else (T + number, line, {})
            raw = text.encode() if isinstance(text, str) else text
            entry = stream.entries.add(line=raw)
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(time_ns, NS)
            for name, value in metadata.items():
                entry.metadata.add(name=name.encode(), value=value.encode())
    return bytes(made.SerializeToString())


def json_request(*streams: tuple[Mapping[str, Any], Sequence[Any]]) -> bytes:
    return json.dumps({"streams": [{"stream": labels, "values": values} for labels, values in streams]}).encode()


def push(ingest: RunningIngest, body: bytes, headers: Mapping[str, str] = PROTOBUF, tenant: str = "") -> Answer:
    """Push a body: JSON as it is, protobuf still to be compressed."""
    sent = snappy(body) if headers.get("Content-Type") == PROTOBUF["Content-Type"] else body
    return raw_push(ingest, sent, headers, tenant)


def raw_push(ingest: RunningIngest, body: bytes, headers: Mapping[str, str] = PROTOBUF, tenant: str = "") -> Answer:
    named = {"X-Scope-OrgID": tenant} if tenant else {}
    return ingest.request("POST", PUSH, body, {**headers, **named})


def written(ingest: RunningIngest, tenant: str) -> dict[str, list[Line]]:
    """Lines of a tenant in ``tocsin.logs`` by their labels; each stream must stand where it belongs, under its hash."""
    found: dict[str, list[Line]] = {}
    for record in read_all(ingest.settings, ingest.settings.topics.logs):
        if not is_control(record) and record.key == tenant.encode():
            stream = read_stream(record.value or b"")
            assert record.partition == stream.hash % ingest.settings.partitions
            assert stream.hash == series_hash(encode_labels(naive_labels(stream.labels.encode())), tenant)
            found.setdefault(stream.labels, []).extend(stream.lines)
    return found


class NoLabels(Exception):  # noqa: N818 - a verdict
    """Labels that nobody can read."""


def naive_labels(text: bytes) -> dict[str, str]:
    """Labels of a stream, read one character after the other; raises ``NoLabels`` and ``UnicodeDecodeError``."""
    reader = _Reader(text)
    reader.skip(b"{")
    pairs: list[tuple[str, str]] = []
    while not reader.at(b"}"):
        name = reader.take(lambda char: (char.isalnum() and char.isascii()) or char == b"_")
        if not name or name[:1].isdigit():
            raise NoLabels
        reader.skip(b"=")
        pairs.append((name.decode(), reader.string()))
        if not reader.at(b"}"):
            reader.skip(b",")
    reader.skip(b"}")
    if reader.pos < len(text) or len({name for name, _ in pairs}) < len(pairs):
        raise NoLabels
    return {name: value for name, value in pairs if value}


class _Reader:
    """A text and how far it was read."""

    def __init__(self, text: bytes) -> None:
        self.text, self.pos = text, 0
        self._spaces()

    def at(self, char: bytes) -> bool:
        return self.text[self.pos : self.pos + 1] == char

    def skip(self, char: bytes) -> None:
        if not self.at(char):
            raise NoLabels
        self.pos += 1
        self._spaces()

    def take(self, wanted: Callable[[bytes], bool]) -> bytes:
        start = self.pos
        while self.pos < len(self.text) and wanted(self.text[self.pos : self.pos + 1]):
            self.pos += 1
        taken = self.text[start : self.pos]
        self._spaces()
        return taken

    def string(self) -> str:
        quote = self.text[self.pos : self.pos + 1]
        if quote not in (b'"', b"`") or not quote:
            raise NoLabels
        self.pos += 1
        out = b""
        while not self.at(quote):
            if self.pos >= len(self.text) or (quote == b'"' and self.at(b"\n")):
                raise NoLabels
            out += self._escape() if quote == b'"' and self.at(b"\\") else self._char(1)
        self.pos += 1
        self._spaces()
        return out.decode()

    def _char(self, count: int) -> bytes:
        self.pos += count
        if self.pos > len(self.text):
            raise NoLabels
        return self.text[self.pos - count : self.pos]

    def _escape(self) -> bytes:
        self._char(1)
        kind = self._char(1)
        simple = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
        if kind in (b"\\", b'"'):
            return kind
        if kind in simple:
            return simple[kind]
        if kind in b"01234567":
            return bytes([self._number(kind + self._char(2), 8, 255)])
        if kind == b"x":
            return bytes([self._number(self._char(2), 16, 255)])
        if kind in (b"u", b"U"):
            code = self._number(self._char(4 if kind == b"u" else 8), 16, 0x10FFFF)
            if 0xD800 <= code < 0xE000:
                raise NoLabels
            return chr(code).encode()
        raise NoLabels

    def _number(self, digits: bytes, base: int, most: int) -> int:
        if not digits.isalnum():
            raise NoLabels
        try:
            value = int(digits, base)
        except ValueError as error:
            raise NoLabels from error
        if value > most:
            raise NoLabels
        return value

    def _spaces(self) -> None:
        while self.text[self.pos : self.pos + 1] in (b" ", b"\t", b"\r", b"\n"):
            self.pos += 1


class Twin(NamedTuple):
    """What must come of a request."""

    streams: int
    lines: dict[str, list[Line]]
    """good ones by canonical labels"""
    refused: Counter[str]
    """reasons are "labels" or those of lines"""
    first: str
    """how the complaint begins, empty if there is none"""


def split(body: bytes, line_bytes: int) -> Twin:
    """The twin of ``split_protobuf``."""
    read = wire.parse(LOGS["Request"], body)
    lines: dict[str, list[Line]] = {}
    refused: Counter[str] = Counter()
    first = ""
    for number, stream in enumerate(read.streams):
        if not stream.entries:
            continue
        try:
            labels = naive_labels(stream.labels)
        except (NoLabels, UnicodeDecodeError):
            labels = {}
        if not labels:
            refused["labels"] += len(stream.entries)
            first = first or f"stream {number},"
            continue
        for index, entry in enumerate(stream.entries):
            problem = problem_of(entry, line_bytes)
            if problem:
                refused[problem] += 1
                first = first or f"stream {number}, {stream.labels.decode(errors='replace')}, line {index}:"
            else:
                lines.setdefault(labels_text(labels), []).append(line_of(entry))
    return Twin(len(read.streams), lines, refused, first)


def problem_of(entry: Any, line_bytes: int) -> str:
    """The first rule that a line breaks."""
    seconds, nanos = entry.timestamp.seconds, entry.timestamp.nanos
    if not 0 <= seconds < YEAR_2100_S or not 0 <= nanos < NS:
        return "bad_time"
    if len(entry.line) > line_bytes:
        return "line_too_long"
    metadata_bytes = sum(len(pair.name) + len(pair.value) for pair in entry.metadata)
    return "too_much_metadata" if len(entry.metadata) > 128 or metadata_bytes > 65_536 else ""
