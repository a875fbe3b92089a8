from __future__ import annotations

import asyncio
import io
import logging

import pytest

from connectors.log_lines import MOST, LineHandler


class Stream(io.StringIO):
    """Counts what is written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def told(stream: Stream) -> logging.Logger:
    log = logging.Logger("tested", logging.INFO)  # noqa: LOG001 - of nobody else
    log.addHandler(LineHandler(stream))
    return log


def test_outside_a_loop_each_line_is_written_at_once() -> None:
    stream = Stream()
    log = told(stream)
    log.info("a")
    assert stream.getvalue() == "a\n"
    log.info("b")
    assert (stream.getvalue(), stream.writes) == ("a\nb\n", 2)


def test_in_a_loop_the_lines_of_a_turn_are_written_at_its_end_and_in_order() -> None:
    stream = Stream()
    log = told(stream)

    async def main() -> None:
        for number in range(3):
            log.info("%d", number)
        assert stream.writes == 0
        await asyncio.sleep(0)
        assert (stream.getvalue(), stream.writes) == ("0\n1\n2\n", 1)
        log.info("3")
        await asyncio.to_thread(log.info, "4")
        assert stream.getvalue().endswith("3\n4\n")
        log.info("last")

    asyncio.run(main())
    for handler in log.handlers:
        handler.flush()  # as at the end of a process
    assert stream.getvalue().endswith("4\nlast\n")


def test_warnings_and_crowds_do_not_wait() -> None:
    stream = Stream()
    log = told(stream)

    async def main() -> None:
        log.info("before")
        log.warning("now")
        assert stream.getvalue() == "before\nnow\n"
        for _ in range(MOST + 1):
            log.info("x")
        assert stream.getvalue().count("x") == MOST + 1

    asyncio.run(main())


def test_a_stream_that_takes_nothing_ends_nothing() -> None:
    stream = Stream()
    log = told(stream)
    stream.close()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: pytest.fail(str(context)))
        log.info("lost")
        await asyncio.sleep(0)

    asyncio.run(main())
    log.error("lost")
