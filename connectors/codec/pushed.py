"""What comes of a push of log lines: records of one stream each, and what was refused. Pure.

Protobuf and JSON share it: lines of the same stream are joined, bad ones are counted, and the first fault is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from connectors.codec.limits import MAX_STREAMS, RECORD_BYTES
from connectors.codec.line_faults import LineFault
from connectors.codec.remote_write import Complaint
from connectors.codec.stream_labels import LabelFault, Pairs
from connectors.codec.stream_names import Named, shown_labels
from connectors.errors import TooLarge

Piece = bytes | memoryview


class StreamRecord(NamedTuple):
    """One record to be: its partition, and the parts of its value."""

    partition: int
    parts: list[Piece]

    @property
    def size_bytes(self) -> int:
        """Of the value."""
        return sum(map(len, self.parts))

    @property
    def value(self) -> bytes:
        """A ``logproto.Stream``."""
        return b"".join(self.parts)


class Pushed(NamedTuple):
    """A push, taken apart. ``lines`` are those in the records, refused ones not among them."""

    records: list[StreamRecord]
    streams: int
    """streams in the request, empty and refused ones among them"""
    lines: int
    refused: Counter[str]
    """refused lines by reason"""
    complaint: Complaint | None
    """about the first bad line or stream; None if none is bad"""
    size_bytes: int
    """of all records"""


class Gathering:
    """What was found of a push so far."""

    def __init__(self, streams: int) -> None:
        if streams > MAX_STREAMS:
            message = f"streams: {streams} in one request; send at most {MAX_STREAMS}"
            raise TooLarge(reason="too_many_streams", message=message)
        self.lines = 0
        self._streams = streams
        self._refused: Counter[str] = Counter()
        self._complaint: Complaint | None = None
        self._found: dict[bytes, tuple[Named, list[Piece]]] = {}

    def add(self, stream: Named, pieces: list[Piece], lines: int) -> None:
        """Entries of a stream, as fields, behind those that it has already; none of the pieces exceeds a record."""
        if lines > 0:
            self.lines += lines
            self._found.setdefault(stream.head, (stream, []))[1].extend(pieces)

    def refuse_stream(self, number: int, labels: bytes | Pairs, fault: LabelFault, lines: int) -> None:
        """All lines of a stream whose labels are bad."""
        self._refused[fault.reason] += lines
        if self._complaint is None:
            self._complaint = Complaint(fault.reason, f"stream {number}, {shown_labels(labels)}: {fault.text}")

    def refuse_lines(
        self, number: int, labels: bytes | Pairs, line: int, fault: LineFault, refused: Counter[str]
    ) -> None:
        """Lines of a good stream, and the first of them with what is wrong."""
        self._refused += refused
        if self._complaint is None:
            text = f"stream {number}, {shown_labels(labels)}, line {line}: {fault.text}"
            self._complaint = Complaint(fault.reason, text)

    def done(self) -> Pushed:
        """All of it."""
        records = [record for stream, pieces in self._found.values() for record in _records(stream, pieces)]
        size_bytes = sum(record.size_bytes for record in records)
        return Pushed(records, self._streams, self.lines, self._refused, self._complaint, size_bytes)


def _records(stream: Named, pieces: list[Piece]) -> Iterator[StreamRecord]:
    """Entries of a stream in records of at most RECORD_BYTES of them, or of one piece."""
    parts: list[Piece] = [stream.head]
    size = 0
    for piece in pieces:
        if size and size + len(piece) > RECORD_BYTES:
            yield StreamRecord(stream.partition, [*parts, stream.tail])
            parts, size = [stream.head], 0
        parts.append(piece)
        size += len(piece)
    yield StreamRecord(stream.partition, [*parts, stream.tail])
