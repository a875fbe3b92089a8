from __future__ import annotations

import asyncio

import pytest

from connectors.codec.limits import RECORD_BYTES
from connectors.courier import Budget, Job, Waiting, runs
from connectors.errors import Overloaded


def waiting(size: int) -> Waiting:
    loop = asyncio.new_event_loop()
    job: Job[None] = Job(lambda: pytest.fail("never prepared"), loop.create_future(), lambda _: None)
    loop.close()
    return Waiting(memoryview(bytes(size)), job)


def test_budget() -> None:
    budget = Budget(100)
    budget.take(60)
    with pytest.raises(Overloaded, match="TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES"):
        budget.take(41)
    budget.take(40)
    budget.give(100)
    assert budget.used_bytes == 0


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([10, 20], [[10, 20]]),
        ([RECORD_BYTES, 1], [[RECORD_BYTES], [1]]),
        ([RECORD_BYTES // 2, RECORD_BYTES // 2, 1, RECORD_BYTES + 5, 1], None),
    ],
)
def test_runs(sizes: list[int], expected: list[list[int]] | None) -> None:
    if expected is None:
        half = RECORD_BYTES // 2
        expected = [[half, half], [1], [RECORD_BYTES + 5], [1]]
    cut = list(runs([waiting(size) for size in sizes]))
    assert [[len(piece.value) for piece in run] for run in cut] == expected
