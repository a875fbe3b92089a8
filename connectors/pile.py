"""Pieces of records that wait for more of their kind, so that few large records go to Kafka instead of many small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from connectors.codec.limits import RECORD_BYTES
from connectors.job import Job, Piece
from connectors.messages import OutRecord


class Waiting(NamedTuple):
    """A gathered piece and the job that waits for it."""

    value: memoryview
    job: Job[Any]


class Pile:
    """Pieces by topic, key and partition, how many bytes they are, and since when the oldest waits."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.since_s = 0.0
        self._gathered: dict[tuple[str, bytes, int], list[Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._gathered)

    def add(self, pieces: list[Piece], job: Job[Any], now_s: float) -> None:
        """Let the pieces of a job wait."""
        if not self._gathered:
            self.since_s = now_s
        for piece in pieces:
            self._gathered.setdefault(piece[:3], []).append(Waiting(piece.value, job))
            self.size_bytes += len(piece.value)

    def take(self) -> dict[tuple[str, bytes, int], list[Waiting]]:
        """All that waits; nothing does any more."""
        gathered, self._gathered, self.size_bytes = self._gathered, {}, 0
        return gathered


def records(gathered: dict[tuple[str, bytes, int], list[Waiting]]) -> Iterator[tuple[OutRecord, list[Job[Any]]]]:
    """Records of what was gathered, each with the jobs that wait for it."""
    for (topic, key, partition), waiting in gathered.items():
        for run in runs(waiting):
            value = b"".join(one.value for one in run)
            yield OutRecord(topic, key, value, [], partition), [one.job for one in run]


def jobs_of(gathered: dict[tuple[str, bytes, int], list[Waiting]]) -> set[Job[Any]]:
    """The jobs that wait for what was gathered."""
    return {one.job for run in gathered.values() for one in run}


def runs(waiting: list[Waiting]) -> Iterator[list[Waiting]]:
    """Cut gathered pieces into runs of at most RECORD_BYTES, or of one."""
    run: list[Waiting] = []
    size = 0
    for piece in waiting:
        if run and size + len(piece.value) > RECORD_BYTES:
            yield run
            run, size = [], 0
        run.append(piece)
        size += len(piece.value)
    if run:
        yield run
