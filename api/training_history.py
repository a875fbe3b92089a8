"""History as a training sends it: sorted per series, and cut into small records for the partitions of the series.

A record holds what some series have in a span of time. Records of few samples go through all series of a partition in
turn, so that the log time of the past goes on evenly for kinds that learn by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from api.past_series import PastSeries
from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.series_hash import series_hash
from connectors.training import NO_LABELS


class TrainingHistory(NamedTuple):
    """Series of which each sample is later than the one before; and what was left out."""

    series: list[PastSeries]
    unmatched: int
    duplicates: int

    @property
    def samples(self) -> int:
        """Of all series."""
        return sum(len(one.times_ms) for one in self.series)

    def series_hashes(self, tenant: str) -> list[int]:
        """Of all series."""
        return [series_hash(encode_labels(one.labels), tenant) for one in self.series]


class Piece(NamedTuple):
    """One record of history."""

    partition: int
    samples: int
    value: bytes


def history_of(series: Iterable[PastSeries], wanted: Callable[[Mapping[str, str]], bool]) -> TrainingHistory:
    """Sort the series that are wanted; of samples at the same time the first counts, as it would live."""
    kept, unmatched, duplicates = list[PastSeries](), 0, 0
    for one in series:
        if not wanted(one.labels):
            unmatched += 1
            continue
        times_ms, first = np.unique(one.times_ms, return_index=True)
        duplicates += len(one.times_ms) - len(times_ms)
        kept.append(PastSeries(one.labels, times_ms, one.values[first]))
    return TrainingHistory(kept, unmatched, duplicates)


CROWD = 200
"""Series in a record: the flow meets them in 8 ms when they are new to it."""


def pieces(history: TrainingHistory, tenant: str, partitions: int, most: int) -> Iterator[Piece]:
    """Records of at most so many samples, of all partitions in turn, the earliest first."""
    homes: dict[int, list[PastSeries]] = {}
    for one in history.series:
        homes.setdefault(series_hash(encode_labels(one.labels), tenant) % partitions, []).append(one)
    waiting = [_pieces_of(home, series, most) for home, series in sorted(homes.items())]
    while waiting:
        for of_one in list(waiting):
            piece = next(of_one, None)
            if piece is None:
                waiting.remove(of_one)
            else:
                yield piece


def whole_steps(history: TrainingHistory, partition: int, most: int) -> Iterator[Piece]:
    """Records of whole steps, of about so many samples, for the one partition that learns for groups."""
    if not history.samples:
        return
    series = [one._replace(labels=one.labels or NO_LABELS) for one in history.series]
    steps_ms, sizes = np.unique(np.concatenate([one.times_ms for one in series]), return_counts=True)
    turns = np.cumsum(sizes) // max(1, most)
    for of_one in np.split(steps_ms, np.flatnonzero(np.diff(turns)) + 1):
        cut = [_between(one, int(of_one[0]), int(of_one[-1])) for one in series]
        told = [(one.labels, list(zip(one.times_ms.tolist(), one.values.tolist(), strict=True))) for one in cut]
        told = [(labels, samples) for labels, samples in told if samples]
        yield Piece(partition, sum(len(samples) for _, samples in told), encode_write_request(told))


def _between(one: PastSeries, from_ms: int, to_ms: int) -> PastSeries:
    span = slice(np.searchsorted(one.times_ms, from_ms), np.searchsorted(one.times_ms, to_ms, side="right"))
    return PastSeries(one.labels, one.times_ms[span], one.values[span])


def _pieces_of(partition: int, series: list[PastSeries], most: int) -> Iterator[Piece]:
    size = CROWD if most > CROWD else len(series)
    for first in range(0, len(series), size):
        yield from _pieces_of_crowd(partition, series[first : first + size], most)


def _pieces_of_crowd(partition: int, series: list[PastSeries], most: int) -> Iterator[Piece]:
    times_ms = np.concatenate([one.times_ms for one in series])
    values = np.concatenate([one.values for one in series])
    whose = np.repeat(np.arange(len(series)), [len(one.times_ms) for one in series])
    order = np.argsort(times_ms, kind="stable")
    for start in range(0, len(order), most):
        at = order[start : start + most]
        at = at[np.argsort(whose[at], kind="stable")]
        numbers, begins = np.unique(whose[at], return_index=True)
        told = [
            (series[number].labels, list(zip(times_ms[mine].tolist(), values[mine].tolist(), strict=True)))
            for number, mine in zip(numbers.tolist(), np.split(at, begins[1:]), strict=True)
        ]
        yield Piece(partition, len(at), encode_write_request(told))
