from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connectors.body import REQUEST_BYTES, Disconnected, read_body
from connectors.budget import Budget, Held
from connectors.errors import Overloaded, TooLarge, TooSlow

LIMIT = 10


def sent(*chunks: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A client that sends these chunks and then says nothing more."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        message = waiting.pop(0)
        return {**message, "more_body": bool(waiting)} if message["body"].endswith(b".") else message

    return receive


def read(receive: Callable[[], Awaitable[dict[str, Any]]], budget: Budget, length: str = "", timeout_s: float = 5.0):  # type: ignore[no-untyped-def]
    return asyncio.run(read_body(receive, length, Held(budget), LIMIT, timeout_s))


@pytest.mark.parametrize("chunks", [(b"abc.",), (b"a", b"bc", b".")])
def test_a_body_comes_whole_and_what_arrived_stays_reserved(chunks: tuple[bytes, ...]) -> None:
    budget = Budget(REQUEST_BYTES + LIMIT)
    assert read(sent(*chunks), budget) == b"abc."
    assert (budget.used_bytes, budget.arriving_bytes) == (REQUEST_BYTES + 4, 0)


@pytest.mark.parametrize(("length", "chunks"), [("11", ()), ("", (b"123456", b"78901"))])
def test_a_body_too_large_is_refused_as_soon_as_it_is_known(length: str, chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(TooLarge, match="TOCSIN_INGEST_MAX_BODY_BYTES"):
        read(sent(*chunks), Budget(1 << 20), length)


def test_a_body_that_does_not_end_is_refused_in_time() -> None:
    with pytest.raises(TooSlow, match=r"not whole within 0\.01 s"):
        read(sent(b"abc"), Budget(1 << 20), timeout_s=0.01)


def test_only_what_the_budget_allows_is_read() -> None:
    with pytest.raises(Overloaded):
        read(sent(b"123."), Budget(REQUEST_BYTES + 3))


def test_a_client_that_goes_away() -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        read(gone, Budget(1 << 20))
