"""What a record of ``tocsin.dead-letter`` says, what can be read of it, and how it goes back. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Self

from pydantic import Field

from connectors.codec.labels import read_fields
from connectors.errors import Rejected
from connectors.messages import (
    CONTROL_HEADER,
    DEAD_LETTER_BYTES_HEADER,
    DEAD_LETTER_ORIGIN_HEADER,
    DEAD_LETTER_REASON_HEADER,
    REPLAY_HEADER,
    Message,
    OutRecord,
)
from connectors.received import Received
from connectors.training import TRAINING_HEADER

SHOWN_SERIES = 20
SHOWN_TEXT = 2_000
TIMESERIES, LABEL, NAME, VALUE = 1, 1, 1, 2
"""Field numbers of ``prometheus.WriteRequest``, ``TimeSeries`` and ``Label``."""
ADDED = (DEAD_LETTER_REASON_HEADER, DEAD_LETTER_ORIGIN_HEADER, DEAD_LETTER_BYTES_HEADER, REPLAY_HEADER)
"""Headers that the original did not have, or that a replay gets anew."""


class DeadLetter(Message):
    """A record that could not be read."""

    partition: int
    offset: int
    time_ms: Annotated[int, Field(description="when it was set aside")]
    reason: Annotated[str, Field(description="a short word, and the error")]
    origin: Annotated[str, Field(description="topic/partition/offset of the record")]
    key: Annotated[str | None, Field(description="of the record: its tenant")]
    bytes: Annotated[int, Field(description="of the record's value as it came")]
    truncated: Annotated[bool, Field(description="only its beginning is kept, so it cannot be replayed")]
    replay_of: Annotated[str | None, Field(description="partition/offset of the dead letter that was replayed")]


class Opened(Message):
    """What can be read of a value, as far as it can."""

    kind: Annotated[str, Field(description="control, training or samples")]
    text: Annotated[str | None, Field(description="its beginning, if it is text")]
    series_total: int
    series: Annotated[list[dict[str, str]], Field(description="labels of the first 20")]
    error: Annotated[str | None, Field(description="where reading its protobuf ended; null at its end")]

    @classmethod
    def of(cls, value: bytes, headers: Mapping[str, bytes]) -> Self:
        """Read leniently, up to where the bytes make no sense."""
        kind = "control" if CONTROL_HEADER in headers else "training" if TRAINING_HEADER in headers else "samples"
        series, total, error = [], 0, None
        try:
            for field in read_fields(value if kind == "samples" else b""):
                if field.number == TIMESERIES and isinstance(field.value, bytes):
                    total += 1
                    if total <= SHOWN_SERIES:
                        series.append(_labels(field.value))
        except Rejected as found:
            error = str(found)
        return cls(kind=kind, text=_text(value), series_total=total, series=series, error=error)


def shown_letter(record: Received) -> DeadLetter:
    """A record as it stands in a list; whatever somebody else has written there is shown as far as it goes."""
    headers = {name: content.decode(errors="replace") for name, content in record.headers}
    length = headers.get(DEAD_LETTER_BYTES_HEADER, "")
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        time_ms=record.time_ms,
        reason=headers.get(DEAD_LETTER_REASON_HEADER, ""),
        origin=headers.get(DEAD_LETTER_ORIGIN_HEADER, ""),
        key=record.key.decode(errors="replace") if record.key is not None else None,
        bytes=int(length) if length.isdecimal() else len(record.value or b""),
        truncated=bool(length),
        replay_of=headers.get(REPLAY_HEADER),
    )


def replay_of(record: Received, topics: Container[str]) -> OutRecord | str:
    """The record as it goes back to one of these topics, or why it cannot."""
    letter = shown_letter(record)
    if letter.truncated:
        return f"only its beginning is kept, of {letter.bytes} bytes"
    origin = origin_of(letter.origin)
    if origin is None:
        return f"its origin {letter.origin[:200]!r} is no topic/partition/offset"
    topic, partition = origin
    if topic not in topics:
        return f"its origin is topic {topic[:200]!r}, to which nothing is replayed"
    headers = [(name, content) for name, content in record.headers if name not in ADDED]
    mark = f"{record.partition}/{record.offset}".encode()
    return OutRecord(topic, record.key, record.value, [*headers, (REPLAY_HEADER, mark)], partition)


def origin_of(text: str) -> tuple[str, int] | None:
    """Topic and partition of an origin; None if it is none."""
    topic, *numbers = text.split("/")
    if not topic or len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        return None
    return topic, int(numbers[0])


def _labels(series: bytes) -> dict[str, str]:
    """Labels of a ``TimeSeries``; raises ``Rejected`` where it is malformed."""
    labels = {}
    for field in read_fields(series):
        if field.number == LABEL and isinstance(field.value, bytes):
            parts = {part.number: part.value for part in read_fields(field.value) if isinstance(part.value, bytes)}
            labels[parts.get(NAME, b"").decode(errors="replace")] = parts.get(VALUE, b"").decode(errors="replace")
    return labels


def _text(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text[:SHOWN_TEXT] if all(char.isprintable() or char.isspace() for char in text) else None
