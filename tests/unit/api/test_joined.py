"""Answers that are made for all who wait, and for nobody who asked later than the making began."""

from __future__ import annotations

import asyncio

import pytest

from api.joined import Joined


class Clock:
    """Tells how often it was read; a look takes until it is let go on."""

    def __init__(self) -> None:
        self.joined = Joined[int]()
        self.looks = 0
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def look(self) -> int:
        self.looks += 1
        self.begun.set()
        seen = self.looks
        await self.go_on.wait()
        return seen

    def ask(self, key: str = "now") -> asyncio.Task[int]:
        return asyncio.create_task(self.joined.answer(key, self.look))


def test_who_asks_before_it_begins_gets_the_same_and_who_asks_later_a_later_one() -> None:
    async def main() -> None:
        clock = Clock()
        first = [clock.ask() for _ in range(5)]
        await clock.begun.wait()
        later = [clock.ask() for _ in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert clock.looks == 1  # one at a time
        clock.go_on.set()
        assert await asyncio.gather(*first, *later) == [1] * 5 + [2] * 5
        assert len(clock.joined) == 0

    asyncio.run(main())


def test_other_questions_do_not_wait() -> None:
    async def main() -> None:
        clock = Clock()
        asked = [clock.ask("a"), clock.ask("b")]
        for _ in range(10):
            await asyncio.sleep(0)
        assert clock.looks == 2
        clock.go_on.set()
        assert sorted(await asyncio.gather(*asked)) == [1, 2]

    asyncio.run(main())


def test_an_error_goes_to_all_who_wait_and_is_not_kept() -> None:
    async def main() -> None:
        joined = Joined[int]()

        async def fail() -> int:
            message = "not now"
            raise ValueError(message)

        async def work() -> int:
            return 7

        got = await asyncio.gather(*(joined.answer("now", fail) for _ in range(3)), return_exceptions=True)
        assert [str(one) for one in got] == ["not now"] * 3
        assert await joined.answer("now", work) == 7

    asyncio.run(main())


@pytest.mark.filterwarnings("error")
def test_one_who_goes_takes_the_answer_from_nobody() -> None:
    async def main() -> None:
        clock = Clock()
        one, other = clock.ask(), clock.ask()
        await clock.begun.wait()
        one.cancel()
        clock.go_on.set()
        assert await other == 1
        assert one.cancelled()

    asyncio.run(main())
