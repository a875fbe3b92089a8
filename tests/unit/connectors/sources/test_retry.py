from __future__ import annotations

import pytest

from connectors.sources.retry import Retry

NOW_MS = 1_700_000_000_000


def retry(draw: float) -> Retry:
    return Retry(tries=4, first_s=1.0, longest_s=10.0, draw=lambda: draw, now_ms=lambda: NOW_MS)


def test_the_bound_doubles_and_the_wait_is_drawn_below_it() -> None:
    assert [retry(1.0).wait_s(failures, None) for failures in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, None]
    assert [retry(0.0).wait_s(failures, None) for failures in (1, 2, 3, 4)] == [0.0, 0.0, 0.0, None]


def test_the_bound_has_a_bound() -> None:
    assert Retry(tries=99, draw=lambda: 1.0).wait_s(50, None) == 10.0


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [
        ("3", 3.5),
        ("Tue, 14 Nov 2023 22:13:25 GMT", 5.5),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.5),
        ("soon", 0.5),
        ("-3", 0.5),
        ("11", None),
    ],
)
def test_what_the_server_asks_for_is_the_least_and_too_long_is_given_up(asked: str, wait_s: float | None) -> None:
    assert retry(0.5).wait_s(1, asked) == wait_s
