"""What becomes of a record that cannot be read: it is kept as it came, with the reason and where it was."""

from __future__ import annotations

from connectors.messages import (
    DEAD_LETTER_BYTES_HEADER,
    DEAD_LETTER_ORIGIN_HEADER,
    DEAD_LETTER_REASON_HEADER,
    OutRecord,
)
from flows.chunks import Poison

MAX_REASON_BYTES = 1000
MAX_DEAD_BYTES = 900_000
"""Of a record that could not be read so much is kept: Kafka takes 1,000,000 bytes from us, headers and all."""
MAX_BESIDE_BYTES = 10_000
"""Of key and headers; what has more loses them, and counts as cut."""


def dead_letter(topic: str, poison: Poison) -> OutRecord:
    """The record for the topic of dead letters."""
    reason = f"{poison.reason}: {poison.message}".encode()[:MAX_REASON_BYTES]
    headers = [(DEAD_LETTER_REASON_HEADER, reason), (DEAD_LETTER_ORIGIN_HEADER, poison.origin.encode())]
    value, key = poison.value, poison.key
    beside = len(key or b"") + sum(len(name) + len(content) for name, content in poison.headers)
    if len(value or b"") > MAX_DEAD_BYTES or beside > MAX_BESIDE_BYTES:
        headers.append((DEAD_LETTER_BYTES_HEADER, str(len(value or b"")).encode()))
        value = value[:MAX_DEAD_BYTES] if value is not None else None
    if beside > MAX_BESIDE_BYTES:
        return OutRecord(topic, None, value, headers)
    return OutRecord(topic, key, value, [*headers, *poison.headers])
