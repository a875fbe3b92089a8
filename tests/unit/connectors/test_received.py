"""Records as kafka-python gives them, and as ours."""

from __future__ import annotations

from connectors.received import receive


def record(headers: list[tuple[str, bytes | None]]) -> tuple[object, ...]:
    """In the order of kafka-python's ConsumerRecord."""
    return ("topic", 3, 7, 42, 1_000, 0, b"key", b"value", headers)


def test_a_header_that_is_null_is_empty() -> None:
    assert receive(record([("a", None), ("b", b"x")])).headers == [("a", b""), ("b", b"x")]
    assert receive(record([])).headers == []
