"""Any api knows a training by what stands in the status topic, whoever sends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.meters import ApiMeters
from api.training import Training
from api.training_board import KEPT_MS, MAX_KEPT, Old, TrainingBoard
from api.training_sweep import sweep
from connectors.errors import Unavailable
from connectors.messages import OutRecord
from connectors.received import Received
from connectors.training import PartState, TrainingHead, TrainingPart, TrainingState

ID = "t-0123456789abcdef"


class Board:
    def __init__(self) -> None:
        self.told: list[Training] = []
        self.meters = ApiMeters()
        self.board = TrainingBoard(self.meters, self.told.append)

    def take(self, *records: TrainingHead | TrainingPart) -> None:
        self.raw(*((record.key, record.encode()) for record in records))

    def raw(self, *records: tuple[bytes | None, bytes | None]) -> None:
        self.board.handle([Received("s", 0, at, 0, key, value, []) for at, (key, value) in enumerate(records)])

    def state(self) -> TrainingState:
        training = self.board.get(ID)
        assert training is not None
        return training.state


def head(state: TrainingState = TrainingState.SENDING, training_id: str = ID, **changes: Any) -> TrainingHead:
    fields: dict[str, Any] = {
        "training_id": training_id, "detector_id": "d", "revision": 2, "partitions": 2, "started_ms": 1000,
        "updated_ms": 4000, "samples": 60, "sent": 30, "state": state,
    }  # fmt: skip
    return TrainingHead(**{**fields, **changes})


def part(partition: int, state: PartState = PartState.LEARNING, **changes: Any) -> TrainingPart:
    return TrainingPart(
        training_id=ID, detector_id="d", partition=partition, state=state, time_ms=1, **{"samples": 20, **changes}
    )


def test_heads_and_parts_make_one_training() -> None:
    board = Board()
    board.take(part(0, ahead=3), head())
    assert len(board.told) == 1, "nothing is told before its head is known"
    board.take(part(1, PartState.DONE, replaced=2))
    training = board.board.get(ID)
    assert board.told[-1] == training
    assert training is not None
    assert (training.state, training.seconds, training.sent) == (TrainingState.SENDING, 3.0, 40)
    assert (training.learned, training.ahead, training.rows_replaced, training.partitions_done) == (37, 3, 2, 1)


@pytest.mark.parametrize(
    ("parts", "state", "reason"),
    [
        ([part(0, PartState.DONE)], TrainingState.SENDING, ""),
        ([part(0, PartState.DONE), part(1, PartState.DONE)], TrainingState.DONE, ""),
        (
            [part(0, PartState.DONE), part(1, PartState.FAILED, reason="lost")],
            TrainingState.FAILED,
            "partition 1: lost",
        ),
        ([part(0, PartState.CANCELLED, reason="no")], TrainingState.CANCELLED, "partition 0: no"),
        (
            [part(0, PartState.CANCELLED), part(1, PartState.FAILED, reason="lost")],
            TrainingState.FAILED,
            "partition 1: lost",
        ),
    ],
)
def test_it_ends_as_its_partitions_do(parts: list[TrainingPart], state: TrainingState, reason: str) -> None:
    board = Board()
    board.take(head(), *parts)
    training = board.board.get(ID)
    assert training is not None
    assert (training.state, training.reason) == (state, reason)


def test_what_has_ended_does_not_begin_anew() -> None:
    board = Board()
    board.take(head(TrainingState.CANCELLED, reason="enough"), head(), part(0, PartState.FAILED), part(0))
    assert board.state() is TrainingState.CANCELLED
    assert board.board.entry(ID).parts[0].state is PartState.FAILED


def test_other_keys_and_what_cannot_be_read_are_passed_over() -> None:
    board = Board()
    board.raw(
        (b"detector/d", b"{}"), (None, b"{}"), (b"training/x", None), (b"training/x", b"{}"), (b"training/x/1", b"?")
    )
    assert board.board.page(10, lambda _: True) == []
    assert board.meters.trainings.records.labels("unreadable")._value.get() == 2


def test_the_latest_are_listed_and_the_oldest_that_has_ended_is_forgotten() -> None:
    board = Board()
    for number in range(MAX_KEPT):
        state = TrainingState.DONE if number == 5 else TrainingState.SENDING
        board.take(head(state, f"t-{number:016x}", started_ms=number))
    assert [one.started_ms for one in board.board.page(2, lambda one: one.started_ms % 2 == 0)] == [998, 996]
    board.take(head(training_id=ID, started_ms=5000))
    assert board.board.get(f"t-{5:016x}") is None
    assert board.board.get(f"t-{0:016x}") is not None
    assert [one.id for one in board.board.page(1, lambda _: True)] == [ID]
    assert board.board.head_of("t-unknown") is None


def test_what_is_forgotten_or_silent_for_a_week_is_to_be_taken_out_of_the_topic() -> None:
    board = Board()
    for number in range(MAX_KEPT + 2):
        board.take(head(TrainingState.DONE, f"t-{number:016x}", updated_ms=number))
    board.take(part(3))
    forgotten = [Old(f"t-{number:016x}", 2) for number in range(3)]
    assert board.board.old(KEPT_MS, 100) == forgotten
    silent = [Old(f"t-{number:016x}", 2) for number in (3, 4)]
    assert board.board.old(KEPT_MS + 5, 100) == [*forgotten, *silent]
    assert board.board.old(KEPT_MS + 5, 2) == forgotten[:2]
    board.raw((f"training/t-{0:016x}".encode(), None), (f"training/t-{4:016x}/1".encode(), None))
    assert board.board.old(KEPT_MS + 5, 100) == [*forgotten[1:], silent[0]]
    assert board.board.get(f"t-{4:016x}") is None


def test_a_sweep_empties_all_keys_of_what_is_old() -> None:
    board = Board()
    board.take(head(TrainingState.FAILED), part(0), part(2), head(training_id="t-00000000000000aa", updated_ms=9000))
    written: list[OutRecord] = []
    kafka_is_there = False

    async def write(record: OutRecord) -> None:
        if not kafka_is_there:
            message = "no Kafka"
            raise Unavailable(message)
        written.append(record)

    asyncio.run(sweep(board.board, 4001 + KEPT_MS, "status", write))
    assert board.board.get(ID) is not None
    kafka_is_there = True
    asyncio.run(sweep(board.board, 4001 + KEPT_MS, "status", write))
    assert written == [
        OutRecord("status", key, None, [])
        for key in (f"training/{ID}".encode(), *(f"training/{ID}/{number}".encode() for number in range(3)))
    ]
    assert [one.id for one in board.board.page(10, lambda _: True)] == ["t-00000000000000aa"]
