"""What travels from the decode step to a block: columns instead of records, so that little crosses between workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.detector import DetectorRevision
from connectors.feedback import Feedback
from connectors.messages import ControlRecord, Header, MetricType
from connectors.training import Mark
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

    def part(self, at: Ints, new: tuple[NewSeries, ...] = ()) -> Samples:
        """Those at these places, with these new series."""
        starts_ms = None if self.starts_ms is None else self.starts_ms[at]
        return Samples(self.series[at], self.times_ms[at], self.values[at], starts_ms, new)


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that could not be read."""

    reason: str
    message: str
    origin: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    """those of ours"""


@dataclass(frozen=True, slots=True)
class Histograms:
    """Native histograms of one record: hash of the series and time, (n,) each, and the messages as they came."""

    series: Hashes
    times_ms: Ints
    raws: tuple[bytes, ...]
    new: tuple[NewSeries, ...] = ()


@dataclass(frozen=True, slots=True)
class Types:
    """Types of metric families of one tenant."""

    tenant: str
    families: tuple[tuple[str, MetricType], ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one record of a training brings to a partition: history with the labels of its series, or a mark."""

    training: str
    partition: int
    brings: Mark | Samples


Chunk = Samples | Histograms | Types | ControlRecord | Poison | Lesson

ReadFeedback = Callable[[int, int], Iterable[Feedback]]
"""Records of rules with offsets from ``start`` up to but not including ``end``; others may be left out."""
ReadRevisions = Callable[[int, int], Sequence[DetectorRevision | None]]
"""Revisions with offsets from ``start`` up to but not including ``end``; None for a record that could not be read."""
