"""Verdicts on the signals that are told of in ``tocsin.status``: some of each detector, never all.

To keep the last one of every signal would cost memory, snapshots and time. So a bounded number of entries is listened
to, and of each the first verdict after it was told of is kept: once all have come, nothing is looked at until the next
telling. Nothing of it is saved: after a start a verdict is unknown until the next sample.

A detector claims places when it is told of, for the signals that are named then, and gives back those of all others.
While places are short it may claim no more than its equal share, so what others hold beyond theirs comes to it at
their next turn, whoever was told of first. Who finds none meanwhile is named without a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.codec.labels import parse_labels
from flows.detectors.base import Floats, Ints
from flows.program import Judged

NONE = -1
MAX_HEARD = 16_384
"""Entries of a block that are listened to; a place is an int16, and takes some 300 bytes with its labels as JSON."""
RESERVE = 16
"""Places are short when fewer than one in so many is free."""
TIME, VALUE, SCORE, EXPECTED, LOWER, UPPER = range(6)


class Heard:
    """Places for verdicts, claimed by the detectors that tell of their entries."""

    def __init__(self, limit: int = MAX_HEARD) -> None:
        self.limit = limit
        self.labels: list[bytes] = []
        """as JSON, by place"""
        self.verdicts: Floats = np.zeros((0, 6))
        """by place: time, value, score, expected, lower, upper; NaN until heard"""
        self._marks: NDArray[np.int16] = np.zeros(0, np.int16)
        """the place of each entry, ``NONE`` of those that nobody tells of"""
        self._waits: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """places whose next verdict is waited for"""
        self._waiting = 0
        self._claims: Ints = np.zeros(0, np.int64)
        self._signals: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.labels) - len(self._free)

    def share(self, detectors: int, most: int) -> int:
        """How many signals one of so many detectors may name, ``most`` at most."""
        if self.limit - len(self) >= max(1, self.limit // RESERVE):
            return most
        return min(most, max(1, self.limit // detectors))

    def hear(self, entries: Ints, times_ms: Ints, judged: Judged, rows: int) -> None:
        """Keep the first verdict on each entry that is waited for, of ``n``; entries are below ``rows``."""
        if not self._waiting:
            return
        self._reserve(rows)
        places = self._marks[entries]
        at = np.flatnonzero(places >= 0)
        at = at[self._waits[places[at]]][::-1]  # of a place that stands there several times, numpy keeps the last
        if len(at):
            columns = (times_ms, judged.values, *judged.scored)
            self.verdicts[places[at]] = np.stack([column[at] for column in columns], axis=1)
            self._waits[places[at]] = False
            self._waiting = int(np.count_nonzero(self._waits))

    def wait(self, places: Ints) -> None:
        """Wait for the next verdict at these places, which were told of."""
        self._waits[places] = True
        self._waiting = int(np.count_nonzero(self._waits))

    def listen(self, entries: Ints, signals: NDArray[np.uint64], labels: Sequence[bytes], rows: int) -> Ints:
        """Claim places for ``n`` different entries; ``NONE`` of those that find no room.

        ``signals`` tells what an entry stands for: verdicts on what it stood for before are forgotten.
        """
        self._reserve(rows)
        for at in np.flatnonzero(self._marks[entries] == NONE).tolist():
            self._marks[entries[at]] = self._take()
        places = self._marks[entries].astype(np.int64)
        known = np.flatnonzero(places != NONE)
        for at in known[self._signals[places[known]] != signals[known]].tolist():
            self._signals[places[at]] = signals[at]
            self.verdicts[places[at]] = np.nan
            self.labels[places[at]] = labels_json(labels[at])
        self._claims[places[known]] += 1
        return places

    def release(self, entries: Ints) -> None:
        """Give back what ``listen`` claimed for those entries that found room."""
        places = self._marks[entries].astype(np.int64)
        self._claims[places] -= 1
        for at in np.flatnonzero(self._claims[places] == 0).tolist():
            self._marks[entries[at]] = NONE
            self._signals[places[at]], self.labels[places[at]] = 0, b""
            self._waiting -= int(self._waits[places[at]])
            self._waits[places[at]] = False
            self._free.append(int(places[at]))

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        place = len(self.labels)
        if place >= self.limit:
            return NONE
        self.labels.append(b"")
        if place == len(self.verdicts):
            more = max(64, place)
            self.verdicts = np.concatenate([self.verdicts, np.full((more, 6), np.nan)])
            self._waits = np.concatenate([self._waits, np.zeros(more, np.bool_)])
            self._claims = np.concatenate([self._claims, np.zeros(more, np.int64)])
            self._signals = np.concatenate([self._signals, np.zeros(more, np.uint64)])
        return place

    def _reserve(self, rows: int) -> None:
        missing = rows - len(self._marks)
        if missing > 0:
            self._marks = np.concatenate([self._marks, np.full(missing, NONE, np.int16)])

    @property
    def size_bytes(self) -> int:
        """Memory of marks, verdicts and labels."""
        columns: tuple[NDArray[Any], ...] = (self._marks, self.verdicts, self._claims, self._signals)
        return sum(column.nbytes for column in columns) + sum(map(len, list(self.labels)))


def labels_json(raw: bytes) -> bytes:
    """Label bytes as JSON."""
    return orjson.dumps(parse_labels(raw))
