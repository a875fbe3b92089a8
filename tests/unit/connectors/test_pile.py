from __future__ import annotations

import asyncio

import pytest

from connectors.codec.limits import RECORD_BYTES
from connectors.job import Job, Piece
from connectors.messages import OutRecord
from connectors.pile import Pile, Waiting, records, runs


def job() -> Job[None]:
    loop = asyncio.new_event_loop()
    made: Job[None] = Job(lambda: pytest.fail("never prepared"), loop.create_future(), lambda _: None)
    loop.close()
    return made


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
    cut = list(runs([Waiting(memoryview(bytes(size)), job()) for size in sizes]))
    assert [[len(piece.value) for piece in run] for run in cut] == expected


def test_what_several_jobs_send_to_one_partition_becomes_one_record() -> None:
    one, other, pile = job(), job(), Pile()
    assert not pile
    pile.add([Piece("t", b"k", 0, memoryview(b"ab")), Piece("t", b"k", 1, memoryview(b"c"))], one, 5.0)
    pile.add([Piece("t", b"k", 0, memoryview(b"de"))], other, 6.0)
    assert (bool(pile), pile.size_bytes, pile.since_s) == (True, 5, 5.0)
    assert list(records(pile.take())) == [
        (OutRecord("t", b"k", b"abde", [], 0), [one, other]),
        (OutRecord("t", b"k", b"c", [], 1), [one]),
    ]
    assert (bool(pile), pile.size_bytes) == (False, 0)
    pile.add([Piece("t", b"k", 0, memoryview(b"f"))], other, 7.0)
    assert pile.since_s == 7.0
