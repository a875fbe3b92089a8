"""Answers that are shared: made once per version and moment, never after an error, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api import shared as module
from api.meters import ApiMeters
from api.shared import FRESH_S, Shared


class Kitchen:
    """Makes answers, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.now_s = 0.0
        self.meters = ApiMeters()
        self.shared = Shared(self.meters, lambda: self.now_s)

    def making(self, answer: bytes = b"x") -> Callable[[], Coroutine[Any, Any, bytes]]:
        async def work() -> bytes:
            self.made += 1
            await asyncio.sleep(0)
            return answer

        return work

    async def ask(self, key: str = "list", version: int = 1, answer: bytes = b"x") -> bytes:
        return await self.shared.answer(key, version, self.making(answer))


def test_who_asks_at_the_same_time_gets_one_answer() -> None:
    kitchen = Kitchen()

    async def main() -> list[bytes]:
        return await asyncio.gather(*(kitchen.ask() for _ in range(5)))

    assert asyncio.run(main()) == [b"x"] * 5
    assert kitchen.made == 1
    value = kitchen.meters.registry.get_sample_value
    assert value("tocsin_api_shared_answers_total", {"result": "shared"}) == 4
    assert value("tocsin_api_shared_answers_bytes") == 1


@pytest.mark.parametrize(("key", "version", "later_s", "made"), [
    ("list", 1, 0.0, 1), ("other", 1, 0.0, 2), ("list", 2, 0.0, 2), ("list", 1, FRESH_S, 2),
])  # fmt: skip
def test_an_answer_stands_for_its_version_and_a_moment(key: str, version: int, later_s: float, made: int) -> None:
    kitchen = Kitchen()

    async def main() -> None:
        await kitchen.ask()
        kitchen.now_s = later_s
        await kitchen.ask(key, version)

    asyncio.run(main())
    assert kitchen.made == made


def test_an_error_is_told_to_all_who_wait_and_not_kept() -> None:
    kitchen = Kitchen()

    async def fail() -> bytes:
        await asyncio.sleep(0)
        raise LookupError

    async def main() -> list[bytes | BaseException]:
        asked = (kitchen.shared.answer("list", 1, fail) for _ in range(3))
        told = await asyncio.gather(*asked, return_exceptions=True)
        return [*told, await kitchen.ask()]

    *failed, answer = asyncio.run(main())
    assert [type(error) for error in failed] == [LookupError] * 3
    assert answer == b"x"


def test_what_is_replaced_before_it_was_counted_is_not_counted() -> None:
    kitchen = Kitchen()

    async def main() -> int:
        first = asyncio.create_task(kitchen.ask(answer=b"y" * 7))
        await asyncio.sleep(0)
        made = next(iter(kitchen.shared._made.values())).answer
        await asyncio.wait([made])
        await kitchen.ask(version=2)
        await first
        return kitchen.shared.size_bytes

    assert asyncio.run(main()) == 1


def test_a_slow_answer_is_waited_for_however_long_it_takes() -> None:
    kitchen = Kitchen()

    async def main() -> None:
        first = asyncio.create_task(kitchen.ask())
        await asyncio.sleep(0)
        kitchen.now_s = 10 * FRESH_S
        second = asyncio.create_task(kitchen.ask())
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert kitchen.made == 1


def test_who_gives_up_takes_it_from_nobody() -> None:
    kitchen = Kitchen()

    async def main() -> bytes:
        impatient = asyncio.create_task(kitchen.ask())
        await asyncio.sleep(0)
        patient = asyncio.create_task(kitchen.ask())
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(main()) == b"x"
    assert kitchen.made == 1


def test_what_was_asked_for_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen = Kitchen()
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "MOST_BYTES", 10)

    async def main() -> tuple[int, int]:
        for key in "abc":
            await kitchen.ask(key)
        await kitchen.ask("a")
        await kitchen.ask("d")
        await kitchen.ask("a")
        assert kitchen.made == 4  # "b" has made room
        await kitchen.ask("large", answer=b"y" * 9)
        return len(kitchen.shared), kitchen.shared.size_bytes

    assert asyncio.run(main()) == (2, 10)
