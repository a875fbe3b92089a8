"""What travels from the decode step to a block: columns instead of records, so that little crosses between workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from connectors.messages import ControlRecord, DetectorRevision
from flows.detectors.base import Floats, Ints
from flows.hash_table import Hashes


class NewSeries(NamedTuple):
    """What a block must know of a series before it can watch it."""

    series: int
    tenant: str
    labels: bytes


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one partition in the order of its records; columns of shape (n,)."""

    series: Hashes
    times_ms: Ints
    values: Floats
    starts_ms: Ints | None
    new: tuple[NewSeries, ...] = ()
    histograms: int = 0

    @classmethod
    def join(cls, parts: Sequence[Samples]) -> Samples:
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([p.series for p in parts]),
            np.concatenate([p.times_ms for p in parts]),
            np.concatenate([p.values for p in parts]),
            _join_starts(parts),
            tuple(new for p in parts for new in p.new),
            sum(p.histograms for p in parts),
        )


def _join_starts(parts: Sequence[Samples]) -> Ints | None:
    if all(p.starts_ms is None for p in parts):
        return None
    return np.concatenate([np.zeros(len(p.series), np.int64) if p.starts_ms is None else p.starts_ms for p in parts])


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that could not be read."""

    reason: str
    message: str
    origin: str
    value: bytes | None


Chunk = Samples | ControlRecord | Poison

ReadRevisions = Callable[[int, int], Sequence[DetectorRevision | None]]
"""Revisions with offsets from ``start`` up to but not including ``end``; None for a record that could not be read."""
